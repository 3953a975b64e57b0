// Package faults takes the disk away from under the buffer: the power is cut at
// each write, the n-th call to the kernel fails, the disk is full.
//
// The rig sits between SQLite's own unix file system and the kernel, in place of
// its system calls, so that the program under test is what a booth runs: its
// locks, its shared memory, its way with short transfers. A Go VFS such as
// sqlite3vfs would have to replace all of that: it has no shared memory, WAL
// works there in exclusive mode alone, and the journal's second connection, that
// of the readers, could not open the file.
//
// What package os asks of the kernel does not pass here, but for the journal's
// redo log, whose calls are passed by OpenLog.
//
// Source: reliability reference, sections 1, 2 and 4; SQLite documentation,
// sqlite3_vfs; the model of a disk is that of ALICE (Pillai et al., OSDI 2014).
package faults
