package powercut

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"boothd/buffer/journal"
)

// journalConfig keeps so few rows that receipted ones are given up and
// telemetry is thinned within a part.
func journalConfig(dir string) journal.Config {
	return journal.Config{Path: filepath.Join(dir, "journal.db"), MaxRows: 120, MaxBytes: 1 << 20, Retain: 24 * time.Hour,
		Thin: journal.Thin{Classes: []string{"read"}, Event: func(t journal.Thinning) journal.Entry {
			return entry("audit", fmt.Sprintf("thinned %d of %d..%d", t.Count, t.From, t.To))
		}}}
}

// entry is an event whose body tells its place.
func entry(class, word string) journal.Entry {
	return journal.Entry{Class: class, At: time.Now(), Build: func(s journal.Stamp) ([]byte, error) {
		return fmt.Appendf(nil, `{"seq":%d,"word":%q,"pad":%q}`, s.Seq, word, strings.Repeat("x", 200)), nil
	}}
}

// journalPart is a booth's day in small: events one by one and together,
// telemetry in abundance, receipts, and no room.
func journalPart(ctx context.Context, dir string) error {
	j, _, err := journal.Open(ctx, journalConfig(dir))
	if err != nil {
		return err
	}
	var mu sync.Mutex
	store := func(entries ...journal.Entry) error {
		stamps, err := j.Append(ctx, entries...)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return say("stored %d", stamps[len(stamps)-1].Seq)
	}
	for i := range 30 {
		if err := store(entry("crossing", fmt.Sprint("one ", i))); err != nil {
			return err
		}
	}
	if err := store(entry("crossing", "a"), entry("signal", "b"), entry("audit", "c")); err != nil {
		return err
	}
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = store(entry("crossing", fmt.Sprint("together ", i))) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := j.Receipted(ctx, journal.Receipt{Epoch: j.Epoch(), Upto: 20, Have: [][2]uint64{{25, 27}}, Reject: []journal.Reject{{Seq: 22, Reason: "schema"}}}); err != nil {
		return err
	}
	for i := range 120 { // more than there is room for: telemetry is thinned
		if err := store(entry("read", fmt.Sprint("read ", i))); err != nil {
			return err
		}
	}
	for i := range 20 {
		if err := store(entry("crossing", fmt.Sprint("last ", i))); err != nil {
			return err
		}
	}
	return j.Close()
}

// migratePart opens a journal of a former version and stores an event.
func migratePart(ctx context.Context, dir string) error {
	j, _, err := journal.Open(ctx, journal.Config{Path: filepath.Join(dir, "journal.db")})
	if err != nil {
		return err
	}
	stamps, err := j.Append(ctx, entry("audit", "after the migration"))
	if err != nil {
		return err
	}
	if err := say("stored %d", stamps[0].Seq); err != nil {
		return err
	}
	return j.Close()
}

// keeps opens a journal after a cut: nothing that was said to be stored is
// missing, nothing is twice, the chain holds and it goes on with the next number.
func keeps(ctx context.Context, dir string, said []string, cfg journal.Config, before uint64) (err error) {
	least := before
	for _, word := range said {
		var n uint64
		if _, err := fmt.Sscanf(word, "stored %d", &n); err == nil {
			least = max(least, n)
		}
	}
	j, found, err := journal.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	switch {
	case found.SetAside != "":
		return fmt.Errorf("the journal was set aside as %s", filepath.Base(found.SetAside))
	case j.Last() < least:
		return fmt.Errorf("%d is the last event, %d was said to be stored", j.Last(), least)
	}
	v, err := j.Verify(ctx, 1, j.Last())
	if err != nil {
		return err
	}
	if err := explained(ctx, j, v); err != nil {
		return err
	}
	last := j.Last()
	stamps, err := j.Append(ctx, entry("audit", "after the cut"))
	if err != nil {
		return fmt.Errorf("storing after the cut: %w", err)
	}
	if stamps[0].Seq <= last || stamps[0].Seq > last+2 { // a thinning may tell of itself first
		return fmt.Errorf("event %d follows %d", stamps[0].Seq, last)
	}
	return nil
}

