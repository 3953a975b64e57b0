package eligibility

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Every answer of a damaged file is right or an error: never another value,
// never an absence that is none (I1).
func TestI1_AFlippedBitIsNeverAWrongAnswer(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	rows := randomRows(400, 3)
	activate(t, s, build(t, s, "cards", 1, rows))
	gen := s.gens[0]
	s.Close()
	path := filePath(dir, "cards", 1)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	detected := 0
	for range 600 {
		bad := bytes.Clone(whole)
		bit := rnd.IntN(8 * len(bad))
		bad[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		f := openFile(context.Background(), dir, gen, nil)
		noticed := f.err != nil
		for i, r := range rows {
			got, ok, err := f.lookup(nil, r.Token)
			if err == nil && (!ok || !bytes.Equal(got, r.Value)) {
				t.Fatalf("bit %d flipped: Lookup(row %d) = %x, %v without an error", bit, i, got, ok)
			}
			absent := r.Token
			absent[3] ^= 0x55
			_, ok, err2 := f.lookup(nil, absent)
			if err2 == nil && ok {
				t.Fatalf("bit %d flipped: an absent token was found", bit)
			}
			noticed = noticed || err != nil || err2 != nil
		}
		f.close()
		if noticed {
			detected++
		}
	}
	if detected < 300 {
		t.Errorf("only %d of 600 flips were noticed; the file is not that empty", detected)
	}
}

// damage changes a byte of a stored value.
func damage(t *testing.T, path string, row Row) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(b, row.Token[:])
	if i < 0 {
		t.Fatal("row not found in the file")
	}
	b[i+len(row.Token)] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedListFallsBackWithItsAge(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	then := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	old, rows := randomRows(10, 1), randomRows(10, 2)
	activate(t, s, build(t, s, "cards", 1, old))
	if err := s.Verified(t.Context(), then, "cards"); err != nil {
		t.Fatal(err)
	}
	activate(t, s, build(t, s, "cards", 2, rows))
	if err := s.Verified(t.Context(), then.Add(time.Hour), "cards"); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context(), "cards", fast); err != nil {
		t.Fatal(err)
	}
	damage(t, filePath(dir, "cards", 2), rows[3])
	if err := s.Check(t.Context(), "cards", fast); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Check = %v, want ErrCorrupt", err)
	}
	s.Close()
	s = open(t, dir)
	_, ok, err := s.Lookup("cards", rows[3].Token)
	var fault *Fault
	if ok || !errors.Is(err, ErrCorrupt) || !errors.As(err, &fault) || fault.Generation != 2 {
		t.Fatalf("Lookup of a damaged row = %v, %v, want ErrCorrupt", ok, err)
	}
	if err := s.Discard(t.Context(), fault.Kind, fault.Generation); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Lookup("cards", old[0].Token); !ok || err != nil {
		t.Errorf("generation before: %v, %v", ok, err)
	}
	v := s.View()
	if g := v.Generations(); !g[0].VerifiedAt.Equal(then) {
		t.Errorf("it claims to have been verified at %v, want %v", g[0].VerifiedAt, then)
	}
	v.Release()
	activate(t, s, build(t, s, "cards", 2, rows)) // fetched again
	if _, ok, err := s.Lookup("cards", rows[3].Token); !ok || err != nil {
		t.Errorf("fetched again: %v, %v", ok, err)
	}
}

func TestOpenFallsBackOverRubbish(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for g := uint64(1); g <= 3; g++ {
		activate(t, s, build(t, s, "cards", g, randomRows(10, g)))
	}
	s.Close()
	if err := os.Truncate(filePath(dir, "cards", 3), fileSize(t, filePath(dir, "cards", 3))/2); err != nil {
		t.Fatal(err)
	}
	// Generation 2 under the name of another list: seemly, but not it.
	if err := os.Rename(filePath(dir, "cards", 1), filePath(dir, "cards", 2)); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, _, err := s.Lookup("cards", Token{1}); !errors.Is(err, ErrNoList) {
		t.Errorf("Lookup = %v, want ErrNoList", err)
	}
	if n := len(s.Faults()); n != 3 {
		t.Errorf("%d faults told, want 3: %v", n, s.Faults())
	}
	wantFiles(t, dir, "index.db")
}

func TestADamagedIndexIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	activate(t, s, build(t, s, "cards", 1, randomRows(10, 1)))
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, "index.db"), []byte("rubbish, not a database at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if len(s.Faults()) != 1 {
		t.Errorf("faults: %v, want one", s.Faults())
	}
	wantFiles(t, dir, "index.db", "index.db.broken-1")
	activate(t, s, build(t, s, "cards", 1, randomRows(10, 1)))
}

// TestKilledImport is the child of the test below: it imports for ever.
func TestKilledImport(t *testing.T) {
	dir := os.Getenv("ELIGIBILITY_KILLED_IMPORT")
	if dir == "" {
		return // only as a child
	}
	s, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	v := s.View()
	next := v.Generations()[0].Generation + 1
	v.Release()
	fmt.Println("ready")
	for ; ; next++ {
		activate(t, s, build(t, s, "cards", next, killRows(next)), build(t, s, "members", next, killRows(next)))
	}
}

func killRows(g uint64) []Row {
	rows := randomRows(300, g)
	for i := range rows {
		rows[i].Value = fmt.Appendf(nil, "generation %d", g)
	}
	return rows
}

func TestI6_KillDuringImportLeavesOldOrNew(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	activate(t, s, build(t, s, "cards", 1, killRows(1)), build(t, s, "members", 1, killRows(1)))
	s.Close()
	rnd := rand.New(rand.NewPCG(3, 4))
	last := uint64(1)
	for range 25 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledImport$")
		cmd.Env = append(os.Environ(), "ELIGIBILITY_KILLED_IMPORT="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("child said %q, %v", line, err)
		}
		// Any moment will do; the delay only spreads them.
		time.Sleep(time.Duration(rnd.IntN(40_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()

		s := open(t, dir)
		v := s.View()
		g := v.Generations()
		if len(g) != 2 || g[0].Generation != g[1].Generation || g[0].Generation < last || len(s.Faults()) > 0 {
			t.Fatalf("after the kill: %+v, faults %v", g, s.Faults())
		}
		last = g[0].Generation
		for _, kind := range []string{"cards", "members"} {
			if err := s.Check(t.Context(), kind, fast); err != nil {
				t.Fatal(err)
			}
			for _, r := range killRows(last) {
				if got, ok, err := v.Lookup(kind, r.Token); !ok || err != nil || !bytes.Equal(got, r.Value) {
					t.Fatalf("generation %d: %q, %v, %v", last, got, ok, err)
				}
			}
		}
		v.Release()
		s.Close()
	}
	if last == 1 {
		t.Error("no import ever ended; the kills come too early to show anything")
	}
}
