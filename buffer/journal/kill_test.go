package journal

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// childEnv makes this test binary the process that is killed.
const childEnv = "BOOTHD_JOURNAL_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if path, ok := strings.CutPrefix(path, claimsChild); ok {
			os.Exit(claimUntilKilled(path))
		}
		os.Exit(storeUntilKilled(path))
	}
	os.Exit(m.Run())
}

// child is another process that stores in the journal at path.
func child(t testing.TB, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// storeUntilKilled appends from several goroutines, receipts and prunes, and
// prints each place once it is acknowledged.
func storeUntilKilled(path string) int {
	ctx := context.Background()
	j, _, err := Open(ctx, Config{Path: path, Retain: time.Nanosecond})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("epoch", j.Epoch())
	var out sync.Mutex
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				stamps, err := j.Append(ctx, event("crossing"), alert())
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				out.Lock()
				for _, s := range stamps {
					fmt.Println("stored", s.Seq, s.ID)
				}
				out.Unlock()
			}
		})
	}
	all.Wait()
	return 1
}

// What Append has acknowledged is there after a kill -9 at any moment, under
// the number and name that were told, without a gap, and the chain holds.
func TestI4_KillNineLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	dice := rand.New(rand.NewPCG(4, 9))
	names := map[uint64]string{}
	epoch := ""
	for round := range 20 {
		cmd := child(t, path)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatal("child says nothing")
		}
		if e := strings.TrimPrefix(lines.Text(), "epoch "); epoch != "" && e != epoch {
			t.Fatalf("round %d: epoch %s after %s", round, e, epoch)
		} else {
			epoch = e
		}
		kill := time.AfterFunc(time.Duration(5+dice.IntN(150))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			var seq uint64
			var id string
			if n, _ := fmt.Sscanf(lines.Text(), "stored %d %s", &seq, &id); n == 2 && len(id) == 36 {
				if names[seq] != "" {
					t.Fatalf("round %d: number %d was given twice", round, seq)
				}
				names[seq] = id
			}
		}
		_ = cmd.Wait() // killed
		kill.Stop()
		complete(t, path, names)
	}
	if len(names) < 500 {
		t.Errorf("only %d events: the kills came too soon to prove anything", len(names))
	}
}

// complete compares the journal with what was acknowledged.
func complete(t *testing.T, path string, names map[uint64]string) {
	t.Helper()
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if v, err := r.Verify(t.Context(), 1, 1<<40); err != nil || len(v.Gaps) > 0 || v.First != 1 && v.Rows > 0 {
		t.Fatalf("%+v %v", v, err)
	}
	found := 0
	for rec, err := range r.Range(t.Context(), 1, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		if id, told := names[rec.Seq]; told {
			found++
			if id != rec.ID {
				t.Fatalf("number %d is %s, %s was acknowledged", rec.Seq, rec.ID, id)
			}
		}
	}
	if found != len(names) {
		t.Fatalf("%d of %d acknowledged events are there", found, len(names))
	}
}
