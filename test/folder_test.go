//go:build fuse

package test

import (
	"bufio"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"boothd/test/long"
)

// callChange is an open that writes or makes something, as a bit of order.kinds:
// a file system knows that, and says no to it when it is read-only.
const callChange = 1 << 6

// folderFaults is what a whole file system says.
func folderFaults() []diskFault {
	const all = callOpen | callRead | callWrite | callTruncate | callSync | callUnlink
	return []diskFault{
		{name: "read-only", kinds: callWrite | callTruncate | callUnlink | callChange, errno: syscall.EROFS, stops: true},
		{name: "dead", kinds: all, errno: syscall.EIO, stops: true},
		{name: "full", kinds: callWrite | callTruncate | callChange, errno: syscall.ENOSPC, stops: true},
		{name: "unsynced", kinds: callSync, errno: syscall.EIO, stops: true},
	}
}

// folderAttacks are every fault at the calls of a passage, once and for long, and
// at those of a start.
func folderAttacks() (out []attack) {
	more := int64(max(1, long.Times())) // so many times as close together
	for _, f := range folderFaults() {
		for n := int64(1); n < 12; n += 1 + 2/more {
			out = append(out, attack{diskFault: f, n: n})
		}
		for _, lasts := range []time.Duration{500 * time.Millisecond, 4 * time.Second, 12 * time.Second} {
			out = append(out, attack{diskFault: f, n: 1, lasts: lasts})
		}
		for n := int64(1); n < 60; n += 1 + 6/more {
			out = append(out, attack{diskFault: f, n: n, lasts: 500 * time.Millisecond, start: true})
		}
	}
	return out
}

// The file system that holds the data folder of a booth at work turns read-only,
// dies or is full for a while, or fails at the n-th call: whatever is asked of it
// and by whom, SQLite or package os. No process ends, no green is lit whose
// decision came after that, what was stored stays and reaches headquarters once,
// and the booth expedites again when it is over.
//
// It is a file system of our own. A kernel's that turns read-only by itself stays
// so until it is mounted anew, and one that somebody has files open in for writing
// is not made read-only by hand.
func TestI1I2I4I9_AFolderThatFails(t *testing.T) {
	if !inOwn(t, "mount", syscall.CLONE_NEWNS) {
		return
	}
	c := newCenter(t)
	k := &faulted{killing: &killing{post: newPost(t, c, "folder", `# light_mode = "staffed"`, `light_mode = "auto"`),
		rand: rand.New(rand.NewPCG(1, 0xf5)), pace: 2, prunes: true}}
	k.disk = badFolder(k.post, filepath.Join(k.dir, "store"))
	stored := k.run(folderAttacks())
	if got, want := c.tally(), (tally{Events: stored}); got != want {
		t.Errorf("I4: headquarters has %+v, want %+v", got, want)
	}
}

// badFolder mounts a file system at a folder that is to be made.
func badFolder(b *post, at string) badDisk {
	b.Helper()
	dir := b.TempDir()
	program, under := filepath.Join(dir, "badfs"), filepath.Join(dir, "under")
	build := exec.CommandContext(b.Context(), "go", "build", "-C", "faults", "-o", program, "./badfs")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for _, d := range []string{at, under} {
		if err := os.Mkdir(d, 0o700); err != nil {
			b.Fatal(err)
		}
	}
	o, shared := newOrder(b.T)
	fs := exec.Command(program, under, at, shared)
	fs.Stderr = os.Stderr
	in, err := fs.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := fs.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := fs.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		b.kill() // it ends when nobody uses it
		_ = in.Close()
		if err := fs.Wait(); err != nil {
			b.Errorf("badfs: %v", err)
		}
	})
	if !bufio.NewScanner(out).Scan() {
		b.Fatal("the kernel mounts no file system of ours, which this test needs (/dev/fuse)")
	}
	return badDisk{o: o}
}
