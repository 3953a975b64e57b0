package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrInUse says that the journal is open for writing already, here or in
// another process. Two writers would give the same number twice.
var ErrInUse = errors.New("journal is in use")

// lock takes the journal for this process until the file is closed, which a
// kill does too. It is a file of its own: a descriptor of the database, once
// closed, would drop SQLite's locks. The file stays, because to remove it would
// race with the next who locks.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := holder(f)
		_ = f.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w by %s", ErrInUse, holder)
		}
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	// The number is only for people: on a full disk the lock holds without it.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	return f, nil
}

// holder names the process that has the lock, as it wrote itself down.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 20)) // a number
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || convErr != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}
