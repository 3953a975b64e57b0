package fleet

import (
	"fmt"
	"syscall"
)

// raiseFiles lets this process, and those that it starts, open so many files.
func raiseFiles(need uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if l.Max < need {
		return fmt.Errorf("so many booths need %d open files, and this machine allows %d: fewer booths, or raise ulimit -Hn", need, l.Max)
	}
	if l.Cur == l.Max {
		return nil
	}
	// All of it, since a broker that we start inherits it and asks for one each.
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	return nil
}
