package journal

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Whichever way a page goes to the file, past the cache or through it, every
// reader finds it there: this one, and boothctl beside it.
func TestI4_TheLogIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	opened, err := OpenLog(path, 64*redoPage)
	if err != nil {
		t.Fatal(err)
	}
	f := opened.(*logFile)
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	if f.direct == nil {
		t.Log("this file system knows the way through the cache only")
	}
	beside, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	dice, want := rand.New(rand.NewPCG(4, 4)), make([]byte, 64*redoPage)
	for range 500 {
		n, at := int64(1+dice.IntN(8))*redoPage, int64(dice.IntN(56))*redoPage
		b := wholePages(n)
		switch dice.IntN(3) {
		case 0: // memory that begins within a page
			b = append(make([]byte, 1, n+1), make([]byte, n)...)[1:]
		case 1: // a part of a page, at any place
			b, at = b[:n-int64(dice.IntN(redoPage))], at+int64(dice.IntN(redoPage))
		}
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		copy(want[at:], b)
		if k, err := f.WriteAt(b, at); k != len(b) || err != nil {
			t.Fatalf("%d of %d bytes, %v", k, len(b), err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]interface {
			ReadAt([]byte, int64) (int, error)
		}{"itself": f, "a reader beside": beside} {
			got := make([]byte, len(want))
			if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %v, or other bytes", name, err)
			}
		}
	}
}

// A disk whose blocks are others than our pages refuses what goes past the cache.
// The log goes through it then, for good. (This file of the kernel's refuses all
// that is no number, with the same error.)
func TestALogGoesThroughTheCacheIfItMust(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	opened, err := OpenLog(path, 4*redoPage)
	if err != nil {
		t.Fatal(err)
	}
	f := opened.(*logFile)
	if f.direct != nil {
		_ = f.direct.Close()
	}
	if f.direct, err = os.OpenFile("/proc/self/oom_score_adj", os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	b := wholePages(redoPage)
	copy(b, "no number")
	n, err := f.WriteAt(b, redoPage)
	if n != redoPage || err != nil || f.direct != nil {
		t.Fatalf("%d bytes, %v, past the cache: %t", n, err, f.direct != nil)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, redoPage)
	if _, err := f.ReadAt(got, redoPage); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%v, or other bytes", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
