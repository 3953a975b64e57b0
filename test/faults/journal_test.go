package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	_ "github.com/mattn/go-sqlite3" // integrity_check, by a connection that is not the journal's

	"boothd/buffer/journal"
)

// What a program was told, in the order of a recording.
type (
	epochIs struct{ epoch string }
	stored  struct {
		seq  uint64
		hash [32]byte // of the body
	}
	asked     struct{ upto, have uint64 } // a receipt may be on disk from here on
	receipted struct{ upto, have uint64 } // and has to be
	claimed   struct{ id string }
)

// journalFile is the journal in its folder.
const journalFile = "journal.db"

// scratch is a folder for disks after a cut. Nothing there has to survive a real
// one, so that it lies in memory where that is possible.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "boothd-faults-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// dayConfig keeps so little that a day in small comes to every limit.
func dayConfig(dir string) journal.Config {
	return journal.Config{Path: filepath.Join(dir, journalFile), MaxBytes: 256 << 10, Retain: 40 * time.Minute, Log: OpenLog,
		Thin: journal.Thin{Classes: []string{"read", "signal"}, After: 100 * time.Minute, Event: func(n journal.Thinning) journal.Entry {
			return event("audit", fmt.Sprintf("thinned %d", n.Count), 0)
		}}}
}

// event is one whose body tells its place.
func event(class, word string, size int) journal.Entry {
	return journal.Entry{Class: class, Alert: class == "security", At: time.Now(), Build: func(s journal.Stamp) ([]byte, error) {
		return append(fmt.Appendf(nil, "%d %s %s %s ", s.Seq, s.ID, class, word), bytes.Repeat([]byte{'x'}, size)...), nil
	}}
}

// booth is a journal in use, and who writes down what it was told.
type booth struct {
	j   *journal.Journal
	say func(word any)
}

// store appends, and says what is durable from then on.
func (b booth) store(ctx context.Context, entries ...journal.Entry) error {
	hashes := make([][32]byte, len(entries))
	for i, e := range entries {
		build := e.Build
		entries[i].Build = func(s journal.Stamp) ([]byte, error) {
			body, err := build(s)
			hashes[i] = sha256.Sum256(body)
			return body, err
		}
	}
	stamps, err := b.j.Append(ctx, entries...)
	for i, s := range stamps {
		b.say(stored{s.Seq, hashes[i]})
	}
	return err
}

// receipt receipts up to a number and one more, and refuses a third.
func (b booth) receipt(ctx context.Context, upto, have uint64) error {
	b.say(asked{upto, have})
	err := b.j.Receipted(ctx, journal.Receipt{Epoch: b.j.Epoch(), Upto: upto, Have: [][2]uint64{{have, have}},
		Reject: []journal.Reject{{Seq: upto, Reason: "schema"}}})
	if err == nil {
		b.say(receipted{upto, have})
	}
	return err
}

// day is a booth's day in small: hours of passages, receipts late and little,
// rows over their time, telemetry that nobody fetched, no room, a restart.
func day(ctx context.Context, dir string, hours, passages int, say func(any)) error {
	for h := range hours {
		if err := hour(ctx, dir, h, passages, say); err != nil {
			return fmt.Errorf("hour %d: %w", h, err)
		}
	}
	return nil
}

