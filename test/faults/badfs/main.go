// Command badfs shows a folder at another place, as a file system that fails when
// it is told to: every call of every program, whatever library made it.
//
//	badfs FOLDER MOUNTPOINT ORDER
//
// ORDER is a file that it shares with who commands it (type order). It runs until
// its standard input ends.
//
// It is FUSE, so that what is cached stays readable while nothing else works, as
// on a card that has died; and a program of its own, so that a test that stops at
// a call of its own file system can still be killed.
//
// Source: reliability reference, R2 (the same on go-fuse for all files).
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// What programs ask, as bits of order.kinds. They are those of test/disk_test.go.
const (
	callOpen = 1 << iota
	callRead
	callWrite
	callTruncate
	callSync
	callUnlink // names that go or move, too
	callChange // opens that write or make something
)

// order is what the file system is told and tells. One that is armed lets the
// calls from the n-th on fail, as many as most.
type order struct {
	armed        int32
	kinds, _     int32
	errno        int32
	_            int64
	from, most   int64
	seen, failed int64
	first        int64 // when the first failed, ns since 1970
}

// fails tells how a call ends that is not to be done; fuse.OK: it is.
func (o *order) fails(kinds int32) fuse.Status {
	if atomic.LoadInt32(&o.armed) == 0 || o.kinds&kinds == 0 {
		return fuse.OK
	}
	if i := atomic.AddInt64(&o.seen, 1); i < o.from || i >= o.from+o.most {
		return fuse.OK
	}
	atomic.CompareAndSwapInt64(&o.first, 0, time.Now().UnixNano())
	atomic.AddInt64(&o.failed, 1)
	return fuse.Status(o.errno)
}

// bad is a file system that asks before each call.
type bad struct {
	fuse.RawFileSystem
	o *order
	// shared are the files that SQLite maps to share memory, by node. A kernel's own
	// file system has in its cache what was made there and reads it from nowhere; a
	// page that cannot be read would be a signal, which no disk of a booth gives.
	shared *sync.Map
}

func (b bad) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	s := b.RawFileSystem.Lookup(cancel, in, name, out)
	b.named(s, name, out.NodeId)
	return s
}

func (b bad) named(s fuse.Status, name string, node uint64) {
	if s == fuse.OK && strings.HasSuffix(name, "-shm") {
		b.shared.Store(node, true)
	}
}

func (b bad) opens(flags uint32) fuse.Status {
	kinds := int32(callOpen)
	if flags&(syscall.O_WRONLY|syscall.O_RDWR|syscall.O_CREAT|syscall.O_TRUNC) != 0 {
		kinds |= callChange
	}
	return b.o.fails(kinds)
}

func (b bad) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if s := b.opens(in.Flags); s != fuse.OK {
		return s
	}
	return b.RawFileSystem.Open(cancel, in, out)
}

func (b bad) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if s := b.o.fails(callOpen | callChange); s != fuse.OK {
		return s
	}
	s := b.RawFileSystem.Create(cancel, in, name, out)
	b.named(s, name, out.NodeId)
	return s
}

func (b bad) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if s := b.o.fails(callOpen | callChange); s != fuse.OK {
		return s
	}
	return b.RawFileSystem.Mkdir(cancel, in, name, out)
}

func (b bad) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	if _, ok := b.shared.Load(in.NodeId); !ok {
		if s := b.o.fails(callRead); s != fuse.OK {
			return nil, s
		}
	}
	return b.RawFileSystem.Read(cancel, in, buf)
}

func (b bad) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	if s := b.o.fails(callWrite); s != fuse.OK {
		return 0, s
	}
	return b.RawFileSystem.Write(cancel, in, data)
}

// Writev is left to Write.
func (bad) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

// CopyFileRange is left to reads and writes.
func (bad) CopyFileRange(<-chan struct{}, *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

func (b bad) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if s := b.o.fails(callTruncate); s != fuse.OK {
		return s
	}
	return b.RawFileSystem.SetAttr(cancel, in, out)
}

func (b bad) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	if s := b.o.fails(callTruncate); s != fuse.OK {
		return s
	}
	return b.RawFileSystem.Fallocate(cancel, in)
}

func (b bad) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if s := b.o.fails(callSync); s != fuse.OK {
		return s
	}
	return b.RawFileSystem.Fsync(cancel, in)
}

func (b bad) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if s := b.o.fails(callSync); s != fuse.OK {
		return s
	}
	return b.RawFileSystem.FsyncDir(cancel, in)
}

func (b bad) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if s := b.o.fails(callUnlink); s != fuse.OK {
		return s
	}
	return b.RawFileSystem.Unlink(cancel, in, name)
}

func (b bad) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if s := b.o.fails(callUnlink); s != fuse.OK {
		return s
	}
	return b.RawFileSystem.Rmdir(cancel, in, name)
}

func (b bad) Rename(cancel <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if s := b.o.fails(callUnlink); s != fuse.OK {
		return s
	}
	return b.RawFileSystem.Rename(cancel, in, from, to)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "badfs:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("badfs FOLDER MOUNTPOINT ORDER")
	}
	f, err := os.OpenFile(args[2], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	shared, err := unix.Mmap(int(f.Fd()), 0, int(unsafe.Sizeof(order{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("sharing %s: %w", args[2], err)
	}
	root, err := fs.NewLoopbackRoot(args[0])
	if err != nil {
		return err
	}
	never := time.Duration(0) // nothing is known without asking
	files := bad{fs.NewNodeFS(root, &fs.Options{EntryTimeout: &never, AttrTimeout: &never}), (*order)(unsafe.Pointer(&shared[0])), new(sync.Map)}
	server, err := fuse.NewServer(files, args[1], &fuse.MountOptions{FsName: "badfs", DirectMountStrict: true})
	if err != nil {
		return fmt.Errorf("mounting %s: %w", args[1], err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return err
	}
	fmt.Println("mounted")
	_, _ = io.Copy(io.Discard, os.Stdin)          // until it ends
	return unix.Unmount(args[1], unix.MNT_DETACH) // who still has a file open gets errors from here on
}