// explained finds every number that is not there among what was receipted or
// thinned, and reads every body that is.
func explained(ctx context.Context, j *journal.Journal, v journal.Verified) error {
	gaps := v.Gaps
	if v.First > 1 {
		gaps = append(slices.Clone(gaps), [2]uint64{1, v.First - 1})
	}
	for _, g := range gaps {
		for seq := g[0]; seq <= g[1]; seq++ {
			receipted := seq <= 20 || seq >= 25 && seq <= 27
			thinned := slices.ContainsFunc(v.Thinned, func(t journal.Thinning) bool { return t.From <= seq && seq <= t.To })
			if !receipted && !thinned {
				return fmt.Errorf("event %d is missing, neither receipted nor thinned", seq)
			}
		}
	}
	for r, err := range j.Range(ctx, 1, j.Last()) {
		if err != nil {
			return err
		}
		if strings.Contains(string(r.Body), `"word"`) && !strings.HasPrefix(string(r.Body), fmt.Sprintf(`{"seq":%d,`, r.Seq)) {
			return fmt.Errorf("event %d has the body of another: %.40s", r.Seq, r.Body)
		}
	}
	return nil
}

// Power cut at every write of a journal: what was said to be stored is there.
func TestI4_PowerCutsLoseNoEvent(t *testing.T) {
	dir := t.TempDir()
	d := load(t, dir)
	ops := trace(t, "journal", dir)
	looked, _ := every(t, d, ops, 2, func(dir string, said []string) error { return keeps(t.Context(), dir, said, journalConfig(dir), 0) })
	t.Logf("%d operations, %d disks", len(ops), looked)
	if looked < 1000 {
		t.Errorf("%d disks were looked at, want 1,000", looked)
	}
	said := func(word string) bool {
		return slices.ContainsFunc(ops, func(o op) bool { return strings.Contains(string(o.data), word) })
	}
	if !said(`"word":"thinned `) {
		t.Error("nothing was thinned: the part does not do what it is for")
	}
}

// The rig bites: without the syncs of the write-ahead log, as PRAGMA
// synchronous=NORMAL leaves them out, events are lost.
func TestTheRigFindsEventsThatWereNotSynced(t *testing.T) {
	dir := t.TempDir()
	d := load(t, dir)
	d.deaf = func(path string) bool { return strings.HasSuffix(path, "-wal") }
	_, bad := every(t, d, trace(t, "journal", dir), 2, func(dir string, said []string) error { return keeps(t.Context(), dir, said, journalConfig(dir), 0) })
	if bad == 0 {
		t.Error("no cut lost an event of a journal that is not synced")
	}
	t.Logf("%d disks were bad", bad)
}

// Power cut at every write of a migration, from each former version.
func TestI4_PowerCutsDuringAMigration(t *testing.T) {
	for _, version := range []string{"v1", "v2", "v3"} {
		b, err := os.ReadFile(filepath.Join("../../buffer/journal/testdata", version+".db"))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "journal.db"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := journal.OpenReader(t.Context(), filepath.Join(dir, "journal.db"))
		if err != nil {
			t.Fatal(err)
		}
		bodies := map[uint64][sha256.Size]byte{}
		for rec, err := range r.Range(t.Context(), 1, 1<<40) {
			if err != nil {
				t.Fatal(err)
			}
			bodies[rec.Seq] = sha256.Sum256(rec.Body)
		}
		if err := r.Close(); err != nil || len(bodies) == 0 {
			t.Fatalf("%d events in %s, %v", len(bodies), version, err)
		}
		d := load(t, dir)
		ops := trace(t, "migrate", dir)
		looked, _ := every(t, d, ops, 3, func(dir string, said []string) error {
			cfg := journal.Config{Path: filepath.Join(dir, "journal.db")}
			if err := keeps(t.Context(), dir, said, cfg, 0); err != nil && !strings.Contains(err.Error(), "neither receipted") {
				return err
			}
			r, err := journal.OpenReader(t.Context(), cfg.Path)
			if err != nil {
				return err
			}
			defer r.Close()
			n := 0
			for rec, err := range r.Range(t.Context(), 1, 1<<40) {
				if err != nil {
					return err
				}
				if want, ok := bodies[rec.Seq]; ok {
					n++
					if sha256.Sum256(rec.Body) != want {
						return fmt.Errorf("event %d has changed", rec.Seq)
					}
				}
			}
			if n != len(bodies) {
				return fmt.Errorf("%d of %d events are left", n, len(bodies))
			}
			return nil
		})
		t.Logf("%s: %d operations, %d disks", version, len(ops), looked)
	}
}
