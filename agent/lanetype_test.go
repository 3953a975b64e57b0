package agent

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/configs"
)

// typed gives the bench's lane the types it may become.
func (b *bench) typed(t *testing.T) {
	b.lane.types = &laneTypes{file: filepath.Join(t.TempDir(), "lane-type"), may: map[passage.LaneType]passage.Policy{}}
	for _, ty := range []passage.LaneType{passage.NEXUS, passage.General} {
		p := b.lane.policy
		p.Lane = ty
		b.lane.types.may[ty] = p
	}
	now := b.lane.policy
	b.lane.types.now.Store(&now)
}

// policies lists what was recorded: a policy's lane, or the lane whose policy a
// decision names.
func (b *bench) policies() (out []string) {
	for _, e := range b.kept {
		switch e := e.(type) {
		case contract.PolicySet:
			out = append(out, "set "+string(e.Policy.Lane))
		case contract.CrossingDecided:
			for _, p := range b.lane.types.may {
				if p.Digest() == e.Policy {
					out = append(out, string(p.Lane)+" "+e.Decision.Outcome)
				}
			}
		}
	}
	return out
}

// The lane changes between two vehicles, also when the next one waits already,
// and never under one; what its decisions stand on is recorded before them.
func TestTypeChangesBetweenVehicles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.typed(t)
		b.card(otherCard, passage.Issued, passage.Active)
		b.run(func() {
			b.arrive(goodCard)
			b.press("lane_general")
			if b.now().Type != passage.NEXUS || b.now().Next != passage.General {
				t.Errorf("under a vehicle: %s, next %s", b.now().Type, b.now().Next)
			}
			b.press("count_1") // decides anew, as what it was
			b.press("release")
			b.point("approach_loop", true) // the next waits before this one is gone
			b.leave()
			b.tag(otherCard)
			b.plate(goodPlate)
			if b.now().Type != passage.General || b.now().Next != "" {
				t.Errorf("after it: %s, next %q", b.now().Type, b.now().Next)
			}
			b.point("approach_loop", false)
			b.point("booth_loop", true)
			b.press("count_1")
			b.press("release")
			b.leave()
			// On an empty road it changes at once; a wish is taken back by its opposite.
			b.press("lane_nexus")
			if b.now().Type != passage.NEXUS {
				t.Errorf("empty road: %s", b.now().Type)
			}
			time.Sleep(11 * time.Minute) // or the same card would be back too soon (413)
			b.arrive(goodCard)
			b.press("lane_general")
			b.press("lane_nexus")
			b.press("lane_fast") // none of its types
			b.press("count_1")
			b.press("release")
			b.leave()
		})
		got := strings.Join(b.policies(), ", ")
		want := `^nexus PRIMARY, nexus EXPEDITE(, nexus EXPEDITE)?, set general, general PRIMARY(, general PRIMARY)*, set nexus, nexus PRIMARY, nexus EXPEDITE(, nexus EXPEDITE)?$`
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("recorded %s\nwant     %s", got, want)
		}
	})
}

// TestI2_TypeWaitsForTheJournal: what decisions stand on is on disk before
// anything stands on it, and the wish is fulfilled once it can be.
func TestI2_TypeWaitsForTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.typed(t)
		b.run(func() {
			b.broken(errors.New("disk full"))
			b.press("lane_general")
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if b.now().Type != passage.NEXUS || b.now().Next != passage.General {
				t.Errorf("%s, next %s", b.now().Type, b.now().Next)
			}
			b.broken(nil)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if b.now().Type != passage.General || b.now().Next != "" {
				t.Errorf("after the fault: %s, next %s", b.now().Type, b.now().Next)
			}
			// The file that keeps it cannot be written: the lane stays what it is.
			b.lane.types.file = filepath.Join(b.lane.types.file, "no", "folder")
			b.press("lane_nexus")
			if b.now().Type != passage.General {
				t.Error("changed without being kept")
			}
		})
	})
}

// TestI1_TypeOutlivesARestart: the lane is after a restart what its sign says,
// and closed when that cannot be told.
func TestI1_TypeOutlivesARestart(t *testing.T) {
	text, err := os.ReadFile("../configs/ready.toml")
	if err != nil {
		t.Fatal(err)
	}
	load := func(lane, dir string) *configs.Config {
		t.Helper()
		s := strings.Replace(string(text), "type = \"ready\"\nothers = [\"general\"] ", lane, 1)
		s = strings.Replace(s, "lane_ready =", "# lane_ready =", 1)
		cfg, err := Drivers.Parse("x.toml", []byte(strings.Replace(s, `# dir = "/var/lib/boothd"`, `dir = "`+dir+`"`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	dir := t.TempDir()
	both := load("type = \"nexus\"\nothers = [\"general\"]", dir)
	types, err := newLaneTypes(both)
	if err != nil || types.policy().Lane != passage.NEXUS {
		t.Fatalf("the first start: %v, %v", types.policy().Lane, err)
	}
	if err := types.keep(types.may[passage.General]); err != nil {
		t.Fatal(err)
	}
	if types, err = newLaneTypes(both); err != nil || types.policy().Lane != passage.General {
		t.Errorf("a restart: %v, %v", types.policy().Lane, err)
	}
	file := filepath.Join(dir, "lane-type")
	for name, spoil := range map[string]func() error{
		"torn":       func() error { return os.WriteFile(file, []byte("gen"), 0o600) },
		"empty":      func() error { return os.WriteFile(file, nil, 0o600) },
		"other type": func() error { return os.WriteFile(file, []byte("fast"), 0o600) },
		"no file":    func() error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) },
	} {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("general"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := newLaneTypes(both); err == nil {
			t.Errorf("%s: nothing is said", name)
		}
		if b := build(both, World{Log: discard(), Mono: func() time.Duration { return 0 },
			Clock: func() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 }, Secret: func(configs.Ref) ([]byte, error) { return nil, errors.New("none") }}); !b.lane.machine.Closed() {
			t.Errorf("%s: the lane is open", name)
		}
	}
	// A lane of one type has nothing to remember.
	if types, err := newLaneTypes(load("type = \"general\"", dir)); err != nil || types.policy().Lane != passage.General {
		t.Errorf("one type: %v, %v", types.policy().Lane, err)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// What a configuration may make stricter is all that the rules allow to be.
func TestStricterReasonsAreTheRules(t *testing.T) {
	var want []int
	for _, c := range passage.Codes() {
		if c >= passage.LaneClosed && c < passage.RandomCompliance && (c < passage.LookoutStop || c > passage.LookoutPossible) {
			want = append(want, int(c))
		}
	}
	slices.Sort(want)
	if !slices.Equal(configs.StricterReasons, want) {
		t.Errorf("configs: %v\nrules:   %v", configs.StricterReasons, want)
	}
}
