package faults

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boothd/buffer/journal"
	"boothd/test/long"
)

// look is what a journal has to stand after a cut.
func look(ctx context.Context, dir string, words []any) error {
	if err := keepsItsWord(ctx, dayConfig(dir), toldBy(words)); err != nil {
		return err
	}
	return sound(filepath.Join(dir, journalFile))
}

// Cut at every write of appends, receipts, pruning, thinning and claims.
func TestI4_PowerCutsLoseNoCommittedEvent(t *testing.T) {
	dir := scratch(t)
	base, steps := record(t, dir, func(ctx context.Context, say func(any)) error { return day(ctx, dir, 4, 14*max(1, long.Times()), say) })
	comesToItsLimits(t, dir, steps)
	c := cutEach(t, base, steps, look)
	c.none(t)
	if c.points < 1000 {
		t.Errorf("%d cut points, want 1,000: the day is too short", c.points)
	}
}

// Cut at every write and sync of a redo log that goes from one half to the other
// and back, while the database is behind.
func TestI4_PowerCutsWhileTheLogTurns(t *testing.T) {
	dir := scratch(t)
	cfg := func(dir string) journal.Config {
		return journal.Config{Path: filepath.Join(dir, journalFile), Log: OpenLog}
	}
	base, steps := record(t, dir, func(ctx context.Context, say func(any)) (err error) {
		j, _, err := journal.Open(ctx, cfg(dir))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, j.Close()) }()
		say(epochIs{j.Epoch()})
		for i := range 40 {
			group := make([]journal.Entry, 10+5*(i%8)) // at most 0.7 MB: two or more in a half
			for k := range group {
				group[k] = event("crossing", fmt.Sprintf("%d/%d", i, k), journal.MaxBody-200)
			}
			if err := (booth{j, say}).store(ctx, group...); err != nil {
				return err
			}
		}
		return nil
	})
	begins, turns := int64(-1), 0
	for _, s := range steps {
		if s.Kind != Write || !strings.HasSuffix(s.Name, ".redo") {
			continue
		}
		if half := s.Off / (journal.RedoBytes / 2); half != begins {
			begins, turns = half, turns+1
		}
	}
	if t.Logf("%d halves", turns); turns < 3 {
		t.Fatal("the log does not turn")
	}
	of := func(s Step) bool { return strings.HasSuffix(s.Name, ".redo") || s.Kind == Sync }
	cutBefore(t, base, steps, of, func(ctx context.Context, dir string, words []any) error {
		if err := keepsItsWord(ctx, cfg(dir), toldBy(words)); err != nil {
			return err
		}
		return sound(filepath.Join(dir, journalFile))
	}).none(t)
}

// comesToItsLimits fails if a day does not do what it is cut for.
func comesToItsLimits(t *testing.T, dir string, steps []Step) {
	t.Helper()
	r, err := journal.OpenReader(t.Context(), filepath.Join(dir, journalFile))
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Verify(t.Context(), 1, 1<<40)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	moved := 0 // writes of the database, which checkpoints alone do
	for _, s := range steps {
		if s.Kind == Write && s.Name == journalFile {
			moved++
		}
	}
	if v.First == 1 || len(v.Gaps) == 0 || len(v.Thinned) == 0 || moved < 50 {
		t.Fatalf("events from %d, %d gaps, %d thinnings, %d pages moved: the day leaves something out", v.First, len(v.Gaps), len(v.Thinned), moved)
	}
}

// The rig bites: a log that is synced before checkpoints alone, as
// synchronous=NORMAL does, loses events, and nothing but events.
func TestThePowerCutsBite(t *testing.T) {
	dir := scratch(t)
	base, steps := record(t, dir, func(ctx context.Context, say func(any)) error { return day(ctx, dir, 2, 14, say) })
	c := cutEach(t, base, normal(steps), look)
	t.Logf("%d disks, %d lost what was committed", c.disks, c.lost)
	if c.lost == 0 {
		t.Error("a log that was not synced lost nothing: the rig does not bite")
	}
	if c.broken > 0 {
		t.Errorf("%d disks are not whole: the rig is crueller than a disk\n%s", c.broken, strings.Join(c.say, "\n"))
	}
}

// normal leaves the syncs of the log out that no write of the database follows.
func normal(steps []Step) (out []Step) {
	for i, s := range steps {
		if s.Kind == Sync && strings.HasSuffix(s.Name, "-wal") && !checkpointAt(steps[i+1:]) {
			continue
		}
		out = append(out, s)
	}
	return out
}

func checkpointAt(steps []Step) bool {
	for _, s := range steps {
		if s.Word == nil && s.Kind == Write && !strings.HasSuffix(s.Name, "-shm") {
			return s.Name == journalFile
		}
	}
	return false
}

// Cut at every write of a migration and of the first events after it, from each
// former version: what the old file held is there.
func TestI4_PowerCutsWhileAJournalMigrates(t *testing.T) {
	for _, version := range []string{"v1", "v2", "v3"} {
		t.Run(version, func(t *testing.T) {
			old, err := os.ReadFile(filepath.Join("../../buffer/journal/testdata", version+".db"))
			if err != nil {
				t.Fatal(err)
			}
			dir := scratch(t)
			if err := os.WriteFile(filepath.Join(dir, journalFile), old, 0o600); err != nil {
				t.Fatal(err)
			}
			before := contents(t, filepath.Join(dir, journalFile))
			base, steps := record(t, dir, func(ctx context.Context, say func(any)) (err error) {
				j, _, err := journal.Open(ctx, journal.Config{Path: filepath.Join(dir, journalFile), Log: OpenLog})
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, j.Close()) }()
				return booth{j, say}.store(ctx, event("crossing", "the first since", 300))
			})
			c := cutEach(t, base, steps, func(ctx context.Context, dir string, words []any) error {
				k := toldBy(words)
				k.epoch = before.epoch
				maps.Copy(k.stored, before.stored)
				k.asked, k.receipts = before.asked, before.receipts
				cfg := journal.Config{Path: filepath.Join(dir, journalFile), Log: OpenLog}
				return errors.Join(keepsItsWord(ctx, cfg, k), sound(cfg.Path))
			})
			c.none(t)
			if len(before.stored) == 0 {
				t.Error("the old file holds no event")
			}
		})
	}
}

// contents is what a journal holds, as if it had been told.
func contents(t *testing.T, path string) told {
	t.Helper()
	r, err := journal.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	k := toldBy(nil)
	if k.epoch, err = r.Epoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Range(t.Context(), 1, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		k.stored[rec.Seq] = sha256.Sum256(rec.Body)
		if rec.State != journal.Waiting {
			a := asked{have: rec.Seq}
			k.asked, k.receipts = append(k.asked, a), append(k.receipts, a)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return k
}
