package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/journal"
)

// replayCmd decides every recorded crossing again and compares byte for byte:
// the rules of today's program against what was recorded (I8).
type replayCmd struct{ numbers }

// replayed is the finding as JSON.
type replayed struct {
	Decisions int          `json:"decisions"` // decided again
	Passages  int          `json:"passages"`
	Same      int          `json:"same"`
	Differ    []difference `json:"differ"`     // the first maxDiffers
	Differing int          `json:"differing"`  // all of them
	Without   int          `json:"incomplete"` // policy or alert not kept any more

	seen map[string]bool
}

// difference is one decision that comes out otherwise.
type difference struct {
	Seq      uint64 `json:"seq"`
	Passage  string `json:"passage"`
	Revision int    `json:"revision"`
	Recorded string `json:"recorded"`
	Again    string `json:"again"`
}

// maxDiffers bounds what is printed: a changed rule changes thousands.
const maxDiffers = 20

// Run replays; exit 1 if anything comes out otherwise.
func (c *replayCmd) Run(t *tool) error {
	from, to, err := c.within()
	if err != nil {
		return err
	}
	ctx, r, done, err := t.record()
	if err != nil {
		return err
	}
	defer done()
	found := replayed{Differ: []difference{}, seen: map[string]bool{}}
	for x, err := range crossings(ctx, r, from, to) {
		if err != nil {
			return err
		}
		found.weigh(x)
	}
	found.Passages = len(found.seen)
	if err := found.tell(t); err != nil {
		return err
	}
	if found.Differing > 0 {
		return &failure{fmt.Errorf("%d of %d decisions come out otherwise", found.Differing, found.Decisions),
			"boothctl verify tells whether the record was changed; if not, this program has other rules than the one that decided", exitFix}
	}
	return nil
}

// crossing is one recorded decision with all it stands on.
type crossing struct {
	entry
	decided contract.CrossingDecided
	alert   *contract.LookoutAlert
	policy  *passage.Policy // nil: not kept any more
	alone   bool            // the event behind it, which would be its alert, is not kept
}

var errIncomplete = errors.New("what it stood on is not kept any more")

// again decides a crossing once more. It is errIncomplete without its policy,
// and contract.ErrDiffers if anything comes out otherwise.
func (x crossing) again() (passage.Decision, error) {
	if x.policy == nil {
		return passage.Decision{}, errIncomplete
	}
	d, err := contract.Replay(x.decided, x.alert, *x.policy)
	if err == nil {
		var body []byte
		if body, err = contract.Encode(x.event.Stamp, x.event.Head, x.decided); err == nil && !bytes.Equal(body, x.Body) {
			err = fmt.Errorf("event %d: %w: the bytes differ", x.Seq, contract.ErrDiffers)
		}
	}
	if err != nil && x.alone {
		return d, errIncomplete
	}
	return d, err
}

func (f *replayed) weigh(x crossing) {
	d, err := x.again()
	if errors.Is(err, errIncomplete) {
		f.Without++
		return
	}
	f.Decisions++
	f.seen[x.decided.Passage] = true
	if err == nil {
		f.Same++
		return
	}
	f.Differing++
	if len(f.Differ) < maxDiffers {
		public := d.Public()
		f.Differ = append(f.Differ, difference{x.Seq, x.decided.Passage, x.decided.Revision,
			x.decided.Decision.Outcome + ", " + code(x.decided.Decision.Lead), public.Outcome.String() + ", " + code(public.Lead)})
	}
}

func (f *replayed) tell(t *tool) error {
	if t.json {
		return t.print(f)
	}
	for _, d := range f.Differ {
		fmt.Fprintf(t.stdout, "✗ event %d, passage %s, decision %d: recorded %s; again %s\n", d.Seq, d.Passage, d.Revision, d.Recorded, d.Again)
	}
	if more := f.Differing - len(f.Differ); more > 0 {
		fmt.Fprintf(t.stdout, "  and %d more\n", more)
	}
	mark := "✓"
	if f.Differing > 0 {
		mark = "✗"
	}
	fmt.Fprintf(t.stdout, "%s %d decisions of %d passages decided again: %d the same, byte for byte, %d otherwise\n", mark, f.Decisions, f.Passages, f.Same, f.Differing)
	if f.Without > 0 {
		fmt.Fprintf(t.stdout, "! %d could not be decided again: their policy or their alert is not kept any more\n", f.Without)
	}
	return nil
}

// crossings reads every recorded decision of a range with its alert, which is
// the event behind it, and its policy, which is stored at every start.
func crossings(ctx context.Context, r *journal.Reader, from, to uint64) iter.Seq2[crossing, error] {
	return func(yield func(crossing, error) bool) {
		policies, err := policyAt(ctx, r, from)
		if err != nil {
			yield(crossing{}, err)
			return
		}
		var open *crossing
		for e, err := range entries(ctx, r, from, min(to, math.MaxInt64-1)+1) {
			if open != nil && err == nil {
				open.closes(e)
				if !yield(*open, nil) {
					return
				}
				open = nil
			}
			if err == nil && e.Seq <= to {
				open, err = opens(e, policies)
			}
			if err != nil {
				yield(crossing{}, err)
				return
			}
		}
		if open != nil {
			yield(*open, nil)
		}
	}
}

// policyAt gives the policy in force when an event was stored.
func policyAt(ctx context.Context, r *journal.Reader, seq uint64) (map[string]passage.Policy, error) {
	policies := map[string]passage.Policy{}
	for e, err := range backwards(ctx, r, max(seq, 1)-1, contract.ClassAudit) {
		if err != nil {
			return nil, err
		}
		if e.event.Type == contract.TypePolicy {
			_, err := opens(e, policies)
			return policies, err
		}
	}
	return policies, nil
}

// opens takes in one event: a policy is kept, a decision is returned.
func opens(e entry, policies map[string]passage.Policy) (*crossing, error) {
	switch e.event.Type {
	case contract.TypePolicy:
		p, err := contract.As[contract.PolicySet](e.event)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		policies[p.Policy.Digest()] = p.Policy
	case contract.TypeCrossingDecided:
		d, err := contract.As[contract.CrossingDecided](e.event)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		x := &crossing{entry: e, decided: d}
		if p, ok := policies[d.Policy]; ok {
			x.policy = &p
		}
		return x, nil
	}
	return nil, nil
}

// closes takes the event behind a decision: its alert, or not.
func (x *crossing) closes(e entry) {
	if e.Seq != x.Seq+1 {
		x.alone = true
		return
	}
	a, err := contract.As[contract.LookoutAlert](e.event)
	if err == nil && a.Passage == x.decided.Passage && a.Revision == x.decided.Revision {
		x.alert = &a
	}
}
