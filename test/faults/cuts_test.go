package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"boothd/test/long"
)

// workers look at disks side by side; the check waits for the file system as
// much as for a core.
const workers = 3

// ways is in how many ways the power is cut at one point: everything is lost, and
// others in turn. BOOTHD_LONG has all of them tried everywhere.
func ways() int {
	if long.Times() > 0 {
		return int(losses)
	}
	return 2
}

// found is what a series of cuts came to.
type found struct {
	points, disks int
	lost, broken  int // disks

	mu  sync.Mutex // several look
	say []string   // what was wrong with the first of them
}

func (f *found) note(at int, loss Loss, err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(err, errLost) {
		f.lost++
	} else {
		f.broken++
	}
	if len(f.say) < 10 {
		f.say = append(f.say, fmt.Sprintf("cut before step %d, loss %d: %v", at, loss, err))
	}
}

// none fails if a disk was not as it has to be.
func (f *found) none(t *testing.T) {
	t.Helper()
	t.Logf("%d cut points, %d disks", f.points, f.disks)
	if f.lost+f.broken > 0 {
		t.Errorf("%d disks lost what was committed, %d are not whole:\n%s", f.lost, f.broken, strings.Join(f.say, "\n"))
	}
}

// cutEach cuts the power before every step and after the last, and has the disks
// looked at that may be left, together with the words said before the cut.
func cutEach(t *testing.T, base map[string][]byte, steps []Step, look func(ctx context.Context, dir string, words []any) error) *found {
	t.Helper()
	return cutBefore(t, base, steps, func(Step) bool { return true }, look)
}

// cutBefore does so before some of the steps.
func cutBefore(t *testing.T, base map[string][]byte, steps []Step, where func(Step) bool, look func(ctx context.Context, dir string, words []any) error) *found {
	t.Helper()
	type state struct {
		at    int
		loss  Loss
		files map[string][]byte
		words []any
	}
	var out found
	var all sync.WaitGroup
	states := make(chan state)
	for range workers {
		dir := scratch(t)
		all.Go(func() {
			for s := range states {
				out.note(s.at, s.loss, lookAt(t.Context(), dir, s.files, s.words, look))
			}
		})
	}
	d, dice := NewDisk(base), rand.New(rand.NewPCG(17, uint64(len(steps))))
	var words []any
	for i, s := range append(slices.Clone(steps), Step{Word: "the end"}) {
		if s.Word == nil && where(s) || i == len(steps) {
			out.points++
			for n := range ways() {
				loss := Dropped
				if n > 0 {
					loss = 1 + Loss(out.points+n)%(losses-1)
				}
				out.disks++
				states <- state{i, loss, d.Cut(loss, dice), slices.Clip(words)}
			}
		} else if s.Word != nil {
			words = append(words, s.Word)
		}
		d.Apply(s)
	}
	close(states)
	all.Wait()
	return &out
}

// lookAt lays a disk out in a folder and has it looked at.
func lookAt(ctx context.Context, dir string, files map[string][]byte, words []any, look func(context.Context, string, []any) error) error {
	dir = filepath.Join(dir, "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, b := range files {
		if err := writeSparse(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	err := look(ctx, dir, words)
	return errors.Join(err, os.RemoveAll(dir))
}

// writeSparse writes a file without the zeros at its end, which a log of fixed
// size has many of.
func writeSparse(path string, b []byte) error {
	if err := os.WriteFile(path, bytes.TrimRight(b, "\x00"), 0o600); err != nil {
		return err
	}
	return os.Truncate(path, int64(len(b)))
}
