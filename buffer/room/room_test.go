package room

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// file makes a file of so many bytes.
func file(t *testing.T, path string, size int64) string {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s: %v, want that it is gone", filepath.Base(path), err)
	}
}

// blocks is what a file that is open takes on the disk.
func blocks(t *testing.T, f *os.File) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks
}

func TestRemoveTakesFilesAndFolders(t *testing.T) {
	dir := t.TempDir()
	large, small := file(t, filepath.Join(dir, "large"), 3*step+1), file(t, filepath.Join(dir, "small"), 10)
	folder := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(folder, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	file(t, filepath.Join(folder, "a"), step+1)
	for _, name := range []string{"b", "c", "d"} {
		file(t, filepath.Join(folder, "deep", name), step/2)
	}
	outside := file(t, filepath.Join(dir, "outside"), 2*step)
	if err := os.Symlink(outside, filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(folder, "pipe"), 0o600); err != nil { // nobody reads it
		t.Fatal(err)
	}
	for _, path := range []string{large, small, folder, filepath.Join(dir, "never")} {
		if err := Remove(t.Context(), path); err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
		absent(t, path)
	}
	if info, err := os.Stat(outside); err != nil || info.Size() != 2*step {
		t.Errorf("what a link leads to: %v, %v", info, err)
	}
}

// A file's name goes at once and its room in steps, with a rest after each.
func TestFreeGivesRoomBackInSteps(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "list"), 5*step)
	f, err := Take(path)
	if err != nil || f == nil {
		t.Fatal(f, err)
	}
	absent(t, path)
	watch, err := unix.Dup(int(f.Fd())) // of the same opening
	if err != nil {
		t.Fatal(err)
	}
	seen := os.NewFile(uintptr(watch), "seen")
	defer func() { _ = seen.Close() }()
	before := blocks(t, seen)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := shrink(ctx, f); err != nil { // one step, and no rest
		t.Fatal(err)
	}
	if left := blocks(t, seen); left >= before || left < 4*step/512 {
		t.Errorf("%d blocks of %d are left after a step", left, before)
	}
	if err := Free(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if left := blocks(t, seen); left != 0 {
		t.Errorf("%d blocks are left", left)
	}
}

// Whoever reads a file that lost its name reads it whole; its room goes when he
// has closed it.
func TestAReaderKeepsTheFileWhole(t *testing.T) {
	for name, ended := range map[string]bool{"until he closes it": false, "also when there is no time left": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := file(t, filepath.Join(t.TempDir(), "list"), 2*step)
				reader, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				f, err := Take(path)
				if err != nil || f == nil {
					t.Fatal(f, err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan error, 1)
				go func() { done <- Free(ctx, f) }()
				time.Sleep(time.Hour)
				if ended {
					cancel()
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
				if n, err := io.Copy(io.Discard, reader); err != nil || n != 2*step {
					t.Errorf("%d bytes read, %v", n, err)
				}
				if err := reader.Close(); err != nil {
					t.Fatal(err)
				}
				if !ended {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// A copy under another name, as a backup makes it, stays whole.
func TestAnotherNameKeepsTheFileWhole(t *testing.T) {
	dir := t.TempDir()
	path, other := file(t, filepath.Join(dir, "list"), 2*step), filepath.Join(dir, "backup")
	if err := os.Link(path, other); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), path); err != nil {
		t.Error(err)
	}
	absent(t, path)
	if info, err := os.Stat(other); err != nil || info.Size() != 2*step {
		t.Errorf("the other name leads to %v, %v", info, err)
	}
}

// Whoever forgets that he has a file open holds nobody up who removes it.
func TestRemoveWaitsForNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := file(t, filepath.Join(dir, "list"), 2*step)
		reader, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := Remove(t.Context(), dir); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 2*patience {
			t.Errorf("it took %v", took)
		}
		absent(t, dir)
		if n, err := io.Copy(io.Discard, reader); err != nil || n != 2*step {
			t.Errorf("%d bytes read, %v", n, err)
		}
		_ = reader.Close()
	})
}

func TestNothingIsToBeFreedOfWhatIsSmallOrMissing(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{file(t, filepath.Join(dir, "small"), step), filepath.Join(dir, "never")} {
		f, err := Take(path)
		if f != nil || err != nil {
			t.Errorf("%s: %v, %v", filepath.Base(path), f, err)
		}
		absent(t, path)
	}
	if err := Free(t.Context(), nil); err != nil {
		t.Error(err)
	}
	full := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(full, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	if f, err := Take(full); f != nil || err == nil {
		t.Errorf("a folder with something in it: %v, %v", f, err)
	}
}
