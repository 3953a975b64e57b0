package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"boothd/buffer/internal/sqlite"
)

// Log is the file of a redo log. It is written in whole pages of 4096 bytes.
type Log interface {
	io.ReaderAt
	io.WriterAt
	// Sync returns when what was written is on the medium.
	Sync() error
	Close() error
}

// OpenLog opens a file of at least size bytes and makes it if it is missing; its
// name and its size are on the medium then, so that to write it anew changes
// neither.
func OpenLog(path string, size int64) (Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && fi.Size() < size {
		err = allocate(f, size)
	}
	if err == nil { // also of a file that was made before: who made it may not have come so far
		err = errors.Join(f.Sync(), sqlite.SyncDir(filepath.Dir(path)))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	direct, err := os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		direct = nil // this file system has another way only
	}
	return &logFile{f, direct}, nil
}

// allocate takes the room from the disk. Where that cannot be asked for, zeros do
// it: a start that fails again and again is to write little.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		_, err = f.WriteAt(make([]byte, size), 0)
	}
	if err != nil {
		return fmt.Errorf("taking %d bytes for %s: %w", size, filepath.Base(f.Name()), err)
	}
	return nil
}

// logFile is read as any file and written past the page cache: a sync then has
// nothing to look for and nothing to hand over, which is a fifth of its time.
type logFile struct {
	*os.File
	direct *os.File // nil: the file system does not do it
}

// WriteAt writes whole pages.
func (f *logFile) WriteAt(b []byte, at int64) (int, error) {
	if f.direct != nil && aligned(b, at) {
		n, err := f.direct.WriteAt(b, at)
		if !errors.Is(err, unix.EINVAL) {
			return n, err
		}
		_ = f.direct.Close() // a disk with other blocks than this; nothing was written through it
		f.direct = nil
	}
	return f.File.WriteAt(b, at)
}

// Sync leaves out what only tells when the file was written.
func (f *logFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Close closes the file.
func (f *logFile) Close() error {
	err := f.File.Close()
	if f.direct != nil {
		err = errors.Join(err, f.direct.Close())
	}
	return err
}

// wholePages gives room for n bytes, with which a page begins.
func wholePages(n int64) []byte {
	b := make([]byte, n+redoPage)
	skip := (redoPage - pagePlace(b)) % redoPage
	return b[skip : skip+int(n)]
}

func aligned(b []byte, at int64) bool {
	return len(b) > 0 && len(b)%redoPage == 0 && at%redoPage == 0 && pagePlace(b) == 0
}

// pagePlace tells where in a page of memory b begins.
func pagePlace(b []byte) int { return int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % redoPage) }
