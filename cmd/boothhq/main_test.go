package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/cmd/boothhq/internal/receiver"
)

var update = flag.Bool("update", false, "rewrite golden parts of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"boothhq": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			dir := filepath.Join(env.WorkDir, "creds")
			env.Setenv("CREDENTIALS_DIRECTORY", dir)
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "list-passphrase"), []byte("correct horse battery staple\n"), 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"events": eventsCmd},
	})
}

const (
	booth = "pac-hwy-nexus-03"
	epoch = "01931e00-0000-7000-8000-000000000001"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// eventsCmd is "events DB WORD...": it fills a database as the receiver would.
// Words are cleared, stopped, hit (a lookout alert), late (one a day old), gap (a number is left
// out), again and torn.
func eventsCmd(ts *testscript.TestScript, _ bool, args []string) {
	s, err := receiver.Open(context.Background(), ts.MkAbs(args[0]))
	ts.Check(err)
	var seq uint64
	var last receiver.Delivery
	for _, word := range args[1:] {
		seq++
		d := receiver.Delivery{At: noon}
		switch word {
		case "cleared":
			d = event(contract.CrossingEnded{Passage: epoch, Revisions: 1, Outcome: "EXPEDITE", End: "cleared", StartedAt: noon, EndedAt: noon}, seq)
		case "stopped":
			d = event(contract.Stopped{Reason: "signal"}, seq)
		case "hit", "late":
			d = event(contract.LookoutAlert{Passage: epoch, Revision: 1, Decision: contract.Decision{Outcome: "REFER"}, Hits: []passage.Hit{{ID: "LK-1",
				Version: 3, Action: passage.Check, Subject: "PLATE", ReasonCode: "CUSTOMS-07", Caveat: "NO_ONWARD", Agency: "CBSA", Region: "PACIFIC",
				ValidFrom: noon, ValidUntil: noon}}}, seq)
			if word == "late" {
				d.At = noon.Add(-receiver.Overdue)
			}
		case "gap":
			continue
		case "again":
			seq--
			d = last
		case "torn":
			d = event(contract.Stopped{Reason: "signal"}, seq)
			d.Body = []byte(strings.Replace(string(d.Body), `"specversion":"1.0"`, `"specversion":"9"`, 1))
		default:
			ts.Fatalf("no event %q", word)
		}
		last = d
		_, err := s.Add(context.Background(), []receiver.Delivery{d})
		ts.Check(err)
	}
	ts.Check(s.Close())
}

// event is a delivery of a booth; ids are made of the number.
func event(data contract.Data, seq uint64) receiver.Delivery {
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte{byte(seq >> 8), byte(seq)})
	b, err := contract.Encode(contract.Stamp{Epoch: epoch, Seq: seq, ID: id.String()}, contract.Head{Booth: booth, Time: noon}, data)
	if err != nil {
		panic(err) // the arguments above are wrong
	}
	return receiver.Delivery{Topic: contract.EventTopic(booth, data.Type().Class()), Body: b, At: noon}
}
