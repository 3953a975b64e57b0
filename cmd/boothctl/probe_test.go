package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent"
	"boothd/configs"
	"boothd/devices/amtech"
	"boothd/devices/devicestest"
	"boothd/devices/line"
	"boothd/devices/mercury"
	"boothd/devices/nedap"
	"boothd/devices/osdp/pd"
	"boothd/devices/port"
	"boothd/devices/printer"
	"boothd/devices/relay"
	"boothd/devices/uhf18"
)

// far is something that plays a device on a wire.
type far interface{ Serve(io.ReadWriter) error }

// play plays a device on a new port until the test's end.
func play(t *testing.T, d far) (path string) {
	t.Helper()
	wire, path := pty(t)
	go func() { _ = d.Serve(wire) }() // ends with the pty
	return path
}

// probe runs a probe of a port, quickly.
func probe(t *testing.T, want int, path string, args ...string) (out, errs string) {
	t.Helper()
	return boothctl(t, want, append([]string{"probe", path, "--config", "nowhere.toml", "--listen", "0s"}, args...)...)
}

func TestProbeAsksEveryPolledProtocol(t *testing.T) {
	for _, c := range []struct {
		name string
		far  far
		args []string
		want []string
	}{
		{"mercury", &mercury.Sim{}, nil, []string{`: mercury at 9600 baud (Mercury version): hardware 01 00 00 01, firmware 09 05 12 00 of 2007-10-12`, `driver = "mercury"`, "baud = 9600"}},
		{"mercury at its speed", &mercury.Sim{}, []string{"--baud", "115200"}, []string{": mercury at 115200 baud", "baud = 115200"}},
		{"osdp", &pd.Device{Address: 0}, nil, []string{": osdp at 9600 baud (OSDP identity, address 0): address 0, vendor 697A00, model 153 version 1"}},
		{"osdp that is strict", &pd.Device{Address: 5, Key: pd.DefaultKey, Strict: true}, []string{"--address", "4,5"}, []string{"(OSDP identity, address 5): address 5", `driver = "osdp"`, "address = 5", "reader_key ="}},
		{"uhf18", &uhf18.Sim{Address: 7}, nil, []string{": uhf18 at 9600 baud (UHFReader18 information): address 7", `driver = "uhf18"`, "address = 7"}},
		{"modbus", &relay.Sim{Protocol: relay.Modbus, Address: 1}, nil, []string{": board at 9600 baud (Modbus coil 0 of unit 1): Modbus, unit 1, coils", "[[board]]", `protocol = "modbus"`, "address = 1"}},
		{"modbus in registers", &relay.Sim{Protocol: relay.ModbusRegisters, Address: 3}, []string{"--unit", "1,3"}, []string{"Modbus, unit 3; coils are refused with exception 1", `protocol = "modbus-registers"`, "address = 3"}},
		{"numato", &relay.Sim{Protocol: relay.Numato}, nil, []string{": board at 9600 baud (Numato prompt and relays): Numato, 8 relays", `protocol = "numato"`}},
		{"lcus that says how it stands", &relay.Sim{Protocol: relay.LCUSText}, nil, []string{": board at 9600 baud (heard): LCUS", "[[board]]", `protocol = "lcus-text"`}},
		{"lcus that answers", &relay.Sim{Protocol: relay.LCUSAnswer}, []string{"--ask-lcus"}, []string{": board at 9600 baud (LCUS state of relay 1): LCUS, with answers", `protocol = "lcus-answer"`}},
		{"amtech", &amtech.Sim{}, nil, []string{": amtech at 9600 baud (Amtech sign-on): basic protocol; Model"}},
		{"amtech, ECP", &amtech.Sim{Mode: amtech.ECP}, nil, []string{"(Amtech sign-on, ECP): ECP; Model", `mode = "ecp"`}},
		{"printer", &printer.Sim{}, nil, []string{": printer at 9600 baud (printer status and paper)", `language = "escpos"`, `role = "receipt"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they wait for silence most of the time
			out, _ := probe(t, 0, play(t, c.far), c.args...)
			holds(t, out, c.want...)
		})
	}
}

// scripted plays a device by a function: what comes in gives what goes out.
type scripted func(b []byte) []byte

// Serve plays it until the wire ends.
func (f scripted) Serve(wire io.ReadWriter) error {
	b := make([]byte, 256)
	for {
		n, err := wire.Read(b)
		if err != nil {
			return err
		}
		if _, err := wire.Write(f(b[:n])); err != nil {
			return err
		}
	}
}

// frame reads hex digits with blanks.
func frame(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func TestProbeUnderstandsOtherAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		far  scripted
		want string
	}{
		{"osdp, any address", func(b []byte) []byte {
			if bytes.HasPrefix(b, frame("FF 53 7F 09 00 04 61 00")) { // answered by libosdp 3.2.0, address 65
				return frame("53 E5 14 00 05 45 69 7A 00 99 01 04 03 02 01 0B 0C 0D 3D 05")
			}
			return nil
		}, "osdp at 9600 baud (OSDP identity, all addresses): address 101, vendor 697A00, model 153 version 1, firmware 11.12.13"},
		{"lcus, all relays", func(b []byte) []byte {
			if bytes.Equal(b, []byte{0xFF}) {
				return []byte("CH1: OFF\r\nCH2: ON\r\n")
			}
			return nil
		}, "board at 9600 baud (LCUS state of all relays): LCUS"},
		{"modbus behind an adapter that gives an echo", func(b []byte) []byte {
			if bytes.HasPrefix(b, frame("01 01 00 00 00 01")) {
				return slices.Concat(b, frame("01 01 01 01 90 48")) // a peer's answer: coil 0 on
			}
			return slices.Clone(b)
		}, "board at 9600 baud (Modbus coil 0 of unit 1): Modbus, unit 1, coils"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, _ := probe(t, 0, play(t, c.far))
			holds(t, out, c.want)
		})
	}
}

// What only gives back what is sent is no device of ours.
func TestProbeIsNotFooledByAnEcho(t *testing.T) {
	path := play(t, scripted(func(b []byte) []byte { return slices.Clone(b) }))
	_, errs := probe(t, exitFix, path, "--baud", "9600")
	holds(t, errs, "nothing of ours is heard on "+path, "look at power and cable")
}

// Nothing that is asked sets or switches anything, on any device.
func TestProbeLeavesDevicesAsTheyAre(t *testing.T) {
	board := func(p relay.Protocol) *relay.Sim { return &relay.Sim{Protocol: p, Address: 1} }
	boards := []*relay.Sim{board(relay.Modbus), board(relay.ModbusRegisters), board(relay.LCUS), board(relay.LCUSAnswer), board(relay.LCUSText), board(relay.Numato)}
	var told []string
	reader := &pd.Device{Key: pd.DefaultKey, Told: func(code byte, _ []byte) { told = append(told, "osdp is commanded") }}
	reader.Card(0, 26, []byte{0x96, 0xB4, 0xD2, 0xC0})
	paper := &printer.Sim{Printed: func(lines []string) { told = append(told, "printed "+strings.Join(lines, "/")) }}
	tags := &amtech.Sim{Old: true}
	desk := &uhf18.Sim{Address: 0}
	devices := []far{reader, paper, tags, &mercury.Sim{}, desk}
	for _, b := range boards {
		devices = append(devices, b)
	}
	// Every question reaches every device, as it does at a speed that is not tried first.
	all := (&probeCmd{Unit: []int{1}, Address: []int{0}, LCUS: true}).questions()
	for _, d := range devices {
		near, wire := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, near) }() // ends with the pipe
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = d.Serve(wire)
		}()
		for _, q := range all {
			if _, err := near.Write(q.send); err != nil {
				t.Fatal(err)
			}
		}
		near.Close()
		wire.Close()
		<-served
	}
	for _, b := range boards {
		for channel := range 8 {
			if b.Relay(channel + 1) {
				t.Errorf("%s: relay %d was switched", b.Protocol, channel+1)
			}
		}
	}
	if reader.Waiting() != 1 {
		t.Error("a card was taken from an OSDP reader")
	}
	if desk.Power() != 0 || desk.Asked() != 0 {
		t.Error("a UHF reader was set, or made to read")
	}
	if len(told) > 0 {
		t.Error(told)
	}
}

func TestI7_ProbeHearsWhatSpeaksByItself(t *testing.T) {
	tape := func(template, plate, where string) func(io.Writer) error {
		return func(w io.Writer) error { return cameraOf(template, w).Plate(plate, where, 0.91) }
	}
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	for _, c := range []struct {
		name string
		say  func(io.Writer) error
		want []string
	}{
		{"axxon", tape("axxon", "KAYAK7", ""), []string{": line at 9600 baud (heard)", `template = "axxon"`, `role = "plate.front"`}},
		{"nedap-raw", tape("nedap-raw", "KAYAK7", "NLD"), []string{`template = "nedap-raw"`, "it would fit barcode"}},
		{"lumo", tape("lumo", "KAYAK7", "ON"), []string{`template = "lumo"`}},
		{"csv-generic", tape("csv-generic", "KAYAK7", ""), []string{`template = "csv-generic"`}},
		{"a plate a line", text("KAYAK7\r\n"), []string{`template = "custom"`, `end = "\r\n"`, `fields = ["plate"]`}},
		{"bar code", text("PAPS00123456789KAYAK7\r"), []string{": barcode at 9600", `suffix = "cr"`, `role = "scan"`}},
		{"bar code in CR LF", text("PAPS00123456789KAYAK7\r\n"), []string{`suffix = "crlf"`}},
		{"a camera with a form of its own", text("KAYAK7|88\r\n"), []string{`: text of the shape "AAAAA9|99\r\n"; of a camera that is driver "line", template "custom"`}},
		{"passport", text("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\rL898902C36UTO7408122F1204159ZE184226B<<<<<10\r"), []string{": mrz at 9600", `role = "document"`}},
		{"keypad", text("2#"), []string{": keypad at 9600", `role = "keypad"`}},
		{"amtech", text("#KAYAK 1302\r\n"), []string{": amtech at 9600", "basic protocol"}},
		{"amtech, ECP", text("#4KING 13029A91\r\n"), []string{": amtech at 9600", "ECP"}},
		{"mercury that streams", text(string(frame("FF 00 22 04 00 84 E0"))), []string{": mercury at 9600", "it streams already"}},
		{"another control panel", text(string(frame("53 65 08 00 04 60 60 90"))), []string{": osdp at 9600", "another control panel polls this line"}},
		{"osdp reply", text(string(frame("53 E5 07 00 01 40 80"))), []string{": osdp at 9600", "a reader speaks unasked"}},
		{"nedap, big endian", text(string(frame("89 AB CD EF 00 00 00 01 00 00 00 0A 34 36 48 56 52 39 2D 4E 4C 44 17 12 34 56 78"))), []string{": nedap at 9600", `driver = "nedap"`, `role = "plate.front"`, `template = "protocolled"`}},
		{"nedap, little endian", text(string(frame("EF CD AB 89 01 00 00 00 0A 00 00 00 34 36 48 56 52 39 2D 4E 4C 44 17 78 56 34 12"))), []string{": nedap at 9600"}},
		{"nedap, packets", text(string((&nedap.Camera{Packets: true}).Report(1, time.Unix(1e9, 0), "KAYAK7", "ON", 0.9))), []string{": nedap at 9600", `template = "tags"`}},
		{"seven bits", text("KA\xD9A\xCB7-O\xCE\x8D\x0A"), []string{"7 bits and parity: set the device to 8 bits"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wire, path := pty(t)
			if err := c.say(wire); err != nil {
				t.Fatal(err)
			}
			out, errs := boothctl(t, 0, "probe", path, "--config", "nowhere.toml", "--listen", "10s", "--quiet")
			holds(t, out, c.want...)
			for _, raw := range []string{"KAYAK", "ERIKSSON", "L898902C", "00123456789"} {
				if strings.Contains(out+errs, raw) {
					t.Errorf("%q is shown:\n%s%s", raw, out, errs)
				}
			}
		})
	}
}

// Noise is not taken for anything, and told by its shape; at a speed that gave
// noise nobody waits for more.
func TestProbeOfNoise(t *testing.T) {
	wire, path := pty(t)
	if _, err := wire.Write([]byte("\xFF\x00KAY\xE1K 7=?\x80\x80")); err != nil {
		t.Fatal(err)
	}
	out, errs := boothctl(t, exitFix, "probe", path, "--config", "nowhere.toml", "--baud", "9600", "--listen", "10m", "--quiet")
	holds(t, out, "heard 13 bytes at 9600 baud that fit nothing")
	holds(t, errs, "speaks, but not as one of ours: 13 bytes ", `"*\x00AAA*A 9=?**"`, `template "custom"`)
}

func TestProbeJSON(t *testing.T) {
	out, _ := probe(t, 0, play(t, &mercury.Sim{}), "--json", "--baud", "115200")
	var got probed
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Baud != 115200 || got.How != "Mercury version" || len(got.Fits) != 1 || got.Fits[0].Driver != "mercury" {
		t.Errorf("%+v", got)
	}
	wire, path := pty(t)
	defer wire.Close()
	out, _ = probe(t, exitFix, path, "--json", "--baud", "9600")
	holds(t, out, `"fits": []`)
}

func TestProbeOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = cameraOf("axxon", c).Plate("KAYAK7", "", 1)
		_, _ = io.Copy(io.Discard, c) // until the probe is over
	}()
	out, _ := boothctl(t, 0, "probe", "tcp://"+l.Addr().String(), "--config", "nowhere.toml", "--quiet")
	holds(t, out, ": line (heard)", `template = "axxon"`, `path = "tcp://`)
	if strings.Contains(out, "baud") {
		t.Errorf("a TCP port has no speed:\n%s", out)
	}
}

func TestProbeSaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		code int
		args []string
		want []string
	}{
		{exitFix, []string{"/dev/ttyS77"}, []string{"opening /dev/ttyS77", "boothctl ports lists"}},
		{exitUsage, []string{"/dev/ttyS77", "--unit", "0"}, []string{"--unit 1 to 247"}},
		{exitUsage, []string{"/dev/ttyS77", "--address", "127"}, []string{"--address 0 to 126"}},
		{exitUsage, []string{"/dev/ttyS77", "--listen", "1h"}, []string{"--listen is at most 10m0s"}},
	} {
		_, errs := boothctl(t, c.code, append([]string{"probe", "--config", "nowhere.toml"}, c.args...)...)
		holds(t, errs, c.want...)
	}
}

// The port of a device of the configuration may be given by the device's name,
// and one that boothd has locked is refused.
func TestProbeOfAConfiguredDevice(t *testing.T) {
	b := newBench(t)
	b.mercury()
	out, _ := boothctl(t, 0, "probe", "pre-read", "--listen", "0s", "--baud", "115200", "--config", b.config)
	holds(t, out, b.paths[0]+": mercury at 115200 baud")
	p, err := port.Open(t.Context(), port.Spec{Path: b.paths[0], Baud: 9600, LockDir: filepath.Dir(b.config)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, errs := boothctl(t, exitFix, "probe", "pre-read", "--listen", "0s", "--config", b.config)
	holds(t, errs, b.paths[0]+": port in use", "systemctl stop boothd")
}

// cameraOf plays a camera of one of the templates of driver line.
func cameraOf(template string, wire io.Writer) *line.Camera {
	d, _ := agent.Drivers.Device("line", configs.Template(template))
	own := d.Own.(*line.Settings)
	cam := &line.Camera{Wire: wire, Start: own.Start, End: own.End, Separator: d.Separator}
	for _, f := range d.Fields {
		cam.Fields = append(cam.Fields, string(f))
	}
	return cam
}

// What a probe would have the technician configure reads the very same bytes.
func TestProbeSuggestsWhatReads(t *testing.T) {
	framed := func(cam *nedap.Camera) []byte { return cam.Report(7, time.Unix(1e9, 0), "KAYAK7", "ON", 0.91) }
	reports := map[string][]byte{"nedap": framed(&nedap.Camera{}), "nedap, little endian": framed(&nedap.Camera{Little: true}), "nedap, packets": framed(&nedap.Camera{Packets: true})}
	for _, template := range []string{"axxon", "nedap-raw", "lumo", "csv-generic"} {
		var report bytes.Buffer
		if err := cameraOf(template, &report).Plate("KAYAK7", "ON", 0.91); err != nil {
			t.Fatal(err)
		}
		reports[template] = report.Bytes()
	}
	for name, report := range reports {
		t.Run(name, func(t *testing.T) {
			fits := recognise(report)
			if len(fits) == 0 {
				t.Fatal("not recognised")
			}
			path := "/dev/tape"
			if name == "nedap, packets" {
				path = "tcp://192.0.2.7:5000"
			}
			d, err := unnamed(fits[0].Driver, path, fits[0].Settings)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				reads, err := replay(t.Context(), recording{device: d, all: []happening{{kind: '<', data: report}}})
				if err != nil || len(reads) != 1 || reads[0].What != "plate" || reads[0].ID != "#1 (6 characters)" {
					t.Errorf("%+v reads %+v, %v", d, reads, err)
				}
			})
		})
	}
}

func FuzzRecognise(f *testing.F) {
	for _, seed := range []string{"\x02202607041234560", "#KING 1302\r\n", string(frame("FF 00 22 04 00 84 E0")),
		string(frame("53 E5 FF FF 04 40 E7 A1")), string(frame("89 AB CD EF 00 00 00 01 FF FF FF FF 34")), "\x04\x3F\x00\x00\x00\x0A\x00\x00\x00\x00"} {
		f.Add([]byte(seed))
	}
	for _, one := range []string{"#", "1", "A-", ";;;\r\n", "CH1:ON\r\n", "P<", "    \r"} { // as many reports as can be
		f.Add(bytes.Repeat([]byte(one), heardMost/len(one)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), heardMost)]
		// Beside: the stack of the regular expressions' engine, 64 bytes for each of the
		// 4 KiB that are heard at most, made anew when the collector has taken it; in a
		// tool that ends.
		devicestest.FrugalBeside(t, 4*64*heardMost, func() (fits int) { return len(understood(b)) })
		for _, m := range recognise(b) {
			if m.Driver == "" {
				t.Error("a match without a driver")
			}
		}
		for _, frames := range [][][]byte{mercuryFrames(b), osdpFrames(b)} {
			if n := len(bytes.Join(frames, nil)); n > len(b) {
				t.Errorf("frames of %d bytes in %d", n, len(b))
			}
		}
	})
}
