package journal

import (
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Callers that came together are expected together, and one that comes alone
// afterwards is served all the same: at once, and where no time passes as well.
func TestWhoComesAloneWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
		for range 5 {
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() { add(t, j, sized()) })
			}
			all.Wait()
			add(t, j, sized())
			time.Sleep(2 * together)
			add(t, j, sized())
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// While somebody appends all the time there is no idle moment, and the WAL is
// moved into the database all the same.
func TestTheWALIsMovedWhileAppendsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
		moved := func() (n int) {
			if err := j.do(t.Context(), func(w *writer) (bool, error) { n = w.commits; return false, nil }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		most := 0
		for range 3 * walBusy {
			add(t, j, sized())
			time.Sleep(idleAfter / 2)
			most = max(most, moved())
		}
		if now := moved(); now > walBusy || most < walMost {
			t.Errorf("%d commits are in the WAL after %d, %d at most", now, 3*walBusy, most)
		}
		time.Sleep(2 * idleAfter)
		if now := moved(); now >= walMost {
			t.Errorf("%d commits are in the WAL in an idle moment", now)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}
