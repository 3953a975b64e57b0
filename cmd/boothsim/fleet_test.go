package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // headquarters' database, to spoil it

	"boothd/cmd/boothsim/internal/fleet"
	"boothd/test/long"
	"boothd/test/programs"
)

// headquarters gives a folder that boothhq, boothsim and nats-server are in.
func headquarters(t *testing.T) string {
	t.Helper()
	built, err := programs.Dir()
	if err != nil {
		t.Fatal(err)
	}
	nats, err := filepath.Abs("../../bin/nats-server") // where .ci/setup puts it if it is not on the path
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, program := range []string{filepath.Join(built, "boothhq"), filepath.Join(built, "boothsim"), nats} {
		if err := os.Symlink(program, filepath.Join(dir, filepath.Base(program))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// printed runs the verb and gives what it printed, which is the result even of
// a run that fails.
func printed(t *testing.T, c *fleetCmd) (r fleet.Result, err error) {
	t.Helper()
	var out bytes.Buffer
	c.out = &out
	err = c.Run(t.Context())
	if e := json.Unmarshal(out.Bytes(), &r); e != nil {
		t.Fatalf("%v: %q; the run: %v", e, out.Bytes(), err)
	}
	return r, err
}

// I4: twenty booths, a real mosquitto that is killed with all it holds, lines
// that close and go silent, clocks that jump: nothing is lost or doubled.
func TestI4_FleetLosesNothing(t *testing.T) {
	t.Parallel() // it waits most of the time; so do the others
	c := &fleetCmd{Booths: 20, For: 16 * time.Second, JSON: true, Seed: 3, Rate: 7200, Broker: []string{mosquitto}, Calm: 3 * time.Minute, Pauses: "short",
		Bin: headquarters(t), Receive: "--interval 200ms"}
	r, err := printed(t, c)
	if err != nil {
		t.Fatal(err)
	}
	allThere(t, r, 200, fleet.Closed, fleet.HalfOpen, fleet.Deaf, fleet.Step, fleet.Restart, fleet.KillBroker)
	if r.Again == 0 || r.BytesLost == 0 || r.Connects <= 20 || r.Live.Count == 0 || r.Backlog.Count == 0 {
		t.Errorf("nothing was repeated, lost on the way or late: %+v", r)
	}
}

// allThere looks whether all is there, of at least so many events, and whether
// these faults have happened.
func allThere(t *testing.T, r fleet.Result, events uint64, kinds ...fleet.Kind) {
	t.Helper()
	if r.Missing+r.Doubled+r.Extra+r.Altered+r.Lost > 0 || r.Stored < events || !r.Settled || r.Receipted != r.Stored {
		t.Errorf("%+v", r)
	}
	for _, k := range kinds {
		if r.Faults[k] == 0 {
			t.Errorf("no %s in this run: it shows less than it says", k)
		}
	}
	t.Logf("%+v", r)
}

// I4: booths on three nodes of nats-server that are killed in turn, with a
// receiver that is killed too: 200 for two minutes in the long run, 2,000 in a
// soak.
func TestI4_FleetOnThreeNodes(t *testing.T) {
	t.Parallel()
	c := &fleetCmd{Booths: 8, For: 12 * time.Second, JSON: true, Seed: 5, Rate: 7200, Broker: []string{cluster}, Calm: 3 * time.Minute, Pauses: "short",
		Bin: headquarters(t), Receive: "--interval 200ms"}
	kinds, events := []fleet.Kind{fleet.KillBroker}, uint64(50)
	if n := long.Times(); n > 0 {
		c.Booths, c.Calm = min(200*n, 2000), 10*time.Minute
		c.For, c.Rate = time.Duration(max(1, n/10))*2*time.Minute, 1800*200/float64(c.Booths)
		kinds, events = append(kinds, fleet.KillHQ, fleet.HalfOpen, fleet.Restart), 5000
	}
	r, err := printed(t, c)
	if err != nil {
		t.Fatal(err)
	}
	allThere(t, r, events, kinds...)
}

// What is taken away at headquarters, or put there, is found; headquarters'
// own report does not know of it, for its marks are above.
func TestI4_FleetFindsWhatWasSpoiled(t *testing.T) {
	t.Parallel()
	bin := headquarters(t)
	c := &fleetCmd{Booths: 3, For: 4 * time.Second, JSON: true, Seed: 3, Rate: 18000, Broker: []string{embedded}, Calm: 3 * time.Minute, Quiet: true, Pauses: "short", Bin: bin}
	c.settled = func(ctx context.Context) error {
		// The receiver would hold the file against us in its own time.
		db, err := sql.Open("sqlite3", "file:"+c.DB+"?_busy_timeout=10000")
		if err != nil {
			return err
		}
		defer db.Close()
		for _, spoil := range []string{
			"DELETE FROM event WHERE epoch = 1 AND seq IN (2, 5)",
			"DELETE FROM event WHERE epoch = 2 AND seq = (SELECT max(seq) FROM event WHERE epoch = 2)",
			"UPDATE event SET body = CAST(replace(CAST(body AS TEXT), 'PRIMARY', 'SECONDARY') AS BLOB) WHERE epoch = 3 AND seq = 1",
		} {
			if _, err := db.ExecContext(ctx, spoil); err != nil {
				return err
			}
		}
		return nil
	}
	r, err := printed(t, c)
	if err == nil {
		t.Fatal("a spoiled run is called good")
	}
	for _, want := range []string{"3 events are missing", "1 altered", "is not at headquarters", "has other bytes at headquarters"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in: %v", want, err)
		}
	}
	if r.Missing != 3 || r.Altered != 1 || r.Doubled+r.Extra+r.Lost > 0 || !r.Settled {
		t.Errorf("%+v", r)
	}
}

// A fault is the program's exit code; so is a headquarters that hears nothing.
func TestFleetExitCode(t *testing.T) {
	t.Parallel()
	dir := headquarters(t)
	run := func(args ...string) (string, error) {
		args = append([]string{"fleet", "--booths", "2", "--for", "2s", "--rate", "18000", "--quiet"}, args...)
		out, err := exec.Command(filepath.Join(dir, "boothsim"), args...).CombinedOutput()
		return string(out), err
	}
	if out, err := run(); err != nil || !strings.Contains(out, "missing, doubled, extra  ") {
		t.Errorf("a good run ends with %v:\n%s", err, out)
	}
	out, err := run("--calm", "1s", "--receive-args=--interval 1h") // one receipt, and no more
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || !strings.Contains(out, "not all was receipted") {
		t.Errorf("a run without receipts ends with %v:\n%s", err, out)
	}
}

func TestFleetVerdict(t *testing.T) {
	good := fleet.Result{Settled: true, Stored: 1}
	if err := verdictOf(good); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*fleet.Result){
		"missing": func(r *fleet.Result) { r.Missing = 1 }, "doubled": func(r *fleet.Result) { r.Doubled = 1 }, "extra": func(r *fleet.Result) { r.Extra = 1 },
		"altered": func(r *fleet.Result) { r.Altered = 1 }, "lost": func(r *fleet.Result) { r.Lost = 1 }, "conflicts": func(r *fleet.Result) { r.Conflicts = 1 },
		"rejected": func(r *fleet.Result) { r.Rejected = 1 }, "not settled": func(r *fleet.Result) { r.Settled = false }, "empty": func(r *fleet.Result) { r.Stored = 0 },
	} {
		r := good
		edit(&r)
		if verdictOf(r) == nil {
			t.Errorf("%s is called good", name)
		}
	}
}
