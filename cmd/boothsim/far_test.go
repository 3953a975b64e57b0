package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/gpio"
	"boothd/devices/port"
)

// everyDevice is one device of every driver that reads, with what is done to
// its far end and what its driver then reads. Paths begin with the test's folder.
var everyDevice = []struct{ toml, act, want string }{
	{`driver = "mercury"` + "\n" + `role = "card"`, "tags E28011606000000001000001", "tag E28011606000000001000001"},
	{`driver = "llrp"` + "\n" + `role = "card"` + "\n" + `path = "tcp://127.0.0.1:PORT"`, "tags E28011606000000001000002", "tag E28011606000000001000002"},
	{`driver = "llrp"` + "\n" + `role = "card"` + "\n" + `path = "tls://127.0.0.1:PORT"` + "\n" + `ca = "DIR/reader.pem"`, "tags E28011606000000001000003", "tag E28011606000000001000003"},
	{`driver = "uhf18"` + "\n" + `role = "card"`, "tags E28011606000000001000004", "tag E28011606000000001000004"},
	{`driver = "amtech"` + "\n" + `role = "card"` + "\n" + `mode = "ecp"`, "tags 4B494E472031333032", "tag 4B494E472031333032"},
	{`driver = "amtech"` + "\n" + `role = "card"` + "\n" + `start = "!"`, "tags 4B494E472031333033", "tag 4B494E472031333033"},
	{`driver = "osdp"` + "\n" + `role = "card"` + "\n" + `reader_key = "DIR/reader.key"` + "\n" + `bits = [26]`, "tags 96B4D2C0", "tag 96B4D2C0"},
	{`driver = "osdp"` + "\n" + `role = "card"` + "\n" + `clear = true`, "tags 12345678", "tag 12345678"},
	{`driver = "wiegand"` + "\n" + `role = "card"` + "\n" + `data0 = "D0"` + "\n" + `data1 = "D1"` + "\n" + `formats = ["h10301"]`, "tags 80800380", "tag 80800380"},
	{`driver = "nedap"` + "\n" + `role = "plate.rear"` + "\n" + `template = "protocolled"`, "plate 46HVR9 NLD 0.9", "plate 46HVR9 NLD"},
	{`driver = "nedap"` + "\n" + `role = "plate.rear"` + "\n" + `template = "tags"` + "\n" + `path = "tcp://127.0.0.1:PORT"`, "plate 46HVR8 NLD 0.9", "plate 46HVR8 NLD"},
	{`driver = "nedap"` + "\n" + `role = "plate.rear"` + "\n" + `template = "tags"` + "\n" + `path = "tcp://127.0.0.1:PORT"` + "\n" + `from = "127.0.0.1"`, "plate 46HVR7 NLD 0.9", "plate 46HVR7 NLD"},
	{`driver = "line"` + "\n" + `role = "plate.rear"` + "\n" + `template = "lumo"`, "plate ABC123 ON 0.9", "plate ABC123 ON"},
	{`driver = "line"` + "\n" + `role = "plate.rear"` + "\n" + `template = "nedap-raw"` + "\n" + `path = "tcp://127.0.0.1:PORT"`, "plate ABC124 QC 0.9", "plate ABC124 QC"},
	{`driver = "webhook"` + "\n" + `role = "plate.rear"` + "\n" + `template = "openalpr"` + "\n" + `token = "DIR/rear.token"` + "\n" + `quiet = "1m"` + "\n" + `path = "http://127.0.0.1:PORT/rear"`,
		"plate ABC125 NY 0.9", "plate ABC125 NY"},
	{`driver = "barcode"` + "\n" + `role = "scan"` + "\n" + `suffix = "crlf"`, "scan 1234PARS56789", "scan 1234PARS56789"},
	{`driver = "mrz"` + "\n" + `role = "document"` + "\n" + `xor = true`, "document UTO D23145890", "document UTO D23145890"},
	{`driver = "keypad"` + "\n" + `role = "keypad"`, "type ON-ABC126", "key ABC126 ON"},
}

// TestEveryDriverHasAFarEnd: what boothsim plays is what the driver reads, and
// again after the plug was pulled.
func TestEveryDriverHasAFarEnd(t *testing.T) {
	played := map[configs.Driver]bool{"printer": true} // reads nothing; a kiosk's demo has one
	for i, c := range everyDevice {
		name := fmt.Sprintf("device-%d", i)
		driver := configs.Driver(strings.Split(c.toml, `"`)[1])
		played[driver] = true
		t.Run(string(driver), func(t *testing.T) {
			t.Parallel()
			h, d := laidDevice(t, name, c.toml)
			read := func() {
				t.Helper()
				reads, stop := opened(t, d, h.cfg.GPIO.Chip)
				defer stop()
				got := firstRead(t, reads, func() error {
					_, err := h.command(t.Context(), "at", append([]string{name}, strings.Fields(c.act)...))
					return err
				})
				if got != c.want {
					t.Errorf("read %q, want %q", got, c.want)
				}
			}
			read()
			if h.far[0].cable == nil {
				return // it has no plug
			}
			for _, verb := range []string{"unplug", "plug"} {
				if _, err := h.command(t.Context(), verb, []string{name}); err != nil {
					t.Fatalf("%s: %v", verb, err)
				}
			}
			read()
		})
	}
	for _, k := range agent.Drivers {
		if !played[k.Driver] {
			t.Errorf("driver %s: nobody plays its far end", k.Driver)
		}
	}
}

