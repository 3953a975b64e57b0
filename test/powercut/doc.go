// Package powercut asks what would be on the disk if the power failed at any
// moment. A program of ours does its work under strace, as it does in the booth;
// from what it asked of the kernel the disk is built anew as it may be after
// each cut: writes that nobody synced are gone, torn or in another order, names
// that no folder's sync has made durable are the old ones. On each such disk the
// store is opened by the ordinary code and has to keep its word.
//
// What is kept is the least that POSIX grants, less than ext4 does: a file's
// bytes by its own sync, its name by that of its folder.
//
// Source: reliability reference, sections 1 and 4; measured limits, 2; the
// method is that of ALICE (Pillai et al., OSDI 2014).
package powercut