func hour(ctx context.Context, dir string, h, passages int, say func(any)) (err error) {
	j, found, err := journal.Open(ctx, dayConfig(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if found.SetAside != "" {
		return errors.New("a sound journal was set aside")
	}
	b := booth{j, say}
	say(epochIs{j.Epoch()})
	for i := range passages {
		word := fmt.Sprintf("%d/%d", h, i)
		if err := b.store(ctx, event("read", word, 700), event("crossing", word, 500), event("signal", word, 600)); err != nil {
			return err
		}
		if err := b.store(ctx, event("crossing", word, 40*i%3000)); err != nil {
			return err
		}
		time.Sleep(time.Minute)
	}
	if err := b.store(ctx, event("security", "a lookout", 100)); err != nil {
		return err
	}
	if last := j.Last(); h%2 == 1 {
		if err := b.receipt(ctx, last/2, last-3); err != nil {
			return err
		}
	}
	id := fmt.Sprintf("command-%d", h)
	if fresh, err := j.Claim(ctx, id, time.Now(), time.Now().Add(time.Hour)); err != nil || !fresh {
		return fmt.Errorf("claiming: %v, %w", fresh, err)
	}
	say(claimed{id})
	time.Sleep(time.Hour - time.Duration(passages)*time.Minute) // old rows are given up meanwhile
	return nil
}

// record runs a program on a watched folder in virtual time. The base is what
// was there before.
func record(t *testing.T, dir string, program func(ctx context.Context, say func(any)) error) (base map[string][]byte, steps []Step) {
	t.Helper()
	base = map[string][]byte{journalFile: nil} // made and synced by way of package os, if it is not there yet
	names, err := os.ReadDir(dir)
	for _, e := range names {
		if err == nil {
			base[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name()))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &Recorder{}
	stop, err := Watch(dir, r.Note)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	synctest.Test(t, func(t *testing.T) {
		if err := program(t.Context(), r.Say); err != nil {
			t.Fatal(err)
		}
	})
	return base, r.Steps()
}

// told is what had been said before a cut.
type told struct {
	epoch           string
	stored          map[uint64][32]byte
	asked, receipts []asked
	claims          []string
}

func toldBy(words []any) told {
	k := told{stored: map[uint64][32]byte{}}
	for _, w := range words {
		switch w := w.(type) {
		case epochIs:
			k.epoch = w.epoch
		case stored:
			k.stored[w.seq] = w.hash
		case asked:
			k.asked = append(k.asked, w)
		case receipted:
			k.receipts = append(k.receipts, asked(w))
		case claimed:
			k.claims = append(k.claims, w.id)
		}
	}
	return k
}

func covers(receipts []asked, seq uint64) bool {
	return slices.ContainsFunc(receipts, func(a asked) bool { return seq <= a.upto || seq == a.have })
}

// errLost says that something is gone that was said to be durable.
var errLost = errors.New("lost")

// keepsItsWord opens the journal that a cut has left and compares it with what
// was said before.
func keepsItsWord(ctx context.Context, cfg journal.Config, k told) (err error) {
	j, found, err := journal.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	switch {
	case found.SetAside != "":
		return fmt.Errorf("%w: the journal was set aside", errLost)
	case k.epoch != "" && j.Epoch() != k.epoch:
		return fmt.Errorf("%w: epoch %s, want %s", errLost, j.Epoch(), k.epoch)
	}
	v, err := j.Verify(ctx, 1, 1<<40)
	if err != nil {
		return err
	}
	if err := k.compare(ctx, j, v); err != nil {
		return err
	}
	for _, id := range k.claims {
		if held, err := j.Claimed(ctx, id); err != nil || !held {
			return fmt.Errorf("%w: the claim of %s: %w", errLost, id, err)
		}
	}
	last := j.Last()
	stamps, err := j.Append(ctx, event("crossing", "after the cut", 0))
	if err != nil {
		return fmt.Errorf("storing after the cut: %w", err)
	}
	if stamps[0].Seq != last+1 {
		return fmt.Errorf("event %d follows %d", stamps[0].Seq, last)
	}
	return nil
}

// compare looks for every event that was said to be stored.
func (k told) compare(ctx context.Context, j *journal.Journal, v journal.Verified) error {
	there := map[uint64]journal.Record{}
	for r, err := range j.Range(ctx, 1, 1<<40) {
		if err != nil {
			return err
		}
		there[r.Seq] = r
	}
	for seq, hash := range k.stored {
		r, ok := there[seq]
		thinned := slices.ContainsFunc(v.Thinned, func(t journal.Thinning) bool { return t.From <= seq && seq <= t.To })
		switch {
		case ok && sha256.Sum256(r.Body) != hash:
			return fmt.Errorf("%w: event %d has another body", errLost, seq)
		case ok && r.State == journal.Waiting && covers(k.receipts, seq):
			return fmt.Errorf("%w: the receipt of event %d", errLost, seq)
		case ok && r.State != journal.Waiting && !covers(k.asked, seq):
			return fmt.Errorf("event %d is receipted, nobody did", seq)
		case !ok && !thinned && !covers(k.asked, seq):
			return fmt.Errorf("%w: event %d of %d", errLost, seq, j.Last())
		}
	}
	return nil
}

// sound runs SQLite's own check of a whole file.
func sound(path string) (err error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var answer string
	if err := db.QueryRow("PRAGMA integrity_check(1)").Scan(&answer); err != nil {
		return err
	}
	if answer != "ok" {
		return fmt.Errorf("integrity_check: %s", answer)
	}
	return nil
}
