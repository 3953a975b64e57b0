package powercut

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"boothd/buffer/eligibility"
	"boothd/buffer/journal"
	"boothd/test/long"
)

// bootMost is what a start may write until it serves, bytes (reliability
// reference, section 4): a booth that starts every 20 s must not wear its card.
const bootMost = 1 << 20

// bootJournal is a journal that gives nothing up.
func bootJournal(dir string) journal.Config {
	return journal.Config{Path: filepath.Join(dir, "journal.db")}
}

// bootPart is a booth that starts, stores some events, takes the next list, and
// ends without a word.
func bootPart(ctx context.Context, dir string) error {
	j, found, err := journal.Open(ctx, bootJournal(dir))
	if err != nil {
		return err
	}
	if found.SetAside != "" {
		return fmt.Errorf("the journal was set aside as %s", filepath.Base(found.SetAside))
	}
	s, err := eligibility.Open(ctx, filepath.Join(dir, "lists"))
	if err != nil {
		return err
	}
	if f := s.Faults(); len(f) > 0 {
		return f[0]
	}
	active := inForce(s)
	if err := say("serving %d %d", j.Last(), active); err != nil {
		return err
	}
	store := func() error {
		stamps, err := j.Append(ctx, entry("audit", "started"), entry("crossing", "passage"))
		if err != nil {
			return err
		}
		return say("stored %d", stamps[len(stamps)-1].Seq)
	}
	for range 3 {
		if err := store(); err != nil {
			return err
		}
	}
	return errors.Join(whole(active+1)(ctx, s), store())
}

// inForce is the generation of the list in force; 0: none is.
func inForce(s *eligibility.Store) uint64 {
	v := s.View()
	defer v.Release()
	if gens := v.Generations(); len(gens) > 0 {
		return gens[0].Generation
	}
	return 0
}

// The power fails again and again, mostly while a start is at work with what the
// failure before has left: every start ends and writes little, and no event and
// no list is lost in all.
func TestI4I6_BrownOut(t *testing.T) {
	chain := 10
	if n := long.Times(); n > 0 {
		chain = 50 * n
	}
	top, dice := scratch(t), rand.New(rand.NewPCG(50, 0xb0))
	at := func(name string) string {
		t.Helper()
		dir := filepath.Join(top, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := at("disk 0")
	last, generation, recovering, most := uint64(0), uint64(0), 0, 0
	for n := range chain {
		d := load(t, dir)
		ops := trace(t, "boot", dir)
		serves := slices.IndexFunc(ops, func(o op) bool { return o.kind == "say" })
		wrote := 0
		for _, o := range ops[:serves] {
			wrote += len(o.data)
		}
		if most = max(most, wrote); wrote > bootMost {
			t.Errorf("start %d wrote %d bytes before it served", n, wrote)
		}
		end := len(ops)
		switch {
		case n%4 > 0:
			end = dice.IntN(serves + 1)
			recovering++
		case n%8 > 0: // it comes further, so that there is something to recover
			end = serves + dice.IntN(len(ops)-serves+1)
		}
		for _, o := range ops[:end] {
			var stored, list uint64
			if err := d.do(o); err != nil {
				t.Fatal(err)
			}
			if o.kind != "say" {
				continue
			}
			_, _ = fmt.Sscanf(string(o.data), "stored %d", &stored)
			_, _ = fmt.Sscanf(string(o.data), "active %d", &list)
			_, _ = fmt.Sscanf(string(o.data), "serving %d %d", &stored, &list)
			last, generation = max(last, stored), max(generation, list)
		}
		how := cuts[dice.IntN(len(cuts))]
		left, copied := at(fmt.Sprint("disk ", n+1)), at(fmt.Sprint("copy ", n+1))
		if err := errors.Join(d.cut(how, left, dice), os.RemoveAll(dir), os.CopyFS(copied, os.DirFS(left))); err != nil {
			t.Fatal(err)
		}
		if err := outlives(t.Context(), copied, last, generation); err != nil {
			t.Fatalf("cut %d, %s of the unsynced kept: %v", n+1, how, err)
		}
		if err := os.RemoveAll(copied); err != nil {
			t.Fatal(err)
		}
		dir = left
	}
	t.Logf("%d cuts, %d of them in a start that was not over; %d events, list %d; a start wrote %d bytes at most", chain, recovering, last, generation, most)
	if last < uint64(chain)/2 || generation < uint64(chain)/10 {
		t.Error("too few starts came to anything")
	}
}

// outlives opens what a cut has left: all events up to the last that was told are
// there, and the list that was, or the one that was being taken.
func outlives(ctx context.Context, dir string, last, generation uint64) error {
	j, was, err := journal.Open(ctx, bootJournal(dir))
	if err != nil {
		return err
	}
	v, err := j.Verify(ctx, 1, j.Last())
	if err == nil && j.Last() > 0 {
		switch {
		case was.SetAside != "":
			err = fmt.Errorf("the journal was set aside as %s", filepath.Base(was.SetAside))
		case v.First != 1 || len(v.Gaps) > 0 || v.Last < last:
			err = fmt.Errorf("%+v, event %d was said to be stored", v, last)
		}
	} else if err == nil && last > 0 {
		err = fmt.Errorf("no event is left of %d", last)
	}
	if err = errors.Join(err, j.Close()); err != nil {
		return err
	}
	lists := filepath.Join(dir, "lists")
	if err := os.MkdirAll(lists, 0o700); err != nil {
		return err
	}
	return holdsAs(ctx, lists, nil, func(s *eligibility.Store, active uint64) error { return found(s, active, false) }, generation, generation+1)
}
