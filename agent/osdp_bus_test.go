package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/osdp"
	"boothd/devices/osdp/pd"
	"boothd/devices/sim"
)

// Two readers on one line: both read, with keys of their own; one that is dead
// is told of and the other goes on; the line that is pulled out takes both along,
// and both are back with it.
func TestI5_ReadersOnOneLine(t *testing.T) {
	r := newRig(t)
	path, key := filepath.Join(r.dir, "line"), filepath.Join(r.dir, "reader.key")
	if err := os.WriteFile(key, []byte(hex.EncodeToString(readerKey[:])), 0o600); err != nil {
		t.Fatal(err)
	}
	left, right := &pd.Device{Address: 1, Key: readerKey}, &pd.Device{Address: 2}
	var both pd.Line
	both.Hang(left)
	both.Hang(right)
	plug := func() (unplug func()) {
		far, tty, err := sim.OpenPTY()
		if err == nil {
			err = os.Symlink(tty, path)
		}
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() { defer close(served); _ = both.Serve(far) }() // ends with the pty
		return func() {
			if err := errors.Join(os.Remove(path), far.Close()); err != nil {
				t.Error(err)
			}
			<-served
		}
	}
	unplug := plug()
	on := configs.Device{Driver: "osdp", Role: configs.RoleCard, Path: configs.Port(path), Baud: 9600}
	first, second := on, on
	first.Name, first.Address, first.Own = "left", 1, &osdp.Settings{ReaderKey: key}
	second.Name, second.Address, second.Own = "right", 2, &osdp.Settings{Clear: true}
	r.cfg.Devices = slices.DeleteFunc(r.cfg.Devices, func(d configs.Device) bool { return d.Role == configs.RoleCard })
	r.cfg.Devices = append(r.cfg.Devices, first, second)
	stop := r.run()
	await := func(what string, l, rt bool) {
		t.Helper()
		r.await(what, func(p status.Picture) bool {
			online := map[string]bool{}
			for _, d := range p.Devices {
				online[d.Name] = d.Online
			}
			return online["left"] == l && online["right"] == rt
		})
	}
	await("both online", true, true)
	right.Mute(true)
	await("one dead", true, false)
	r.set("booth_loop", true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	left.Card(0, 32, []byte{0x12, 0x34, 0x56, 0x78})
	r.await("read", func(p status.Picture) bool { return p.Lane.Cards == 1 })
	right.Mute(false)
	await("back", true, true)
	right.Card(0, 32, []byte{0x12, 0x34, 0x56, 0x79})
	r.await("read", func(p status.Picture) bool { return p.Lane.Cards == 2 })
	unplug()
	await("unplugged", false, false)
	unplug = plug()
	defer unplug()
	await("plugged", true, true)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for name, want := range map[string]bool{"left": true, "right": false} {
		if _, err := os.Stat(filepath.Join(r.dir, "store", "secure-"+name)); (err == nil) != want {
			t.Errorf("%s kept as secure: %v", name, err)
		}
	}
}
