package journal

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process that cannot open anything more stores events all the same, over
// checkpoints, receipts and reading.
func TestI5_StoresWithoutADescriptorLeft(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	add(t, j, sized())
	if _, err := j.Pending(t.Context(), Query{Lane: Backlog, Limit: 1}); err != nil { // the reading connection, as an uplink has it
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	limit := func(now unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
			t.Fatal(err)
		}
	}
	limit(unix.Rlimit{Cur: 3, Max: was.Max})
	defer limit(was)
	if fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err == nil {
		t.Fatalf("descriptor %d was opened: the limit does not bite", fd)
	}
	var seq uint64
	for i := range 3 * walMost {
		seq = add(t, j, sized(), event("crossing"))[1].Seq
		if i%20 == 0 {
			time.Sleep(2 * idleAfter) // it tidies up
		}
	}
	if err := j.do(t.Context(), func(w *writer) (bool, error) { // whatever it has tidied up by itself
		moved := w.checkpoint()
		w.commits = 0
		return false, moved
	}); err != nil {
		t.Error("moving the WAL into the database:", err)
	}
	if rows, err := j.Pending(t.Context(), Query{Lane: Backlog, Limit: 10}); err != nil || len(rows) != 10 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if err := j.Receipted(context.WithoutCancel(t.Context()), Receipt{Epoch: j.Epoch(), Upto: seq}); err != nil {
		t.Error(err)
	}
	if got := j.Stats(); got.Last != seq || got.Waiting != 0 {
		t.Errorf("%+v after %d events", got, seq)
	}
}
