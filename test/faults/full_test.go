package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"boothd/buffer/eligibility"
	"boothd/buffer/journal"
)

const (
	fullEnv  = "BOOTHD_FAULTS_FULL" // the folder for a small disk; set in the child
	limitEnv = "BOOTHD_FAULTS_LIMIT"
	diskSize = 12 << 20
	ballast  = 6 << 20
)

// onSmallDisk runs one test once more in a process that may mount a small disk
// of its own. Where nobody may, files are kept small by a limit instead.
func onSmallDisk(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	run := func(attr *syscall.SysProcAttr, env ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(append(os.Environ(), fullEnv+"="+dir), env...)
		cmd.SysProcAttr = attr
		return cmd.CombinedOutput()
	}
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	out, err := run(attr)
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) || strings.Contains(string(out), mayNotMount) {
		out, err = run(nil, limitEnv+"=1")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

const mayNotMount = "no disk may be mounted here"

// smallDisk mounts one and gives the way to make room on it.
func smallDisk(t *testing.T, dir string) (room func() error) {
	t.Helper()
	if os.Getenv(limitEnv) != "" {
		signal.Ignore(syscall.SIGXFSZ)
		var was syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
		small := was
		small.Cur = diskSize / 2
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
			t.Fatal(err)
		}
		return func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was) }
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		t.Fatal(mayNotMount, err)
	}
	path := filepath.Join(dir, "ballast")
	if err := os.WriteFile(path, make([]byte, ballast), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() error { return os.Remove(path) }
}

// A disk that is full costs events that were never acknowledged, none that was;
// the journal stores again within 5 s of there being room, also if the booth was
// started while there was none.
func TestI4_FullDiskLosesNoEvent(t *testing.T) {
	dir := os.Getenv(fullEnv)
	if dir == "" {
		onSmallDisk(t)
		return
	}
	room := smallDisk(t, dir)
	r := &Recorder{}
	synctest.Test(t, func(t *testing.T) {
		if err := fillJournal(t.Context(), t, dir, r.Say, room); err != nil {
			t.Fatal(err)
		}
		if err := keepsItsWord(t.Context(), fullConfig(dir), toldBy(words(r.Steps()))); err != nil {
			t.Error(err)
		}
	})
	if err := sound(filepath.Join(dir, journalFile)); err != nil {
		t.Error(err)
	}
}

// fullConfig leaves it to the disk how much there is room for, and gives up
// nothing unsent.
func fullConfig(dir string) journal.Config {
	return journal.Config{Path: filepath.Join(dir, journalFile), Retain: time.Hour}
}

func fillJournal(ctx context.Context, t *testing.T, dir string, say func(any), room func() error) error {
	j, _, err := journal.Open(ctx, fullConfig(dir))
	if err != nil {
		return err
	}
	say(epochIs{j.Epoch()})
	stores, refused := 0, 0
	for refused < 30 {
		err := attempt(ctx, booth{j, say}, strings.Repeat("full ", 100))
		switch {
		case err == nil:
			stores++
		case !errors.Is(err, journal.ErrFull) && !errors.Is(err, journal.ErrStorage):
			return errors.Join(fmt.Errorf("a full disk: %w", err), j.Close())
		default:
			refused++
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("%d appends were stored before the disk was full", stores)
	_ = j.Close() // it may want room, too
	if again, _, err := journal.Open(ctx, fullConfig(dir)); err != nil {
		t.Logf("a start without room: %v", err)
		j = nil
	} else {
		j = again
		_ = attempt(ctx, booth{j, say}, "started")
	}
	if err := room(); err != nil {
		return err
	}
	began := time.Now()
	if j == nil {
		if j, _, err = journal.Open(ctx, fullConfig(dir)); err != nil {
			return fmt.Errorf("a start with room again: %w", err)
		}
	}
	for {
		err := attempt(ctx, booth{j, say}, "room")
		if err == nil || time.Since(began) > recovery {
			return errors.Join(err, j.Close())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// A list that there is no room for changes nothing; it is taken when there is.
func TestI6_FullDiskKeepsTheOldList(t *testing.T) {
	dir := os.Getenv(fullEnv)
	if dir == "" {
		onSmallDisk(t)
		return
	}
	room := smallDisk(t, dir)
	ctx := t.Context()
	s, err := eligibility.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	task := tasks()[0]
	if err := task.before[0](ctx, s); err != nil {
		t.Fatal(err)
	}
	huge := make([]eligibility.Row, 0, diskSize/1000)
	for i := range cap(huge) {
		huge = append(huge, eligibility.Row{Token: tokenOf(i), Value: make([]byte, 1200)})
	}
	sortRows(huge)
	for range 3 {
		_, err := s.Build(ctx, eligibility.Spec{Kind: cards, Generation: 2, Rows: uint64(len(huge)), Digest: eligibility.Digest(huge), VerifiedAt: time.Now(), Pace: unpaced}, each(huge))
		if err == nil {
			t.Fatal("a list larger than the disk was built")
		}
		if err := rightOrError(s, task, false); err != nil || !inForce(s, 1) {
			t.Fatalf("the old list: %v", err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*.tmp*")); err != nil || len(left) > 0 {
			t.Errorf("%v left behind, %v", left, err)
		}
	}
	if err := room(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(task.do(ctx, s), rightOrError(s, task, false), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := wholeAfter(ctx, dir, task); err != nil {
		t.Error(err)
	}
}
