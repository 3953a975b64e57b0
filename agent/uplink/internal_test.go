package uplink

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"boothd/agent/contract"
)

func TestAir(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	a := newAir()
	for n := range 6 {
		a.sent(7, now, time.Minute)
		pause := min(resendMost, time.Minute<<n)
		if _, due := a.due(now.Add(pause)); due {
			t.Errorf("try %d: due without PUBACK, on the same connection", n+1)
		}
		a.acked(7)
		if _, due := a.due(now.Add(pause - 1)); due {
			t.Errorf("try %d: due before %v", n+1, pause)
		}
		now = now.Add(pause)
		if seq, due := a.due(now); !due || seq != 7 {
			t.Errorf("try %d: not due after %v", n+1, pause)
		}
	}
	a.sent(8, now, time.Minute)
	a.lost()
	if !a.aloft(7) || a.aloft(8) {
		t.Errorf("after the line was lost: 7 aloft %v, 8 aloft %v, want only the one with PUBACK", a.aloft(7), a.aloft(8))
	}
	a.hold(now.Add(time.Hour))
	if _, due := a.due(now.Add(time.Hour - 1)); due {
		t.Error("due while it was put off")
	}
	a.receipted(contract.Receipt{Upto: 6, Have: [][2]uint64{{7, 7}}})
	if a.aloft(7) {
		t.Error("in the air after its receipt")
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"list/v1/#", "list/v1/tuf/root/1", true}, {"list/v1/#", "list/v2/x", false}, {"fleet/v1/notice", "fleet/v1/notice", true},
		{"fleet/v1/notice", "fleet/v1", false}, {"a/+/c", "a/b/c", true}, {"a/+/c", "a/b/d", false}, {"a/+", "a/b/c", false},
	} {
		if got := matches(c.filter, c.topic); got != c.want {
			t.Errorf("matches(%q, %q) = %v, want %v", c.filter, c.topic, got, c.want)
		}
	}
}

func TestABrokenCounterIsNotStartedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conn")
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := ConnFile(path)(); err == nil {
		t.Errorf("ConnFile = %d from garbage, want an error", n)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"bad booth":  {Booth: "Pac Hwy", Brokers: []string{"tcp://a:1"}},
		"no broker":  {Booth: "pac-1"},
		"no port":    {Booth: "pac-1", Brokers: []string{"ssl://a"}},
		"no TLS":     {Booth: "pac-1", Brokers: []string{"ssl://a:8883"}},
		"websockets": {Booth: "pac-1", Brokers: []string{"ws://a:80"}},
	} {
		if _, err := New(cfg, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
