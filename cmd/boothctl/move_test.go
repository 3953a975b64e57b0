package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boothd/devices/osdp/pd"
)

// desk adds OSDP readers on one line to the bench, as the configuration has them:
// the first with a key, the second in clear.
func (b *bench) desk(t *testing.T, line *pd.Line, key [16]byte) {
	t.Helper()
	far, path := pty(t)
	go func() { _ = line.Serve(far) }() // ends with the pty
	file := filepath.Join(t.TempDir(), "desk.key")
	if err := os.WriteFile(file, []byte(hex.EncodeToString(key[:])), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	const device = "\n[[device]]\ndriver = \"osdp\"\nrole = \"card\"\nbaud = 38400\npath = \""
	added := device + path + "\"\nname = \"left\"\naddress = 1\nreader_key = \"" + file + "\"\n" + device + path + "\"\nname = \"right\"\naddress = 2\nclear = true\n"
	if err := os.WriteFile(b.config, append(text, added...), 0o600); err != nil {
		t.Fatal(err)
	}
}

var deskKey = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17}

// A new reader, with the factory's key or none or with its own, comes to where
// the configuration has it.
func TestMoveReader(t *testing.T) {
	for name, c := range map[string]struct {
		reader *pd.Device
		device string
	}{
		"its own key":     {&pd.Device{Key: deskKey}, "left"},
		"as from factory": {&pd.Device{Key: pd.DefaultKey}, "left"},
		"in clear":        {&pd.Device{}, "right"},
	} {
		t.Run(name, func(t *testing.T) {
			b, line := newBench(t), &pd.Line{}
			line.Hang(c.reader)
			b.desk(t, line, deskKey)
			out, _ := boothctl(t, 0, "move", c.device, "--config", b.config)
			want := map[string]byte{"left": 1, "right": 2}[c.device]
			if holds(t, out, c.device+" has address "); c.reader.At() != want || c.reader.Speed() != 38400 {
				t.Errorf("it is at %d, %d baud", c.reader.At(), c.reader.Speed())
			}
			out, _ = boothctl(t, 0, "move", c.device, "--config", b.config, "--address", string('0'+rune(want)), "--baud", "9600", "--json")
			holds(t, out, `"baud": 38400`)
		})
	}
}

// Nothing is told to a reader that is in another's place, that cannot move, or
// that is not there.
func TestMoveIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		readers []*pd.Device
		args    []string
		code    int
		says    string
	}{
		"taken":          {[]*pd.Device{{}, {Address: 2}}, []string{"right"}, exitFix, "another reader answers at address 2"},
		"taken, secure":  {[]*pd.Device{{}, {Address: 2, Key: deskKey, Strict: true}}, []string{"right"}, exitFix, "another reader answers at address 2"},
		"nobody":         {[]*pd.Device{{Address: 5}}, []string{"right"}, exitFix, "does not answer"},
		"cannot":         {[]*pd.Device{{Fixed: true}}, []string{"right"}, exitFix, "refuses command 6E"},
		"has its own":    {[]*pd.Device{{Slow: true}}, []string{"right"}, exitFix, "write address = 2 and baud = 9600"},
		"another's key":  {[]*pd.Device{{Key: [16]byte{9}, Strict: true}}, []string{"left"}, exitFix, "NAK 6"},
		"is there":       {nil, []string{"right", "--address", "2", "--baud", "38400"}, exitUsage, "already"},
		"no OSDP":        {nil, []string{"pre-read"}, exitUsage, "mercury"},
		"no such reader": {nil, []string{"middle"}, exitUsage, "no reader called"},
		"no address":     {nil, []string{"right", "--address", "127"}, exitUsage, "not 0 to 126"},
	} {
		t.Run(name, func(t *testing.T) {
			b, line := newBench(t), &pd.Line{}
			var at []byte
			for _, r := range c.readers {
				line.Hang(r)
				at = append(at, r.Address)
			}
			b.desk(t, line, deskKey)
			_, errs := boothctl(t, c.code, append([]string{"move", "--config", b.config}, c.args...)...)
			if !strings.Contains(errs, c.says) {
				t.Errorf("no %q in %s", c.says, errs)
			}
			for i, r := range c.readers {
				if r.At() != at[i] && !r.Slow {
					t.Errorf("the reader at %d has moved", at[i])
				}
			}
		})
	}
}
