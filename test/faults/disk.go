package faults

/*
#include <stdlib.h>
#include "disk.h"

// SQLite is linked into the program by the Go driver, not into this package.
#cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-in-object-files
*/
import "C"

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// Kind is what SQLite asks of the kernel.
type Kind int

// The kinds of calls.
const (
	Open     Kind = C.CALL_OPEN
	Read     Kind = C.CALL_READ
	Write    Kind = C.CALL_WRITE
	Truncate Kind = C.CALL_TRUNCATE
	Sync     Kind = C.CALL_SYNC
	Unlink   Kind = C.CALL_UNLINK
	OpenDir  Kind = C.CALL_OPENDIR
)

func (k Kind) String() string {
	return [...]string{"open", "read", "write", "truncate", "sync", "unlink", "opendir"}[k]
}

// Call is one call on a file of the watched folder.
type Call struct {
	Kind    Kind
	Path    string // of the file; of the folder for OpenDir and the Sync behind it
	Folder  bool   // the Sync is one of a folder
	Creates bool   // the Open may make the file
	Off     int64
	N       int64  // bytes to be moved; of Truncate the new size
	Data    []byte // to be written; valid only during the call
}

// Answer is what the rig makes of a call; the zero value lets it through.
type Answer struct {
	Err   syscall.Errno
	Short int64 // above 0: at most so many bytes are moved
}

// disks are the watched folders. SQLite has one table of system calls for the
// whole process, so that this cannot belong to a test.
var disks = struct {
	install sync.Once
	failed  error
	mu      sync.Mutex
	rigs    map[string]func(Call) Answer // by folder
	files   map[int]file                 // by descriptor, of those watched
}{rigs: map[string]func(Call) Answer{}, files: map[int]file{}}

type file struct {
	dir, path string
	folder    bool
}

// Watch asks rig about each call that SQLite makes on the folder's files, from
// whatever goroutine, one at a time, until stop. Files outside are let through
// untouched. Symbolic links must be resolved in dir.
func Watch(dir string, rig func(Call) Answer) (stop func(), err error) {
	disks.install.Do(func() {
		if rc := C.diskInstall(); rc != 0 {
			disks.failed = fmt.Errorf("putting the rig below SQLite: its system calls are others than the rig knows (%d)", rc)
		}
	})
	if disks.failed != nil {
		return nil, disks.failed
	}
	disks.mu.Lock()
	defer disks.mu.Unlock()
	disks.rigs[dir] = rig
	return func() {
		disks.mu.Lock()
		defer disks.mu.Unlock()
		delete(disks.rigs, dir)
	}, nil
}

//export diskAsk
func diskAsk(c *C.struct_call) {
	disks.mu.Lock()
	defer disks.mu.Unlock()
	call := Call{Kind: Kind(c.kind), Creates: c.creates != 0, Off: int64(c.off), N: int64(c.n)}
	dir := ""
	if c.path != nil {
		call.Path = C.GoString(c.path)
		dir = folderOf(call.Path)
		if call.Kind == OpenDir { // it is given the file whose name is to be made durable
			call.Path = dir
		}
	} else {
		f := disks.files[int(c.fd)]
		dir, call.Path, call.Folder = f.dir, f.path, f.folder
	}
	rig := disks.rigs[dir]
	if rig == nil {
		return
	}
	c.watch = 1
	if c.data != nil {
		call.Data = unsafe.Slice((*byte)(c.data), int(c.n))
	}
	a := rig(call)
	c.err = C.int(a.Err)
	if a.Short > 0 && a.Short < int64(c.n) {
		c.n = C.int64_t(a.Short)
	}
}

//export diskOpened
func diskOpened(c *C.struct_call) {
	disks.mu.Lock()
	defer disks.mu.Unlock()
	path := C.GoString(c.path)
	f := file{path: path, dir: folderOf(path)}
	if Kind(c.kind) == OpenDir {
		f.path, f.folder = f.dir, true
	}
	disks.files[int(c.fd)] = f
}

func folderOf(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }
