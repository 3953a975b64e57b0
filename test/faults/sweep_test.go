package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// fault is what the kernel does to calls of a kind.
type fault struct {
	name   string
	kind   Kind
	answer Answer
	then   Answer // to the call behind a short one
}

// faults are what a bad disk, a full one and a process without descriptors say.
func allFaults() []fault {
	full := Answer{Err: syscall.ENOSPC}
	return []fault{
		{name: "open EIO", kind: Open, answer: Answer{Err: syscall.EIO}},
		{name: "open EMFILE", kind: Open, answer: Answer{Err: syscall.EMFILE}},
		{name: "opendir EIO", kind: OpenDir, answer: Answer{Err: syscall.EIO}},
		{name: "read EIO", kind: Read, answer: Answer{Err: syscall.EIO}},
		{name: "read short", kind: Read, answer: Answer{Short: 10}},
		{name: "write EIO", kind: Write, answer: Answer{Err: syscall.EIO}},
		{name: "write ENOSPC", kind: Write, answer: full},
		{name: "write short", kind: Write, answer: Answer{Short: 100}},
		{name: "write short, ENOSPC", kind: Write, answer: Answer{Short: 100}, then: full},
		{name: "sync EIO", kind: Sync, answer: Answer{Err: syscall.EIO}},
		{name: "truncate EIO", kind: Truncate, answer: Answer{Err: syscall.EIO}},
		{name: "unlink EIO", kind: Unlink, answer: Answer{Err: syscall.EIO}},
	}
}

// breaker fails the n-th call of a fault's kind, or all from there on.
type breaker struct {
	fault
	n    int
	last bool // it goes on until mended

	mu     sync.Mutex
	seen   int
	mended bool
	lied   bool // the call behind a short one is next
}

// Break is a rig for Watch.
func (b *breaker) Break(c Call) Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Kind != b.kind || b.mended {
		return Answer{}
	}
	b.seen++
	switch {
	case b.lied:
		b.lied = false
		return b.then
	case b.seen == b.n, b.seen > b.n && b.last:
		b.lied = b.then != Answer{}
		return b.answer
	}
	return Answer{}
}

// mend ends the fault, and tells whether there was a call to fail.
func (b *breaker) mend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mended = true
	return b.seen >= b.n
}

func (b *breaker) String() string {
	if b.last {
		return fmt.Sprintf("%s from call %d on", b.name, b.n)
	}
	return fmt.Sprintf("%s at call %d", b.name, b.n)
}

// fresh empties a folder.
func fresh(dir string) error {
	names, err := os.ReadDir(dir)
	for _, e := range names {
		if err == nil {
			err = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	return err
}
