package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What SQLite asks of the kernel, as bits of order.kinds.
const (
	callOpen = 1 << iota
	callRead
	callWrite
	callTruncate
	callSync
	callUnlink
)

// Where it asks, as bits of order.where.
const (
	inJournal = 1 << iota
	inLists
)

// order is what the disk under a booth is told and tells, in memory that this
// process shares with it. One that is armed lets the calls from the n-th on
// fail, as many as most.
type order struct {
	armed        int32
	kinds, where int32
	errno        int32 // 0: the call moves short bytes
	short        int64
	from, most   int64
	seen, failed int64
	first        int64 // when the first failed, ns since 1970
}

// badDisk is a disk that fails when it is told to.
type badDisk struct {
	o   *order
	env []string
}

// newBadDisk makes one for a program whose SQLite calls the C library. What
// package os asks of the kernel does not pass here; badFolder has that, too.
func newBadDisk(t *testing.T) badDisk {
	t.Helper()
	const text = `#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
enum { OPEN = 1, READ = 2, WRITE = 4, TRUNCATE = 8, SYNC = 16, UNLINK = 32 };
static struct order {
	int32_t armed, kinds, where, error;
	int64_t some, from, most, seen, failed, first;
} *o;
static char place[4096]; // of a descriptor
__attribute__((constructor)) static void begin(void) {
	int fd = syscall(SYS_openat, AT_FDCWD, getenv("BOOTHD_BAD_DISK"), O_RDWR | O_CLOEXEC, 0);
	o = mmap(0, sizeof *o, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (o == MAP_FAILED) abort();
	syscall(SYS_close, fd);
}
static int whereis(const char *path) {
	const char *s = strstr(path, "/store");
	if (s == 0) return 0;
	if (s[6] == 0 || strncmp(s, "/store/journal.db", 17) == 0) return 1;
	return strncmp(s, "/store/lists", 12) == 0 ? 2 : 0;
}
// fails tells whether a call fails; a short one has its size changed instead.
static int fails(int kind, int where, size_t *n) {
	if (!__atomic_load_n(&o->armed, __ATOMIC_ACQUIRE) || !(o->kinds & kind) || !(o->where & where)) return 0;
	int64_t i = __atomic_add_fetch(&o->seen, 1, __ATOMIC_ACQ_REL);
	if (i < o->from || i >= o->from + o->most) return 0;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t none = 0;
	__atomic_compare_exchange_n(&o->first, &none, now.tv_sec * 1000000000LL + now.tv_nsec, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	__atomic_add_fetch(&o->failed, 1, __ATOMIC_ACQ_REL);
	if (o->error == 0) {
		if (n != 0 && *n > (size_t)o->some) *n = o->some;
		return 0;
	}
	errno = o->error;
	return 1;
}
static int at(int fd) { return fd >= 0 && fd < (int)sizeof place ? __atomic_load_n(&place[fd], __ATOMIC_ACQUIRE) : 0; }
static int opened(const char *path, int flags, int mode) {
	int where = whereis(path);
	if (where && fails(OPEN, where, 0)) return -1;
	int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fd >= 0 && fd < (int)sizeof place) __atomic_store_n(&place[fd], where, __ATOMIC_RELEASE);
	return fd;
}
#define MODE va_list l; va_start(l, flags); int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(l, int) : 0; va_end(l)
int open(const char *path, int flags, ...) { MODE; return opened(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return opened(path, flags, mode); }
int close(int fd) {
	if (at(fd)) __atomic_store_n(&place[fd], 0, __ATOMIC_RELEASE);
	return syscall(SYS_close, fd);
}
ssize_t pread64(int fd, void *b, size_t n, off64_t off) { return fails(READ, at(fd), &n) ? -1 : syscall(SYS_pread64, fd, b, n, off); }
ssize_t pread(int fd, void *b, size_t n, off_t off) { return pread64(fd, b, n, off); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t off) { return fails(WRITE, at(fd), &n) ? -1 : syscall(SYS_pwrite64, fd, b, n, off); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t off) { return pwrite64(fd, b, n, off); }
int ftruncate64(int fd, off64_t n) { return fails(TRUNCATE, at(fd), 0) ? -1 : syscall(SYS_ftruncate, fd, n); }
int ftruncate(int fd, off_t n) { return ftruncate64(fd, n); }
int fsync(int fd) { return fails(SYNC, at(fd), 0) ? -1 : syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails(SYNC, at(fd), 0) ? -1 : syscall(SYS_fdatasync, fd); }
int unlink(const char *path) { return fails(UNLINK, whereis(path), 0) ? -1 : syscall(SYS_unlinkat, AT_FDCWD, path, 0); }
`
	lib := filepath.Join(t.TempDir(), "disk.so")
	cmd := exec.Command("gcc", "-O1", "-shared", "-fPIC", "-o", lib, "-xc", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o, shared := newOrder(t)
	return badDisk{o: o, env: []string{"LD_PRELOAD=" + lib, "BOOTHD_BAD_DISK=" + shared}}
}

// newOrder gives one, and the file by which another program shares it.
func newOrder(t *testing.T) (o *order, shared string) {
	t.Helper()
	shared = filepath.Join(t.TempDir(), "order")
	if err := os.WriteFile(shared, make([]byte, unsafe.Sizeof(order{})), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(shared, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(unsafe.Sizeof(order{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return (*order)(unsafe.Pointer(&b[0])), shared
}

// diskFault is what the disk says to some kinds of calls.
type diskFault struct {
	name  string
	kinds int32
	errno syscall.Errno
	short int64
	stops bool // while it lasts nothing can be stored
}

func diskFaults() []diskFault {
	const all = callOpen | callRead | callWrite | callTruncate | callSync | callUnlink
	return []diskFault{
		{name: "write EIO", kinds: callWrite, errno: syscall.EIO, stops: true},
		{name: "write ENOSPC", kinds: callWrite, errno: syscall.ENOSPC, stops: true},
		{name: "write short", kinds: callWrite, short: 100},
		{name: "sync EIO", kinds: callSync, errno: syscall.EIO, stops: true},
		{name: "read EIO", kinds: callRead, errno: syscall.EIO},
		{name: "read short", kinds: callRead, short: 10},
		{name: "open EIO", kinds: callOpen, errno: syscall.EIO},
		{name: "truncate EIO", kinds: callTruncate, errno: syscall.EIO},
		{name: "all EIO", kinds: all, errno: syscall.EIO, stops: true},
		{name: "write and truncate EROFS", kinds: callWrite | callTruncate | callUnlink, errno: syscall.EROFS, stops: true},
	}
}

// arm lets the calls of a fault fail from the n-th on, most of them.
func (d badDisk) arm(f diskFault, where int32, n, most int64) {
	*d.o = order{kinds: f.kinds, where: where, errno: int32(f.errno), short: f.short, from: n, most: most}
	atomic.StoreInt32(&d.o.armed, 1)
}

// struck tells when the first call failed; zero: none has.
func (d badDisk) struck() time.Time {
	if ns := atomic.LoadInt64(&d.o.first); ns > 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// mend ends the fault; it tells when, and how many calls it met.
func (d badDisk) mend() (at time.Time, failed int64) {
	at = time.Now()
	atomic.StoreInt32(&d.o.armed, 0)
	return at, atomic.LoadInt64(&d.o.failed)
}
