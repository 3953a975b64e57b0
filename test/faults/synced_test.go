package faults

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"syscall"
	"testing"

	"boothd/buffer/journal"
)

// failedSync runs a journal whose n-th sync of a file fails, in an empty folder.
// hit is false if there are fewer. Syncs of the folder do not fail here: SQLite
// passes over that, and Linux makes the name of a new file durable with its
// first sync.
func failedSync(t *testing.T, dir string, n int) (base map[string][]byte, steps []Step, hit bool) {
	t.Helper()
	if err := fresh(dir); err != nil {
		t.Fatal(err)
	}
	b := &breaker{fault: fault{name: "sync EIO", kind: Sync, answer: Answer{Err: syscall.EIO}}, n: n}
	r := &Recorder{}
	base, _ = record(t, dir, func(ctx context.Context, _ func(any)) (err error) {
		rig := func(c Call) Answer {
			if c.Folder {
				return Answer{}
			}
			return b.Break(c)
		}
		hit, err = live(ctx, dir, b, r.Noting(rig), r.Say)
		return err
	})
	return base, r.Steps(), hit
}

// cutNow looks at the disk that a cut leaves if all is lost that can be.
func cutNow(t *testing.T, dir string, d *Disk, said []any) error {
	t.Helper()
	return lookAt(t.Context(), dir, d.Cut(Dropped, nil), said, func(ctx context.Context, dir string, words []any) error {
		return errors.Join(keepsItsWord(ctx, sweepConfig(dir), toldBy(words)), sound(filepath.Join(dir, journalFile)))
	})
}

// A sync fails, and what it should have made durable never is, though it is read
// as if it were. Power cuts at any later moment lose no event for that.
func TestI4_FailedSyncsLoseNoEvent(t *testing.T) {
	t.Parallel()
	dir, other := scratch(t), scratch(t)
	for n := 1; ; n++ {
		base, steps, hit := failedSync(t, dir, n)
		if !hit {
			t.Logf("%d syncs failed", n-1)
			return
		}
		d := NewDisk(base)
		var said []any
		for i, s := range steps {
			d.Apply(s)
			if s.Word == nil {
				continue
			}
			said = append(said, s.Word)
			if err := cutNow(t, other, d, said); err != nil {
				t.Errorf("sync %d fails, the power after step %d: %v", n, i, err)
				break
			}
		}
	}
}

// A sync fails, the booth is killed over it and started again: it reads what the
// kernel still has in memory. A power cut then loses no event that was
// acknowledged after the start.
func TestI4_RestartAfterAFailedSyncLosesNoEvent(t *testing.T) {
	t.Parallel()
	dir, again, other := scratch(t), scratch(t), scratch(t)
	differ := 0
	for n := 1; ; n++ {
		base, steps, hit := failedSync(t, dir, n)
		if !hit {
			if t.Logf("%d syncs failed", n-1); differ == 0 {
				t.Error("the medium held what was read, whatever failed: nothing is tested")
			}
			return
		}
		d, seen := NewDisk(base), NewDisk(base) // what is on the medium, what programs read
		var said []any
		for _, s := range steps {
			d.Apply(s)
			failed := s.Failed
			s.Failed = false
			seen.Apply(s)
			if s.Word != nil {
				said = append(said, s.Word)
			}
			if failed {
				break
			}
		}
		layOut(t, again, seen.Cut(Kept, nil))
		if !maps.EqualFunc(seen.Cut(Kept, nil), d.Cut(Kept, nil), bytes.Equal) {
			differ++
		}
		_, more := record(t, again, func(ctx context.Context, say func(any)) (err error) {
			j, _, err := journal.Open(ctx, sweepConfig(again))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, j.Close()) }()
			say(epochIs{j.Epoch()})
			return booth{j, say}.store(ctx, event("crossing", "after the start", 300))
		})
		for _, s := range more {
			d.Apply(s)
			if s.Word == nil {
				continue
			}
			said = append(said, s.Word)
			if _, ok := s.Word.(stored); !ok {
				continue
			}
			if err := cutNow(t, other, d, said); err != nil {
				t.Errorf("sync %d fails, the booth starts again, the power fails: %v", n, err)
			}
		}
	}
}

func layOut(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	err := fresh(dir)
	for name, b := range files {
		if err == nil {
			err = writeSparse(filepath.Join(dir, name), b)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
