package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/configs"
)

// recovery is how long after a fault's end the booth must decide again
// (reliability reference, R2).
const recovery = 5 * time.Second

// block puts a folder in the place of a file, which nothing can open as a
// database and nothing takes for a damaged one; free puts the file back. Either
// is one step, or a try to open it just then would see no file at all and be
// right to call it lost.
func block(t *testing.T, path string) (free func()) {
	t.Helper()
	away := filepath.Join(t.TempDir(), "away") // what is strange to the store it sweeps out
	if err := os.MkdirAll(filepath.Join(away, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	swap := func() {
		if err := unix.Renameat2(unix.AT_FDCWD, away, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE); err != nil {
			t.Fatal(err)
		}
	}
	swap()
	return swap
}

// A list that could not be opened at the start answers soon after it can be,
// without a restart; the others do meanwhile.
func TestI1_AListThatCouldNotBeOpenedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := passage.Token("11111111aaaaaaaa1111111122222222")
		s, kept := shelfOf(t, map[passage.Token][]time.Time{token: {time.Now().AddDate(0, 1, 0)}})
		if err := s.open.Swap(nil).Close(); err != nil {
			t.Fatal(err)
		}
		free := block(t, filepath.Join(s.dir, "lists", "lookouts-4.db"))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.run(ctx); close(done) }()
		for range 5 {
			time.Sleep(10 * time.Minute)
			if _, _, err := s.lookup(nil, "lookouts", token); err == nil || errors.Is(err, errNoLists) {
				t.Errorf("a list that cannot be opened: %v", err)
			}
		}
		free()
		began := time.Now()
		for {
			_, ok, err := s.lookup(nil, "lookouts", token)
			if err == nil && ok {
				break
			}
			if time.Since(began) > recovery {
				t.Fatalf("%v after it can be opened: %v %v", recovery, ok, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		stop()
		<-done
		for _, d := range *kept {
			if _, bad := d.(contract.ListFailed); bad {
				t.Errorf("a sound list was told to be damaged: %+v", d)
			}
		}
	})
}

// A booth that was started without being able to open its journal notices soon
// that it can.
func TestI2_AJournalThatCouldNotBeOpenedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := &configs.Config{}
		cfg.Store.Dir = configs.Path(t.TempDir())
		o := newOutbox(slog.New(slog.DiscardHandler), cfg, contract.Head{Booth: "reopened"})
		if err := o.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.close()
		free := block(t, o.cfg.Path)
		if err := o.open(t.Context()); err == nil {
			t.Fatal("a folder was opened as a journal")
		}
		if _, err := o.store(t.Context(), time.Now(), contract.Notice{What: "nothing"}); !errors.Is(err, errNoJournal) {
			t.Errorf("stored without a journal: %v", err)
		}
		mended := make(chan bool, 1)
		go func() { mended <- o.mend(t.Context()) }()
		time.Sleep(time.Hour + time.Millisecond) // just after a try
		free()
		began := time.Now()
		// Start, devices and the first vehicle are to come within it, too.
		if ok := <-mended; !ok || time.Since(began) > recovery/2 {
			t.Errorf("%v, noticed after %v", ok, time.Since(began))
		}
		if names, err := filepath.Glob(o.cfg.Path + "*broken*"); err != nil || strings.Join(names, "") != "" {
			t.Errorf("%v was set aside, %v", names, err)
		}
	})
}

// A booth that is started on a disk that does not even give it its lock has a lane
// with safe lamps, expedites nobody, and starts anew once it can have the lock.
func TestI9_AStoreThatCouldNotBeLockedIsTriedAgain(t *testing.T) {
	t.Parallel() // it waits most of the time
	r := newRig(t)
	way := filepath.Join(r.dir, "store", "lock", "in the way")
	if err := os.MkdirAll(way, 0o700); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { ended <- Run(ctx, r.cfg, r.world) }()
	r.await("driving lamps", func(p status.Picture) bool { return len(p.Devices) == 3 && p.Devices[2].Online && !p.Store.OK })
	r.set("booth_loop", true)
	p := r.await("decided", func(p status.Picture) bool { return p.Lane.Now != nil })
	if p.Lane.Now.Outcome != passage.Primary.String() || p.Lane.Durable {
		t.Errorf("decided %+v, durable: %t", p.Lane.Now, p.Lane.Durable)
	}
	select {
	case err := <-ended:
		t.Fatalf("ended with %v while there is no lock", err)
	case <-time.After(reopenEvery + 500*time.Millisecond): // it has been tried
	}
	if err := os.RemoveAll(filepath.Dir(way)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if again := (*Reloaded)(nil); !errors.As(err, &again) || again.Config != r.cfg {
			t.Errorf("ended with %v, want a start anew", err)
		}
	case <-time.After(time.Minute):
		t.Errorf("no start anew: %s", r.log.String())
	}
	r.safe()
}
