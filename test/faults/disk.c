#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "_cgo_export.h"

// The public part of SQLite's interface that is used here, because its header
// is no part of the Go driver's (SQLite documentation, sqlite3_vfs, version 3).
typedef struct sqlite3_vfs sqlite3_vfs;
typedef void (*syscall_ptr)(void);
struct sqlite3_vfs {
  int iVersion, szOsFile, mxPathname;
  sqlite3_vfs *pNext;
  const char *zName;
  void *pAppData;
  void (*unused[13])(void);
  int (*xSetSystemCall)(sqlite3_vfs *, const char *, syscall_ptr);
  syscall_ptr (*xGetSystemCall)(sqlite3_vfs *, const char *);
};
sqlite3_vfs *sqlite3_vfs_find(const char *);

// Descriptors that the rig has to be asked about. A higher one is not watched:
// the test would notice that nothing is recorded.
enum { FDS = 4096 };
static char watched[FDS];

static int (*realOpen)(const char *, int, int);
static int (*realClose)(int);
static int (*realTruncate)(int, off_t);
static int (*realUnlink)(const char *);
static int (*realOpenDirectory)(const char *, int *);

static int isWatched(int fd) {
  return fd >= 0 && fd < FDS && __atomic_load_n(&watched[fd], __ATOMIC_ACQUIRE);
}

static int ask(struct call *c) {
  diskAsk(c);
  errno = c->err;
  return c->err;
}

static void opened(struct call *c, int fd) {
  if (c->watch && fd >= 0 && fd < FDS) {
    c->fd = fd;
    diskOpened(c);
    __atomic_store_n(&watched[fd], 1, __ATOMIC_RELEASE);
  }
}

static int myOpen(const char *path, int flags, int mode) {
  struct call c = {.kind = CALL_OPEN, .path = path, .creates = (flags & O_CREAT) != 0};
  if (ask(&c)) return -1;
  int fd = realOpen(path, flags, mode);
  opened(&c, fd);
  return fd;
}

static int myOpenDirectory(const char *path, int *fd) {
  struct call c = {.kind = CALL_OPENDIR, .path = path};
  if (ask(&c)) return 14; // SQLITE_CANTOPEN
  int rc = realOpenDirectory(path, fd);
  if (rc == 0) opened(&c, *fd);
  return rc;
}

static int myClose(int fd) {
  if (isWatched(fd)) __atomic_store_n(&watched[fd], 0, __ATOMIC_RELEASE);
  return realClose(fd);
}

static ssize_t myPread(int fd, void *buf, size_t n, off_t off) {
  if (isWatched(fd)) {
    struct call c = {.kind = CALL_READ, .fd = fd, .n = n, .off = off};
    if (ask(&c)) return -1;
    n = c.n;
  }
  return pread(fd, buf, n, off);
}

static ssize_t myPwrite(int fd, const void *buf, size_t n, off_t off) {
  if (isWatched(fd)) {
    struct call c = {.kind = CALL_WRITE, .fd = fd, .data = buf, .n = n, .off = off};
    if (ask(&c)) return -1;
    n = c.n;
  }
  return pwrite(fd, buf, n, off);
}

// A driver compiled without pread seeks first.
static ssize_t myRead(int fd, void *buf, size_t n) {
  if (!isWatched(fd)) return read(fd, buf, n);
  off_t off = lseek(fd, 0, SEEK_CUR);
  ssize_t got = myPread(fd, buf, n, off);
  if (got > 0) lseek(fd, off + got, SEEK_SET);
  return got;
}

static ssize_t myWrite(int fd, const void *buf, size_t n) {
  if (!isWatched(fd)) return write(fd, buf, n);
  off_t off = lseek(fd, 0, SEEK_CUR);
  ssize_t got = myPwrite(fd, buf, n, off);
  if (got > 0) lseek(fd, off + got, SEEK_SET);
  return got;
}

static int myTruncate(int fd, off_t n) {
  if (isWatched(fd)) {
    struct call c = {.kind = CALL_TRUNCATE, .fd = fd, .n = n};
    if (ask(&c)) return -1;
  }
  return realTruncate(fd, n);
}

static int myUnlink(const char *path) {
  struct call c = {.kind = CALL_UNLINK, .path = path};
  return ask(&c) ? -1 : realUnlink(path);
}

// SQLite's table of system calls has no sync. Its object is linked into this
// program, so that these definitions are found before the C library's.
static int synced(int fd, long number) {
  if (isWatched(fd)) {
    struct call c = {.kind = CALL_SYNC, .fd = fd};
    if (ask(&c)) return -1;
  }
  return syscall(number, fd);
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int diskInstall(void) {
  sqlite3_vfs *v = sqlite3_vfs_find("unix");
  if (v == 0 || v->iVersion < 3) return -1;
  static int (*unused)(void);
  struct {
    const char *name;
    syscall_ptr mine;
    void *real;
  } calls[] = {
      {"open", (syscall_ptr)myOpen, &realOpen},
      {"close", (syscall_ptr)myClose, &realClose},
      {"read", (syscall_ptr)myRead, &unused},
      {"write", (syscall_ptr)myWrite, &unused},
      {"ftruncate", (syscall_ptr)myTruncate, &realTruncate},
      {"unlink", (syscall_ptr)myUnlink, &realUnlink},
      {"openDirectory", (syscall_ptr)myOpenDirectory, &realOpenDirectory},
      {"pread", (syscall_ptr)myPread, 0},
      {"pwrite", (syscall_ptr)myPwrite, 0},
      {"pread64", (syscall_ptr)myPread, 0},
      {"pwrite64", (syscall_ptr)myPwrite, 0},
  };
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    syscall_ptr real = v->xGetSystemCall(v, calls[i].name);
    if (real == 0 && calls[i].real == 0) continue; // compiled in or not
    if (calls[i].real != 0) memcpy(calls[i].real, &real, sizeof real);
    if (real == 0 || v->xSetSystemCall(v, calls[i].name, calls[i].mine) != 0) return (int)i + 1;
  }
  return 0;
}
