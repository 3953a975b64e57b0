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

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/configs"
)

// recovery is how long after a fault's end the booth must decide again
// (reliability reference, R2).
const recovery = 5 * time.Second

// block puts a folder in the place of a file, which nothing can open as a
// database and nothing takes for a damaged one; free puts the file back.
func block(t *testing.T, path string) (free func()) {
	t.Helper()
	away := filepath.Join(t.TempDir(), "away") // what is strange to the store it sweeps out
	if err := os.Rename(path, away); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.RemoveAll(path), os.Rename(away, path)); err != nil {
			t.Fatal(err)
		}
	}
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
