package gpio

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"boothd/devices/sim"
)

func TestI9_FirstLevelIsSafe(t *testing.T) {
	far, chip, _ := socket(t)
	if !chip.Simulated() {
		t.Error("the chip does not say that it is simulated")
	}
	red := out(t, chip, OutConfig{Point: "traveller_red", Line: "RED", Safe: true})
	green := out(t, chip, OutConfig{Point: "traveller_green", Line: "GREEN", ActiveLow: true})
	if !red.Commanded() || green.Commanded() {
		t.Errorf("commanded red %v, green %v before any Set", red.Commanded(), green.Commanded())
	}
	for _, s := range []struct {
		o  *Out
		on bool
	}{{red, false}, {green, true}, {green, true}} {
		if err := s.o.Set(s.on); err != nil {
			t.Fatal(err)
		}
	}
	if red.Commanded() || !green.Commanded() {
		t.Errorf("commanded red %v, green %v after Set", red.Commanded(), green.Commanded())
	}
	want := []string{"RED true claimed", "GREEN true claimed", "RED false driven", "GREEN false driven"}
	if got := changes(t, far, 4); !slices.Equal(got, want) {
		t.Errorf("trace %q, want %q", got, want)
	}
}

func TestI9_CloseDrivesSafeOffFirst(t *testing.T) {
	far, chip, path := socket(t)
	red := out(t, chip, OutConfig{Point: "traveller_red", Line: "RED", Safe: true})
	green := out(t, chip, OutConfig{Point: "traveller_green", Line: "GREEN", ActiveLow: true})
	if err := errors.Join(red.Set(false), green.Set(true), chip.Close(), chip.Close()); err != nil {
		t.Fatal(err)
	}
	want := []string{"RED true claimed", "GREEN true claimed", "RED false driven", "GREEN false driven",
		"GREEN true driven", "RED true driven", "RED true released", "GREEN true released"}
	if got := changes(t, far, len(want)); !slices.Equal(got, want) {
		t.Errorf("trace %q, want %q", got, want)
	}
	if err := green.Set(true); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Set after Close = %v", err)
	}
	if _, err := chip.In(InConfig{Point: "loop", Line: "LOOP"}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("In after Close = %v", err)
	}
	out(t, reopen(t, path), OutConfig{Point: "traveller_red", Line: "RED", Safe: true})
}

func TestI9_DeathLeavesLampsToTheWiring(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	far, err := sim.ServeChip(t.Context(), path, board)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Break()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	chip, err := OpenWire(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	red := out(t, chip, OutConfig{Point: "traveller_red", Line: "RED", Safe: true})
	green := out(t, chip, OutConfig{Point: "traveller_green", Line: "GREEN", ActiveLow: true})
	if err := errors.Join(red.Set(false), green.Set(true)); err != nil {
		t.Fatal(err)
	}
	conn.Close() // what the kernel does for a killed process
	got := changes(t, far, 6)
	slices.Sort(got[4:])
	if want := []string{"GREEN true died", "RED true died"}; !slices.Equal(got[4:], want) {
		t.Errorf("after death %q, want %q", got[4:], want)
	}
	if levels := far.Outputs(); !levels["RED"] || !levels["GREEN"] {
		t.Errorf("lamps are %v after death", levels)
	}
	out(t, reopen(t, path), OutConfig{Point: "traveller_green", Line: "GREEN", ActiveLow: true})
}
