package journal

import (
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
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

// An event's name is a UUIDv7 of its time, and no two are the same.
func TestNamesOfEvents(t *testing.T) {
	seen := map[uuid.UUID]bool{}
	for i := range 10_000 {
		at := noon.Add(time.Duration(i) * 700 * time.Microsecond)
		id := newID(at)
		sec, nsec := id.Time().UnixTime()
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 || seen[id] || time.Unix(sec, nsec).UnixMilli() != at.UnixMilli() {
			t.Fatalf("%v at %v: version %v, %v, of %v", id, at, id.Version(), id.Variant(), time.Unix(sec, nsec))
		}
		seen[id] = true
	}
}
