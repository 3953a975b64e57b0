package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"boothd/buffer/eligibility"
	"boothd/test/long"
)

const (
	taskEnv = "BOOTHD_FAULTS_TASK"
	dirEnv  = "BOOTHD_FAULTS_DIR"
)

// TestMain runs one task in a program of its own, whose calls strace lets fail.
func TestMain(m *testing.M) {
	name := os.Getenv(taskEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	// strace counts the calls of each thread by itself.
	runtime.LockOSThread()
	for _, t := range tasks() {
		if t.name == name {
			if err := stubborn(context.Background(), os.Getenv(dirEnv), t); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(2)
}

// stubborn does a task, and all of it again if something fails once: the store
// is opened twice at most, the task done thrice.
func stubborn(ctx context.Context, dir string, t task) error {
	s, err := eligibility.Open(ctx, dir)
	if err != nil {
		if s, err = eligibility.Open(ctx, dir); err != nil {
			return fmt.Errorf("opening again: %w", err)
		}
	}
	for range 3 {
		if err = t.do(ctx, s); err == nil {
			break
		}
		if err := rightOrError(s, t, true); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("again: %w", err), s.Close())
	}
	for i := 0; i < 2*cardsMost; i += cardsMost / 4 { // the parent looks up everything
		if value, ok, err := s.Lookup(cards, tokenOf(i)); err == nil && ok && string(value) != string(valueOf(t.fresh, i)) {
			return errors.Join(fmt.Errorf("%w: card %d is %q", errWrong, i, value), s.Close())
		}
	}
	_ = s.Close() // the fault may come last
	return nil
}

// osFault is what the kernel says to one call that package os makes for the
// store, or SQLite.
type osFault struct {
	call, errno string
	often       bool // SQLite makes most of them: not each in turn, unless BOOTHD_LONG
}

func osFaults() []osFault {
	return []osFault{
		{call: "openat", errno: "EIO"}, {call: "fsync", errno: "EIO"}, {call: "renameat", errno: "EIO"}, {call: "renameat", errno: "ENOSPC"},
		{call: "unlinkat", errno: "EIO"}, {call: "write", errno: "ENOSPC"}, {call: "fstat", errno: "EIO"}, {call: "getdents64", errno: "EIO"},
		{call: "pread64", errno: "EIO", often: true}, {call: "newfstatat", errno: "EIO", often: true},
	}
}

// stride is how far the next call is that fails.
func (f osFault) stride() int {
	if f.often && long.Times() == 0 {
		return 7
	}
	return 1
}

// The n-th call to the kernel fails once, also those that do not go by SQLite: a
// list is taken, changed, folded and purged all the same, no look-up is wrong,
// and nothing is left lying about.
func TestI6_FailingSystemCallsNeverGiveAWrongLookUp(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	seen := sync.Map{} // calls that failed at least once
	t.Run("tasks", func(t *testing.T) {
		for _, task := range tasks() {
			for _, f := range osFaults() {
				t.Run(task.name+"/"+f.call+" "+f.errno, func(t *testing.T) {
					t.Parallel()
					dir := scratch(t)
					files, err := prepare(t.Context(), dir, task)
					if err != nil {
						t.Fatal(err)
					}
					failed := 0
					for n := 1; ; n += f.stride() {
						layOut(t, dir, files)
						hit, err := underStrace(t, self, dir, task, f, n)
						if err == nil {
							err = wholeAfter(t.Context(), dir, task)
						}
						if err != nil {
							t.Errorf("call %d: %v", n, err)
						}
						if !hit {
							break
						}
						seen.Store(f.call, true)
						failed++
					}
					t.Logf("%d calls failed", failed)
				})
			}
		}
	})
	for _, call := range []string{"openat", "fsync", "renameat", "unlinkat", "pread64"} {
		if _, ok := seen.Load(call); !ok {
			t.Errorf("no %s failed: nothing is tested", call)
		}
	}
}

// underStrace runs a task while the n-th of some call on the store's files
// fails; hit tells whether there were as many.
func underStrace(t *testing.T, self, dir string, task task, f osFault, n int) (hit bool, err error) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	args := []string{"-f", "-o", log, "-e", "trace=" + f.call, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", f.call, f.errno, n), "-P", dir}
	for _, name := range []string{"index.db", "index.db-wal", "index.db-shm", "cards-1.db", "cards-2.db", "cards-1.db.tmp", "cards-2.db.tmp"} {
		args = append(args, "-P", filepath.Join(dir, name))
	}
	cmd := exec.CommandContext(t.Context(), "strace", append(args, self)...) // .ci/setup installs it
	cmd.Env = append(os.Environ(), taskEnv+"="+task.name, dirEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, runErr := cmd.CombinedOutput()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(errors.Join(err, runErr))
	}
	if runErr != nil {
		err = fmt.Errorf("%w: %s", runErr, out)
	}
	return strings.Contains(string(b), "(INJECTED)"), err
}
