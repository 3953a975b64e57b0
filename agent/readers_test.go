package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/amtech"
	"boothd/devices/llrp"
	"boothd/devices/mercury"
	"boothd/devices/osdp"
	"boothd/devices/osdp/pd"
	"boothd/devices/sim"
	"boothd/devices/uhf18"
	"boothd/devices/wiegand"
)

var readerKey = [16]byte{0x30, 0x31, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// onPTY plays a far end on a pty and gives its path.
func onPTY(t *testing.T, serve func(io.ReadWriter) error) string {
	t.Helper()
	far, tty, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	go func() { _ = serve(far) }() // ends with the pty
	return tty
}

// TestEveryReaderBringsACard: a vehicle is at the booth, and a card that any of
// our readers sees is a card of the passage.
func TestEveryReaderBringsACard(t *testing.T) {
	for name, play := range map[string]func(t *testing.T, r *rig) (d configs.Device, show func()){
		"llrp": func(t *testing.T, _ *rig) (configs.Device, func()) {
			s := &llrp.Sim{}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() { _ = s.Accept(l) }() // ends with the listener
			return configs.Device{Driver: "llrp", Own: &llrp.Settings{}, Path: configs.Port("tcp://" + l.Addr().String())},
				func() { s.Present(llrp.SimTag{EPC: goodCard.Reveal(), RSSIDBm: -50, Antenna: 1}) }
		},
		"uhf18": func(t *testing.T, _ *rig) (configs.Device, func()) {
			s := &uhf18.Sim{}
			return configs.Device{Driver: "uhf18", Own: &uhf18.Settings{}, Path: configs.Port(onPTY(t, s.Serve)), Baud: 57600}, func() { s.Present(goodCard.Reveal()) }
		},
		"amtech": func(t *testing.T, _ *rig) (configs.Device, func()) {
			s := &amtech.Sim{Mode: amtech.ECP}
			return configs.Device{Driver: "amtech", Own: &amtech.Settings{Mode: "ecp"}, Path: configs.Port(onPTY(t, s.Serve)), Baud: 9600},
				func() { s.Present("KING 0586") }
		},
		"osdp": func(t *testing.T, r *rig) (configs.Device, func()) {
			d := &pd.Device{Key: readerKey}
			key := filepath.Join(r.dir, "reader.key")
			if err := os.WriteFile(key, []byte(hex.EncodeToString(readerKey[:])), 0o600); err != nil {
				t.Fatal(err)
			}
			return configs.Device{Driver: "osdp", Own: &osdp.Settings{ReaderKey: key}, Path: configs.Port(onPTY(t, d.Serve)), Baud: 9600},
				func() { d.Card(0, 32, []byte{0x12, 0x34, 0x56, 0x78}) }
		},
		"wiegand": func(t *testing.T, r *rig) (configs.Device, func()) {
			d, s := r.door()
			return d, func() {
				if err := s.Card(wiegand.H10301, 68, 41551); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			d, show := play(t, r)
			i := slices.IndexFunc(r.cfg.Devices, func(d configs.Device) bool { return d.Role == configs.RoleCard })
			d.Name, d.Role = r.cfg.Devices[i].Name, configs.RoleCard
			r.cfg.Devices[i] = d
			stop := r.run()
			r.await("online", func(p status.Picture) bool {
				return !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return !d.Online })
			})
			r.set("booth_loop", true)
			r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
			show()
			r.await("read", func(p status.Picture) bool { return p.Lane.Cards == 1 })
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			_, err := os.Stat(filepath.Join(r.dir, "store", "secure-"+d.Name))
			if pinned := err == nil; pinned != (name == "osdp") {
				t.Errorf("kept as secure: %v", pinned)
			}
		})
	}
}

// TestI1_ReaderThatWasSecureIsNeverReadInClear: not by another configuration,
// not by a reader from the factory in its place, but in the technician's window.
func TestI1_ReaderThatWasSecureIsNeverReadInClear(t *testing.T) {
	dir := t.TempDir()
	at := Place{State: dir}
	key := filepath.Join(dir, "reader.key")
	if err := os.WriteFile(key, []byte(hex.EncodeToString(readerKey[:])), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	open := func(d *pd.Device, c configs.Device, at Place) error {
		t.Helper()
		c.Name, c.Role, c.Driver, c.Baud, c.Path = "door", configs.RoleCard, "osdp", 9600, configs.Port(onPTY(t, d.Serve))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		reader, err := OpenDevice(ctx, r.world, c, at, func(error) {})
		if err == nil {
			err = reader.Close()
		}
		return err
	}
	clear, secure := configs.Device{Own: &osdp.Settings{Clear: true}}, configs.Device{Own: &osdp.Settings{ReaderKey: key}}
	if err := open(&pd.Device{}, clear, at); err != nil {
		t.Fatalf("in clear, before: %v", err)
	}
	if err := open(&pd.Device{Key: readerKey}, secure, at); err != nil {
		t.Fatalf("with its key: %v", err)
	}
	if err := open(&pd.Device{}, clear, at); err == nil || !strings.Contains(err.Error(), "was secure before") {
		t.Errorf("in clear, after: %v", err)
	}
	fresh := &pd.Device{Key: pd.DefaultKey}
	if err := open(fresh, secure, at); err == nil {
		t.Error("a reader from the factory was believed")
	}
	window := at
	window.Install = time.Now().Add(time.Minute)
	if err := open(fresh, secure, window); err != nil || fresh.OwnKey() != readerKey {
		t.Errorf("in the window: %v", err)
	}
	if err := open(&pd.Device{Key: readerKey}, configs.Device{Own: &osdp.Settings{ReaderKey: "/nowhere"}}, at); err == nil || !strings.Contains(err.Error(), "its key") {
		t.Errorf("without the key: %v", err)
	}
}

// The window is opened for a reader that can use it, and for no other.
func TestInstallWindow(t *testing.T) {
	b := &booth{log: discard(), cfg: &configs.Config{Devices: []configs.Device{{Name: "door", Driver: "osdp", Own: &osdp.Settings{ReaderKey: "credential:k"}},
		{Name: "old", Driver: "osdp", Own: &osdp.Settings{Clear: true}}, {Name: "pre", Driver: "mercury", Own: &mercury.Settings{}}}}}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /install/{device}", b.install)
	for name, want := range map[string]int{"door": http.StatusNoContent, "old": http.StatusUnprocessableEntity, "pre": http.StatusUnprocessableEntity, "x": http.StatusUnprocessableEntity} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/install/"+name, nil))
		if w.Code != want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		left := time.Until(b.installs.until(name))
		if open := left > 0; open != (want == http.StatusNoContent) || left > installFor {
			t.Errorf("%s: open for %v", name, left)
		}
	}
}

// What is wrong with a reader that reads is told.
func TestReaderTamper(t *testing.T) {
	if err := reading(osdp.Health{Secure: true, Status: true}); err != nil {
		t.Error(err)
	}
	if err := reading(osdp.Health{Tamper: true, Power: true, Gone: true}); err == nil || !strings.Contains(err.Error(), "not connected") || !strings.Contains(err.Error(), "case is open") || !strings.Contains(err.Error(), "power") {
		t.Error(err)
	}
	if err := reading(osdp.Health{Tamper: true, Inputs: 5, Outputs: 2}); err == nil || err.Error() != "the reader's case is open; its input 0 is active; its input 2 is active; its output 1 is on" {
		t.Error(err)
	}
}
