package journal

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// claimsChild before the path has the killed process claim ids.
const claimsChild = "claims:"

// claimUntilKilled claims one id after the other beside appends, settles every
// second one, and prints each once it is told that it is its own.
func claimUntilKilled(path string) int {
	ctx := context.Background()
	j, _, err := Open(ctx, Config{Path: path})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		for err == nil {
			_, err = j.Append(ctx, event("crossing"))
		}
	}()
	for n := 0; ; n++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), n)
		now := time.Now()
		if fresh, err := j.Claim(ctx, id, now, now.Add(time.Hour)); !fresh || err != nil {
			fmt.Fprintln(os.Stderr, fresh, err)
			return 1
		}
		fmt.Println("claimed", id)
		if n%2 == 0 {
			if err := j.Settle(ctx, id); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			fmt.Println("settled", id)
		}
	}
}

// What was claimed before a kill -9 is nobody's after it, and what was settled
// stays so.
func TestClaimsOutliveAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	dice := rand.New(rand.NewPCG(4, 9))
	claimed, settled := map[string]bool{}, map[string]bool{}
	for range 10 {
		cmd := child(t, claimsChild+path)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for left := 10 + dice.IntN(40); lines.Scan(); left-- {
			if left == 0 { // in the middle of what comes next
				_ = cmd.Process.Kill()
			}
			if id, ok := strings.CutPrefix(lines.Text(), "claimed "); ok {
				claimed[id] = true
			} else if id, ok := strings.CutPrefix(lines.Text(), "settled "); ok {
				settled[id] = true
			}
		}
		_ = cmd.Wait() // killed
	}
	if len(claimed) < 50 || len(settled) < 20 {
		t.Fatalf("%d claimed, %d settled, want 60 and 30 at least", len(claimed), len(settled))
	}
	j, _ := open(t, Config{Path: path})
	for id := range claimed {
		if claim(t, j, id, time.Now()) {
			t.Errorf("%s was claimed and is free", id)
		}
	}
	for _, id := range unsettled(t, j) {
		if settled[id] {
			t.Errorf("%s was settled and is open", id)
		}
	}
}
