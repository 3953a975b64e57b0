package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/eligibility"
)

// restart closes the list store and opens it again.
func (s *shelf) restart(t *testing.T) {
	t.Helper()
	if err := s.open.Load().Close(); err != nil {
		t.Fatal(err)
	}
	st, err := eligibility.Open(t.Context(), filepath.Join(s.dir, "lists"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s.open.Store(st)
}

// rot flips a bit of a row that nobody asks for.
func (s *shelf) rot(t *testing.T, token passage.Token) {
	t.Helper()
	raw, err := contract.TokenBytes(token)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(s.dir, "lists", "lookouts-4.db")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, raw[:])+len(raw)] ^= 4
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A list that rots is found within a day, though the booth is started anew every
// few hours, and is asked for again.
func TestI6_RotIsFoundWithinADayWhateverRestarts(t *testing.T) {
	for name, quiet := range map[string]bool{"busy": false, "quiet": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				until := time.Now().AddDate(0, 1, 0)
				token := passage.Token("11111111aaaaaaaa1111111122222222")
				s, kept := shelfOf(t, map[passage.Token][]time.Time{token: {until}, "22222222aaaaaaaa1111111122222222": {until}})
				s.quiet = func() bool { return quiet }
				anew := 0
				s.dropped = func() { anew++ }
				began := time.Now()
				for ; len(s.generations()) > 0; time.Sleep(upkeepEvery) {
					s.upkeep(t.Context())
					switch since := time.Since(began); {
					case since == time.Hour:
						s.rot(t, token)
					case since%(7*time.Hour) == 0:
						s.restart(t)
					case since > 25*time.Hour:
						t.Fatal("it was never found")
					}
				}
				found := time.Since(began)
				if least := map[bool]time.Duration{false: rotMost, true: rotLeast}[quiet]; found < least || found > least+2*upkeepEvery {
					t.Errorf("found after %v, want %v", found, least)
				}
				if len(*kept) != 1 || anew != 1 {
					t.Fatalf("told %v, asked for %d times", *kept, anew)
				}
				if f, ok := (*kept)[0].(contract.ListFailed); !ok || f.Reason != "damaged" || f.Generation != 4 {
					t.Errorf("told %+v", (*kept)[0])
				}
				_ = s.open.Load().Close()
			})
		})
	}
}

// A booth whose clock was ahead reads its lists again.
func TestRotIsDue(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		ago   time.Duration
		quiet bool
		want  bool
	}{
		{"just now", 0, true, false},
		{"busy", 22 * time.Hour, false, false},
		{"busy for a day", rotMost, false, true},
		{"quiet too soon", rotLeast - time.Minute, true, false},
		{"quiet", rotLeast, true, true},
		{"to come", -time.Minute, false, true},
	} {
		if got := rotDue(now.Add(-tt.ago), now, tt.quiet); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if !rotDue(time.Time{}, now, false) {
		t.Error("never read, and not due")
	}
}

// An hour is quiet when nobody has driven through for a while.
func TestQuietHour(t *testing.T) {
	for name, tt := range map[string]struct {
		p    *picture
		want bool
	}{
		"not running":   {nil, true},
		"nobody yet":    {&picture{}, true},
		"a passage":     {&picture{Active: true}, false},
		"just left":     {&picture{Last: []finished{{At: time.Now().Add(-time.Minute)}, {At: time.Now().Add(-time.Hour)}}}, false},
		"left long ago": {&picture{Last: []finished{{At: time.Now().Add(-quietFor)}}}, true},
	} {
		b := new(bulletin)
		b.lane.Store(tt.p)
		if got := b.restful(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
