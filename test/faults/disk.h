// What SQLite's unix file system asks of the kernel, put before the rig first.
#ifndef BOOTHD_FAULTS_DISK_H
#define BOOTHD_FAULTS_DISK_H

#include <stddef.h>
#include <stdint.h>

// The kinds of calls, as in disk.go.
enum { CALL_OPEN, CALL_READ, CALL_WRITE, CALL_TRUNCATE, CALL_SYNC, CALL_UNLINK, CALL_OPENDIR };

// call is what is asked. The rig answers in err (an errno; 0: go on) and may
// make n smaller (a short transfer). An open that has watch set is asked about
// again at every call on its descriptor.
struct call {
  int kind, fd, err, watch;
  const char *path; // of open, openDirectory and unlink
  int creates;      // open may make the file
  const void *data;
  int64_t n, off;
};

// diskInstall puts the rig below SQLite, for the whole process. It is 0, or the
// number of the system call that SQLite does not have (a version too new).
int diskInstall(void);

#endif
