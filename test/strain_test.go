package test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent/status"
)

// A second boothd is started beside the first, the first is stopped for three
// seconds, and is left without a descriptor to open: the second goes, the first
// goes on by itself, shows no green that is not of the vehicle before it, and
// headquarters has everything.
func TestI2I4I5_OneProcessUnderStrain(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := newCenter(t)
	k := &killing{post: newPost(t, c, "strain", `# light_mode = "staffed"`, `light_mode = "auto"`), rand: rand.New(rand.NewPCG(1, 1)), pace: 2}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { k.watch(ctx) })
	k.open()
	road, end := context.WithCancel(ctx)
	var traffic sync.WaitGroup
	traffic.Go(func() { k.traffic(road) })

	k.second()
	k.decides("beside a second one", 10)
	k.freeze(3 * time.Second) // a watchdog ends one that is stopped for longer
	k.decides("after a stop", 10)
	k.starve()
	k.decides("with descriptors again", 10)

	end()
	traffic.Wait()
	k.await("healthy", healthy)
	if stored, got := k.rest(), c.tally(); got != (tally{Events: stored}) {
		t.Errorf("I4: headquarters has %+v of %d", got, stored)
	}
	stop()
	all.Wait()
	k.look(false)
	if k.greens == 0 {
		t.Error("no green was seen")
	}
}

// second starts another boothd on the same configuration, which must say why it
// goes, and with which code.
func (k *killing) second() {
	k.Helper()
	out, err := exec.CommandContext(k.Context(), filepath.Join(programs, "boothd"), k.file).CombinedOutput()
	const busy = 75 // EX_TEMPFAIL
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != busy || !strings.Contains(string(out), "another boothd") {
		k.Errorf("a second boothd: %v\n%s", err, out)
	}
}

// freeze stops the process as a debugger does, or a machine that swaps.
func (k *killing) freeze(d time.Duration) {
	k.Helper()
	for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := k.cmd.Process.Signal(s); err != nil {
			k.Fatal(err)
		}
		if s == syscall.SIGSTOP {
			time.Sleep(d) // the fault itself
		}
	}
}

// decides waits until the journal has so many more.
func (k *killing) decides(when string, events uint64) {
	k.Helper()
	j := k.journal()
	defer func() { _ = j.Close() }()
	before := uint64(0)
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		now, err := j.Count(k.Context())
		if err != nil {
			k.Fatal(err)
		}
		if before == 0 {
			before = now.Last
		}
		if now.Last > before+events {
			return
		}
	}
	k.Fatalf("nothing is decided %s", when)
}

// starve lets the process open nothing more for a while, in which the lane goes
// on, and looks that this has bitten: nobody is answered meanwhile.
func (k *killing) starve() {
	k.Helper()
	var was unix.Rlimit
	limit := func(now *unix.Rlimit, before *unix.Rlimit) {
		if err := unix.Prlimit(k.cmd.Process.Pid, unix.RLIMIT_NOFILE, now, before); err != nil {
			k.Fatal(err)
		}
	}
	limit(nil, &was)
	limit(&unix.Rlimit{Cur: 4, Max: was.Max}, nil)
	ctx, cancel := context.WithTimeout(k.Context(), 2*time.Second) // it would wait for its answer for ever
	defer cancel()
	if _, err := status.Dial("unix:" + string(k.cfg.Socket)).Get(ctx); err == nil {
		k.Error("a process without descriptors took a connection: the limit does not bite")
	}
	k.decides("without descriptors", 100) // the journal has to tidy up meanwhile
	limit(&was, nil)
	k.await("healthy", healthy)
}
