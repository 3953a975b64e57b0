package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"boothd/agent/status"
	"boothd/buffer/journal"
)

// summary is the last line of a demo that ends by itself.
type summary struct {
	Passages int            `json:"passages"`
	Outcomes map[string]int `json:"outcomes"` // lead code -> passages
	Stored   uint64         `json:"stored"`   // events in the booth's journal
	Sent     uint64         `json:"sent"`     // arrivals at headquarters, repetitions included
	Receipt  uint64         `json:"receipted"`
	Missing  uint64         `json:"missing"` // not at headquarters
	Doubled  uint64         `json:"doubled"`
	Latency  latency        `json:"latency_us"`

	Conflicts uint64 `json:"conflicts"` // at headquarters: other bytes under a taken number
	Rejected  uint64 `json:"rejected"`  // refused by headquarters
	Unknown   uint64 `json:"unknown"`   // at headquarters, and lost by the booth

	Kinds      map[string]int `json:"kinds"`      // of vehicles that drove through
	Unexpected []string       `json:"unexpected"` // passages that ended otherwise than the scenario says
	Doubts     int            `json:"doubts"`     // passages slowed because loops or reads were unclear (209, 213)
	Unseen     int            `json:"unseen"`     // vehicles whose passage a kill has cut off
	Greens     int            `json:"greens"`
	Unsafe     int            `json:"unsafe"` // green beside red or amber
	Kills      int            `json:"kills"`
	Cuts       int            `json:"cuts"`
}

// latency is the decision's, from the deciding input.
type latency struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

func latencyOf(us []int64) (l latency) {
	if len(us) == 0 {
		return l
	}
	s := slices.Sorted(slices.Values(us))
	return latency{P50: s[len(s)/2], P99: s[len(s)*99/100], Max: s[len(s)-1]}
}

// told is what the terminal shows of a passage.
func told(v vehicle, p status.Passage) string {
	plate := v.plate
	if v.noRead {
		plate = "(no read)"
	}
	return fmt.Sprintf("%s  %-13s %d cards  %-9s  %-8s %3d %-44.44s %6.2f ms  %s", p.At.Local().Format(time.TimeOnly), v.kind.name, p.Cards,
		plate, p.Advice.Outcome, p.Advice.Lead.Code, p.Advice.Lead.Words, float64(p.DecisionUS)/1000, p.Delivery)
}

// note counts a passage.
func (s *summary) note(v vehicle, p status.Passage) {
	s.Passages++
	s.Kinds[v.kind.name]++
	code := p.Advice.Lead.Code
	s.Outcomes[strconv.Itoa(code)]++
	switch {
	case code == 900 || slices.Contains(v.kind.lead, code):
	case code == 209 || code == 213:
		s.Doubts++ // a machine that is held up mixes the loops up; that only slows
	default:
		s.Unexpected = append(s.Unexpected, fmt.Sprintf("%s: %d", v.kind.name, code))
	}
}

// settle waits until headquarters has receipted everything, at most for d, and
// fills in what both sides hold.
func (s *summary) settle(ctx context.Context, d time.Duration, dir, boothhq string) error {
	var err error
	for end := time.Now().Add(d); ; {
		var waiting uint64
		if waiting, err = s.sides(ctx, dir, boothhq); err == nil && waiting == 0 && s.Missing == 0 {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// sides reads the booth's journal and headquarters' report.
func (s *summary) sides(ctx context.Context, dir, boothhq string) (waiting uint64, err error) {
	j, err := journal.OpenReader(ctx, filepath.Join(dir, "store", "journal.db"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	kept, err := j.Count(ctx)
	if err != nil {
		return 0, err
	}
	waiting = kept.Waiting + kept.Alerts
	out, err := once(ctx, nil, boothhq, "report", "--db", filepath.Join(dir, "events.db"), "--json")
	if err != nil {
		return waiting, err
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		return waiting, fmt.Errorf("reading headquarters' report: %w", err)
	}
	s.compare(kept, r)
	return waiting, nil
}

// report is what boothhq report --json tells, as far as it counts here.
type report struct {
	Events    uint64 `json:"events"`    // kept, each number once
	Missing   uint64 `json:"missing"`   // numbers below the highest
	Thinned   uint64 `json:"thinned"`   // numbers that the booth gave up
	Doubled   uint64 `json:"doubled"`   // events under two numbers
	Conflicts uint64 `json:"conflicts"` // other bytes under a taken number
	Rejected  uint64 `json:"rejected"`
	Booths    []struct {
		Epochs []struct {
			Again uint64 `json:"again"` // repetitions on the wire
		} `json:"epochs"`
	} `json:"booths"`
}

// compare holds what headquarters has against what the booth has stored.
func (s *summary) compare(kept journal.Stats, r report) {
	s.Stored = kept.Last
	s.Receipt = kept.Last - kept.Waiting - kept.Alerts - kept.Quarantined
	s.Sent, s.Doubled, s.Conflicts, s.Rejected = r.Events, r.Doubled, r.Conflicts, r.Rejected
	for _, b := range r.Booths {
		for _, e := range b.Epochs {
			s.Sent += e.Again
		}
	}
	// The report cannot know of what is missing at the end, and the count alone
	// not of a hole that a number too many makes up for.
	known := r.Events + r.Thinned
	s.Missing = max(r.Missing, max(kept.Last, known)-known)
	s.Unknown = max(kept.Last, r.Events) - kept.Last
}