// Two readers on one path hang on one line, and each reads its own cards, also
// after the plug was pulled.
func TestReadersShareALine(t *testing.T) {
	h, left := laidDevice(t, "left", everyDevice[7].toml)
	right := left
	right.Name, right.Address = "right", 1
	if _, err := h.add(right); err != nil {
		t.Fatal(err)
	}
	if n := len(h.cables()); n != 1 {
		t.Errorf("%d cables", n)
	}
	read := func(d configs.Device, number string) {
		t.Helper()
		reads, stop := opened(t, d, h.cfg.GPIO.Chip)
		defer stop()
		got := firstRead(t, reads, func() error {
			_, err := h.command(t.Context(), "at", []string{d.Name, "tags", number})
			return err
		})
		if got != "tag "+number {
			t.Errorf("%s read %q, want %q", d.Name, got, number)
		}
	}
	read(left, "12345678")
	read(right, "87654321")
	for _, verb := range []string{"unplug", "plug"} {
		if _, err := h.command(t.Context(), verb, []string{"right"}); err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
	}
	read(left, "12345679")
	read(right, "87654322")
}

// laidDevice plays one device.
func laidDevice(t *testing.T, name, toml string) (*hardware, configs.Device) {
	t.Helper()
	dir := t.TempDir()
	at, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, free, _ := net.SplitHostPort(at)
	for file, text := range map[string]string{"reader.key": "000102030405060708090a0b0c0d0e0f", "rear.token": strings.Repeat("t", 20)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(toml, "path = ") && !strings.Contains(toml, "data0 = ") {
		toml += "\npath = \"DIR/" + name + "\""
	}
	text, err := exampleOf("nexus", map[string]string{"\n[gpio]\n": "\n[[device]]\nname = \"" + name + "\"\n" + strings.NewReplacer("DIR", dir, "PORT", free).Replace(toml) + "\n\n[gpio]\n",
		`"pinctrl-bcm2711"`: `"sim:` + filepath.Join(dir, "chip.sock") + `"`})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := agent.Drivers.Parse("boothd.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d := cfg.Devices[slices.IndexFunc(cfg.Devices, func(d configs.Device) bool { return d.Name == name })]
	h := newHardware(1)
	t.Cleanup(func() {
		if err := h.unplug(); err != nil {
			t.Error(err)
		}
	})
	if err := h.serveChip(t.Context(), cfg, strings.TrimPrefix(cfg.GPIO.Chip, "sim:")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.add(d); err != nil {
		t.Fatal(err)
	}
	return h, d
}

// opened follows a device with its own driver.
func opened(t *testing.T, d configs.Device, chip string) (reads <-chan devices.Read, stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	w := agent.World{
		OpenPort: port.Open,
		Listen:   (&net.ListenConfig{}).Listen,
		Secret:   secret,
		OpenChip: gpio.OpenChip,
	}
	out, over := make(chan devices.Read), make(chan struct{})
	go func() {
		defer close(over)
		r, err := agent.OpenDevice(ctx, w, d, agent.Place{Chip: chip}, func(error) {})
		if err != nil {
			t.Errorf("opening: %v", err)
			return
		}
		defer r.Close()
		out <- devices.Read{} // it is open
		for read, err := range r.Reads(ctx) {
			if err != nil {
				return
			}
			select {
			case out <- read:
			case <-ctx.Done():
				return
			}
		}
	}()
	select {
	case <-out:
	case <-over:
		t.FailNow()
	}
	return out, func() { cancel(); <-over }
}

// firstRead has something be read, and tells what was. It is done again while
// nothing is read: a device on the network tells nobody before it has taken the
// connection, which is open on the driver's side already.
func firstRead(t *testing.T, reads <-chan devices.Read, act func() error) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	acted := make(chan error, 1)
	go func() { // a camera that posts waits for the answer
		for {
			err := act()
			select {
			case <-time.After(2 * time.Second):
				if err == nil {
					continue
				}
			case <-ctx.Done():
			}
			acted <- err
			return
		}
	}()
	defer func() {
		cancel()
		if err := <-acted; err != nil {
			t.Error(err)
		}
	}()
	select {
	case r := <-reads:
		switch {
		case r.Tag != nil:
			return "tag " + r.Tag.EPC.Reveal()
		case r.Plate != nil:
			return strings.TrimSpace("plate " + r.Plate.Text.Reveal() + " " + r.Plate.Jurisdiction)
		case r.Scan != nil:
			return "scan " + r.Scan.Text.Reveal()
		case r.Document != nil:
			return "document " + r.Document.Issuer + " " + r.Document.Number.Reveal()
		case r.Key != nil:
			return "key " + r.Key.Plate.Reveal() + " " + r.Key.Jurisdiction
		}
		return "nothing"
	case <-ctx.Done():
		return "silence"
	}
}
