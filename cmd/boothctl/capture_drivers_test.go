package main

import (
	"cmp"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"boothd/agent"
	"boothd/configs"
	"boothd/devices/amtech"
	"boothd/devices/llrp"
	"boothd/devices/mercury"
	"boothd/devices/nedap"
	"boothd/devices/osdp/pd"
	"boothd/devices/uhf18"
)

var captures = flag.Bool("captures", false, "write the simulated devices' sessions into the drivers' testdata anew")

// typed is a device that says the same whatever it is told.
type typed string

func (y typed) Serve(wire io.ReadWriter) error {
	_, err := io.WriteString(wire, string(y))
	return err
}

// overTCP plays a device on a network port until the test's end.
func overTCP(t *testing.T, accept func(net.Listener) error) (path string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = accept(l) }() // ends with the listener
	return "tcp://" + l.Addr().String()
}

// waiting is a camera that sends a report again until it is answered.
func waiting() *nedap.Camera {
	return &nedap.Camera{Wait: 10 * time.Second, Answer: func(id uint32) []byte {
		b := []byte{0x89, 0xAB, 0xCD, 0xEF, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
		sum := byte(0)
		for _, x := range b {
			sum ^= x
		}
		return append(b, sum, 0x12, 0x34, 0x56, 0x78)
	}}
}

// TestCaptureOfEveryDriverReplays captures a session of each driver with its
// simulated device, with noise where the device speaks by itself, and plays it
// back. With -captures these sessions are kept beside the drivers.
func TestCaptureOfEveryDriverReplays(t *testing.T) {
	pre := &mercury.Sim{}
	pre.Present(mercury.SimTag{EPC: annaCard, RSSIDBm: -50, Antenna: 1}, mercury.SimTag{EPC: benCard, RSSIDBm: -61, Antenna: 1})
	gantry := &amtech.Sim{Mode: amtech.ECP}
	gantry.Present("KAYAK 1302")
	gantry.Present("CANOE 0586")
	desk := &uhf18.Sim{}
	desk.Present(annaCard, benCard)
	door := &pd.Device{}
	door.Card(0, 26, []byte{0x96, 0xB4, 0xD2, 0xC0})
	door.Card(0, 37, []byte{0x12, 0x34, 0x56, 0x78, 0x90})
	portal := &llrp.Sim{}
	portal.Present(llrp.SimTag{EPC: annaCard, RSSIDBm: -48, Antenna: 2}, llrp.SimTag{EPC: benCard, RSSIDBm: -60, Antenna: 1})
	front, rear := waiting(), &nedap.Camera{Packets: true, Image: 300}
	for _, cam := range []*nedap.Camera{front, rear} {
		for _, err := range []error{cam.Raw([]byte("\x89\xAB\xEF\x18\x00\x00")), cam.Plate("KAYAK7", "ON", 0.91), cam.NoRead(), cam.Plate("CANOE8", "NY", 0.88)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		driver configs.Driver
		path   string
		set    []string
		n      string
		name   string // of the session, beside that of the driver; "": simulated
	}{
		{"mercury", play(t, pre), nil, "4", ""},
		{"amtech", play(t, gantry), []string{`mode = "ecp"`}, "2", ""},
		{"uhf18", play(t, desk), nil, "4", ""},
		{"osdp", play(t, door), []string{"clear = true"}, "2", ""},
		{"llrp", overTCP(t, portal.Accept), []string{"antennas = [1, 2]"}, "4", ""},
		{"line", play(t, typed("\x01\xfe9;half of a re\r\nKAYAK7;ON;91;IN\r\nKAYAK7;ON;91;IN\r\nNOREAD;;0;IN\r\nCANOE8;NY;88;OUT\r\n")), []string{`template = "lumo"`}, "3", ""},
		{"nedap", play(t, front), []string{`template = "protocolled"`, `ack = "{open} {id} {xor} {close}"`}, "3", ""},
		{"nedap", overTCP(t, rear.Accept), []string{`template = "tags"`}, "3", "packets"},
		{"barcode", play(t, typed("\x00\x7f\r]C0KAYA1302000001\r]C0CANO0586000002\r")), nil, "3", ""},
		{"mrz", play(t, typed("\x02P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\rL898902C36UTO7408122F1204159ZE184226B<<<<<10\r\x03"+
			"\x02P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\rL898902C36UTO7408122F1204159ZE184226B<<<<<11\r\x03")), nil, "2", ""},
		{"keypad", play(t, typed("ON-KAYAK7\r\x00NY-CANOE8\r")), nil, "2", ""},
	} {
		name := cmp.Or(c.name, "simulated")
		t.Run(string(c.driver)+" "+name, func(t *testing.T) {
			dir := t.TempDir()
			if *captures {
				dir = filepath.Join("../../devices", string(c.driver), "testdata/captures")
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(dir, name+".capture")
			if *captures { // none is overwritten by boothctl
				for _, f := range []string{file, file + readsSuffix} {
					if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
				}
			}
			args := []string{"capture", c.path, "--driver", string(c.driver), "--out", file, "--raw", "-n", c.n, "--config", "nowhere.toml"}
			for _, s := range c.set {
				args = append(args, "--set", s)
			}
			out, _ := boothctl(t, 0, args...)
			holds(t, out, c.n+" reads; ")
			replays(t, file)
		})
	}
}

// Every driver that has bytes of its own has at least one session that is
// replayed: the drivers that read by another way, or nothing, are named.
func TestEveryDriverHasACapture(t *testing.T) {
	for _, k := range agent.Drivers {
		d := k.Driver
		if slices.Contains([]configs.Driver{"printer", "webhook"}, d) {
			continue // reads nothing; has no line (devices/webhook/testdata)
		}
		found, err := filepath.Glob(filepath.Join("../../devices", string(d), "testdata/captures/*.capture"))
		if err != nil || len(found) == 0 {
			t.Errorf("driver %s has no capture: boothctl capture --raw makes one (%v)", d, err)
		}
	}
}
