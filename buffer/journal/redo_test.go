package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// logged is a log in memory.
type logged struct {
	b      []byte
	broken error // of the next sync
}

func (l *logged) ReadAt(b []byte, off int64) (int, error) { return bytes.NewReader(l.b).ReadAt(b, off) }

func (l *logged) WriteAt(b []byte, off int64) (int, error) { return copy(l.b[off:], b), nil }

func (l *logged) Sync() (err error) {
	err, l.broken = l.broken, nil
	return err
}

func (l *logged) Close() error { return nil }

var logEpoch = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")

// round begins a round of a log in memory.
func round(t testing.TB, mem *logged) *redo {
	t.Helper()
	l, _, err := openRedo("", logEpoch.String(), func(_ string, size int64) (Log, error) {
		mem.b = append(mem.b, make([]byte, size-int64(len(mem.b)))...)
		return mem, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l.rewind()
	return l
}

// rowsOf are rows as a chain has them, whose bodies are all of one size.
func rowsOf(from uint64, n int) (rows []stored) {
	for seq := from; seq < from+uint64(n); seq++ {
		id := uuid.NewSHA1(logEpoch, []byte{byte(seq)})
		r := stored{id: id, Stamp: Stamp{Epoch: logEpoch.String(), Seq: seq, ID: id.String()},
			Entry: Entry{Class: "crossing", Alert: seq%3 == 0, At: noon}, body: fmt.Appendf(nil, "body of %6d", seq)}
		r.Prev[0] = byte(seq)
		rows = append(rows, r)
	}
	return rows
}

func write(t testing.TB, l *redo, rows []stored) {
	t.Helper()
	if !l.fits(rows) && !l.turn(rows, rows[0].Seq-1) {
		t.Fatal("no room")
	}
	if err := l.write(rows); err != nil {
		t.Fatal(err)
	}
}

func inLog(t testing.TB, b []byte) []stored {
	t.Helper()
	rows, _, err := scan(bytes.NewReader(b), logEpoch)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func sameRows(a, b []stored) bool {
	return slices.EqualFunc(a, b, func(x, y stored) bool {
		return x.Stamp == y.Stamp && x.Class == y.Class && x.Alert == y.Alert && x.At.Equal(y.At) && bytes.Equal(x.body, y.body)
	})
}

// What was written is read, whatever a cut has made of the group behind it.
func TestI4_LogIsReadUpToATornGroup(t *testing.T) {
	var mem logged
	l := round(t, &mem)
	rows := rowsOf(7, 5)
	write(t, l, rows[:3])
	whole := l.at
	write(t, l, rows[3:])
	end := whole + length(rows[3:])
	if got := inLog(t, mem.b); !sameRows(got, rows) {
		t.Fatalf("%+v", got)
	}
	for at := whole; at < end; at++ {
		torn := bytes.Clone(mem.b)
		torn[at] ^= 1
		if got := inLog(t, torn); !sameRows(got, rows[:3]) {
			t.Fatalf("byte %d is another: %d rows", at, len(got))
		}
		if got := inLog(t, append(torn[:at:at], make([]byte, RedoBytes-at)...)); !sameRows(got, rows[:3]) {
			t.Fatalf("cut at byte %d: %d rows", at, len(got))
		}
		if got := inLog(t, torn[:at]); !sameRows(got, rows[:3]) {
			t.Fatalf("file ends at byte %d: %d rows", at, len(got))
		}
	}
}

// A round that is written over another ends where it ends: the groups of the one
// before that lie behind are of the past, even where they would follow, by place
// and by number.
func TestI4_FormerRoundIsNotReadOn(t *testing.T) {
	var mem logged
	l := round(t, &mem)
	write(t, l, rowsOf(1, 1))
	write(t, l, rowsOf(2, 1)) // as if it was never acknowledged
	l.rewind()
	other := rowsOf(1, 1)
	other[0].body = []byte("another body.")
	write(t, l, other)
	if got := inLog(t, mem.b); !sameRows(got, other) {
		t.Fatalf("%+v", got)
	}
	if got, _, err := scan(bytes.NewReader(mem.b), uuid.New()); err != nil || len(got) != 0 {
		t.Errorf("another journal's rows are read: %d, %v", len(got), err)
	}
}

// Rows that do not follow, and more than there is room for, are not written.
func TestLogTakesWhatFollows(t *testing.T) {
	var mem logged
	l := round(t, &mem)
	write(t, l, rowsOf(1, 2))
	if r := rowsOf(4, 1); l.fits(r) || l.turn(r, 2) {
		t.Error("a gap fits")
	}
	big := rowsOf(3, 64)
	for i := range big {
		big[i].body = make([]byte, MaxBody)
	}
	write(t, l, big)
	for i := range big {
		big[i].Seq += 64
	}
	if l.other = 1; l.fits(big) || l.turn(big, 0) {
		t.Error("more fits than there is room for")
	}
	if l.rewind(); !l.fits(big) {
		t.Error("there is no room at the beginning")
	}
	for range 2 {
		big = append(big, big...)
	}
	if l.rewind(); l.fits(big) || l.turn(big, 1000) {
		t.Error("more fits than a half has room for")
	}
}

// Behind a full half the log goes on in the other one, as soon as the database
// has what is there; both are read in order, whichever is the older. What a cut
// makes of the group that the other half begins with touches nothing before it.
func TestI4_LogGoesOnInItsOtherHalf(t *testing.T) {
	var mem logged
	l := round(t, &mem)
	const each = redoHalf / redoPage // rows, one in a group
	read := func(b []byte, from, to uint64) {
		t.Helper()
		want := rowsOf(from, int(to-from)+1)
		if got := inLog(t, b); len(got) < len(want) || !sameRows(got[len(got)-len(want):], want) {
			t.Fatalf("%d rows are read, %d to %d were written", len(got), from, to)
		}
	}
	for next := uint64(1); next <= 5*each; next++ {
		half := l.half
		folded := max(next, each+1) - each - 1 // what the other half has, and no more
		if next > each && next%each == 1 && next/each > 1 && (l.fits(rowsOf(next, 1)) || l.turn(rowsOf(next, 1), folded-1)) {
			t.Fatalf("%d is written over what the database, which ends at %d, does not have", next, folded-1)
		}
		if r := rowsOf(next, 1); !l.fits(r) && !l.turn(r, folded) {
			t.Fatalf("no room for %d", next)
		}
		write(t, l, rowsOf(next, 1))
		if l.half == half && next%each != 0 {
			continue
		}
		read(mem.b, folded+1, next)
		if l.half != half {
			torn := bytes.Clone(mem.b)
			torn[l.half+redoHead] ^= 1
			read(torn, folded+1, next-1)
		}
	}
	l.rewind()
	write(t, l, rowsOf(5*each+1, 1))
	if got := inLog(t, mem.b); !sameRows(got[len(got)-1:], rowsOf(5*each+1, 1)) {
		t.Errorf("a round that begins in the same half is not the newest")
	}
}

// Whatever is in the file, it is read without a panic, and of a log that was
// written nothing is read but its own rows, from the first on.
func FuzzRedoLog(f *testing.F) {
	var mem logged
	l := round(f, &mem)
	rows := rowsOf(1, 6)
	write(f, l, rows[:2])
	write(f, l, rows[2:])
	real := bytes.Clone(mem.b[:l.at+100])
	f.Add([]byte{}, 0)
	f.Add([]byte{1}, 20)
	f.Add(real[:redoHead], int(l.at))
	f.Fuzz(func(t *testing.T, over []byte, at int) {
		if _, _, err := scan(bytes.NewReader(over), logEpoch); err != nil {
			t.Fatal(err)
		}
		b := bytes.Clone(real)
		if at >= 0 && at < len(b) {
			copy(b[at:], over)
		}
		got := inLog(t, b)
		if len(got) > len(rows) || !sameRows(got, rows[:len(got)]) {
			t.Fatalf("%d rows that nobody wrote", len(got))
		}
	})
}

// held keeps the writer busy until the test lets it go.
func held(t testing.TB, j *Journal) (let func()) {
	t.Helper()
	began, hold := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- j.do(context.Background(), func(*writer) (bool, error) { close(began); <-hold; return false, nil })
	}()
	<-began
	return func() {
		close(hold)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// copied lays a journal's files out as a kill at this moment leaves them.
func copied(t testing.TB, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "j.db")
	for _, suffix := range []string{"", "-wal", ".redo"} { // in one process with SQLite: a copy drops locks, which nobody else wants here
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// An append waits for the log alone. What the database does not have is read and
// counted all the same, by the journal and beside it, and after a crash it is there.
func TestI4I5_AppendWaitsForTheLogAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	j, _ := open(t, Config{Path: path})
	add(t, j, event("crossing"), event("crossing"))
	j.SetOnline(true)
	let := held(t, j)
	stamps := add(t, j, event("crossing"), alert(), event("device")) // 3 4 5
	if folded, rows, _ := j.front.state(); folded != 2 || len(rows) != 3 {
		t.Fatalf("the database has %d, %d are in the log", folded, len(rows))
	}
	if a, l, b := pending(t, j, Alerts), pending(t, j, Live), pending(t, j, Backlog); !same(a, []uint64{4}) || !same(l, []uint64{3, 5}) || !same(b, []uint64{1, 2}) {
		t.Errorf("alerts %v live %v backlog %v", a, l, b)
	}
	if some, err := j.Pending(t.Context(), Query{Lane: Live, After: 3, Limit: 1}); err != nil || !same(seqs(some), []uint64{5}) {
		t.Errorf("%v %v", seqs(some), err)
	}
	if s := j.Stats(); s.Last != 5 || s.Waiting != 4 || s.Alerts != 1 {
		t.Errorf("%+v", s)
	}
	if v, err := j.Verify(t.Context(), 1, 100); err != nil || v.Rows != 5 {
		t.Errorf("%+v %v", v, err)
	}
	if n, err := j.Since(t.Context(), noon.Add(time.Hour)); err != nil || n != 6 {
		t.Errorf("%d %v", n, err)
	}
	beside := func(path string) {
		t.Helper()
		r, err := OpenReader(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		if s, err := r.Count(t.Context()); err != nil || s.Last != 5 || s.Waiting != 4 || s.Alerts != 1 {
			t.Errorf("%+v %v", s, err)
		}
		if rec, ok, err := r.ByID(t.Context(), stamps[1].ID); err != nil || !ok || rec.Seq != 4 || !rec.Alert {
			t.Errorf("%+v %t %v", rec, ok, err)
		}
		if v, err := r.Verify(t.Context(), 1, 100); err != nil || v.Rows != 5 {
			t.Errorf("%+v %v", v, err)
		}
	}
	beside(path)
	crashed := copied(t, path)
	let()
	beside(crashed)
	again, o := open(t, Config{Path: crashed})
	if o.New || again.Epoch() != j.Epoch() {
		t.Errorf("%+v", o)
	}
	if s := add(t, again, event("crossing")); s[0].Seq != 6 {
		t.Errorf("number %d", s[0].Seq)
	}
	if v, err := again.Verify(t.Context(), 1, 100); err != nil || v.Rows != 6 || len(v.Gaps) > 0 {
		t.Errorf("%+v %v", v, err)
	}
}

// A log that is full waits for the database, and an append for its time alone.
func TestI4_FullLogWaitsForTheDatabase(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	let := held(t, j)
	big := sizedEvent("crossing", MaxBody-100)
	stored := uint64(0)
	for ; ; stored++ {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := j.Append(ctx, big)
		cancel()
		if errors.Is(err, ErrLate) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if most := uint64(RedoBytes / (MaxBody + redoPage)); stored > most || stored < most*9/10 {
		t.Errorf("%d events in a log of %d bytes", stored, RedoBytes)
	}
	let()
	add(t, j, big)
	if v, err := j.Verify(t.Context(), 1, 1<<40); err != nil || v.Rows < stored+1 || len(v.Gaps) > 0 {
		t.Errorf("%+v %v, %d were stored", v, err, stored)
	}
}

// A log whose sync failed is not gone on with: the next append begins another
// round, behind the database, and the number is given anew.
func TestI4_LogBeginsAnewAfterAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mem logged
		j, _, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "j.db"), Log: func(_ string, size int64) (Log, error) {
			mem.b = append(mem.b, make([]byte, size-int64(len(mem.b)))...)
			return &mem, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		add(t, j, event("crossing"), event("crossing"))
		mem.broken = errors.New("a bad block")
		if _, err := j.Append(t.Context(), event("device")); !errors.Is(err, ErrStorage) {
			t.Fatal(err)
		}
		if _, err := j.Append(t.Context(), event("device")); !errors.Is(err, ErrStorage) {
			t.Errorf("a broken disk is hammered: %v", err)
		}
		time.Sleep(reopenPause)
		if s := add(t, j, event("crossing")); s[0].Seq != 3 {
			t.Errorf("number %d", s[0].Seq)
		}
		if rows, _, err := scan(bytes.NewReader(mem.b), uuid.MustParse(j.Epoch())); err != nil || len(rows) != 1 || rows[0].Seq != 3 {
			t.Errorf("%d rows in the log, %v", len(rows), err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A database that is older than its log, as after a copy was put back, is not
// gone on with: its numbers are given.
func TestI4_DatabaseBehindItsLogIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	j, _ := open(t, Config{Path: path})
	add(t, j, event("crossing"))
	if err := j.do(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	older := copied(t, path)
	add(t, j, event("crossing"))
	if err := j.do(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	let := held(t, j)
	add(t, j, event("crossing"))
	newer := copied(t, path)
	let()
	b, err := os.ReadFile(redoPath(newer))
	if err == nil {
		err = os.WriteFile(redoPath(older), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	again, o := open(t, Config{Path: older})
	if !o.New || o.SetAside == "" || o.OldEpoch != j.Epoch() || again.Epoch() == j.Epoch() {
		t.Fatalf("%+v", o)
	}
	if kept, err := os.ReadFile(redoPath(o.SetAside)); err != nil || !bytes.Equal(kept, b) {
		t.Errorf("the log was not kept: %v", err)
	}
}
