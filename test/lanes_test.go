package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/test/long"
)

// Every kind of lane runs whole: each kind of vehicle or traveller of its day
// comes once or more and is decided as the scenario says; nothing is lost, no
// lamp unsafe, every decision replays and no identifier is anywhere.
func TestEveryLaneRunsItsDay(t *testing.T) {
	t.Parallel()
	for lane, tt := range map[string]struct {
		passages string
		speed    string
		greens   int
		leads    []string
	}{
		"fast":      {"22", "4", 5, []string{"100", "400", "403", "407", "603", "702", "703", "705", "706", "801", "802", "805", "901"}},
		"nexus-air": {"8", "3", 1, []string{"100", "402", "405", "406", "500", "850", "854", "855"}},
		"ready":     {"14", "4", 4, []string{"101", "200", "407", "408", "900", "901"}},
		"general":   {"17", "4", 4, []string{"101", "200", "407", "408", "800", "801", "900", "901"}},
		"hardware":  {"11", "2", 4, []string{"101", "200", "301", "407", "408", "901"}},
		"egate":     {"9", "4", 2, []string{"100", "402", "406", "407", "408", "501", "600"}},
	} {
		if lane == "hardware" && long.Times() == 0 {
			continue // the longest day; every far end has a test in cmd/boothsim
		}
		t.Run(lane, func(t *testing.T) {
			t.Parallel() // they wait for vehicles most of the time
			dir := filepath.Join(t.TempDir(), "booth")
			r := demo(t, 3*time.Minute, "--bin", programs, "--lane", lane, "--passages", tt.passages, "--speed", tt.speed, "--dir", dir)
			if r.Missing != 0 || r.Doubled != 0 || r.Receipted != r.Stored || r.Unsafe != 0 || r.Unseen != 0 || r.Greens+r.Outcomes["900"] < tt.greens { // who is drawn at random is not let go
				t.Errorf("%+v", r)
			}
			missing := 0
			for _, lead := range tt.leads {
				if r.Outcomes[lead] == 0 {
					missing++
				}
			}
			// What is drawn at random is led by 900 instead.
			if missing > r.Outcomes["900"]+r.Outcomes["213"] {
				t.Errorf("%d of the leads %v were not met: %v", missing, tt.leads, r.Outcomes)
			}
			if again, _ := replays(t, dir); again < 8 {
				t.Errorf("I8: %d decisions replayed", again)
			}
			bareTrade(t, dir)
			if lane == "nexus-air" {
				receipts(t, dir, r)
			}
		})
	}
}

// receipts: one for each session that came to its end with its party, A for
// those alone who were expedited, and B without a word why.
func receipts(t *testing.T, dir string, r result) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "receipts.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var a, other int
	for _, text := range strings.Split(strings.TrimSpace(string(b)), "\n--") {
		switch text = strings.TrimSpace(text); {
		case text == "":
		case strings.HasPrefix(text, "A\nPROCEED"):
			a++
		case strings.HasPrefix(text, "B\nSEE AN OFFICER"):
			other++
		default:
			t.Errorf("a receipt says %q", text)
		}
	}
	if a != r.Outcomes["100"] || other == 0 {
		t.Errorf("%d receipts say A, %d B; %v", a, other, r.Outcomes)
	}
}

// bareTrade looks for raw numbers of trade where none may be (I7).
func bareTrade(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"mqtt.bytes", "metrics.txt", "boothd.log", "events.db", "store/journal.db", "store/journal.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range []string{"PARS0", "123456782RM", "SIMU0", "MEDU8707", "E280116060", "53494D20", "SIM 0000", "BX0000"} {
			if strings.Contains(string(b), raw) {
				t.Errorf("I7: %s holds %q", name, raw)
			}
		}
	}
}
