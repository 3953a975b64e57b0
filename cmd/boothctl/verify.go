package main

import (
	"errors"
	"fmt"

	"boothd/buffer/journal"
)

// verifyCmd checks that the journal is what was written: the chain from body
// to body, that each body says the same of its place as its row, and the
// checkpoints in between, whose signatures are checked with the booth's public
// key. A change of the last event alone shows only once another follows it.
type verifyCmd struct {
	numbers
	Key string `help:"Public key of the booth, PEM; several in one file if it was changed." placeholder:"FILE" type:"existingfile"`
}

// verified is the finding as JSON.
type verified struct {
	Epoch string      `json:"epoch"`
	Rows  uint64      `json:"rows"`
	First uint64      `json:"first"`
	Last  uint64      `json:"last"`
	Gaps  [][2]uint64 `json:"gaps"` // given up after their receipt
	// Checkpoints there are; Signed is how many events they vouch for, and Keys
	// with which keys that was checked: none, and only the chain was.
	Checkpoints int      `json:"checkpoints"`
	Signed      uint64   `json:"signed"`
	SignedUpto  uint64   `json:"signed_upto"`
	Keys        []string `json:"keys"`
	OK          bool     `json:"ok"`
	Fault       string   `json:"fault,omitempty"`
}

const chainHint = "stop boothd, copy the whole store folder before anything else, and tell headquarters which event it is"

// Run checks; exit 1 if the record is not what was written.
func (c *verifyCmd) Run(t *tool) error {
	from, to, err := c.within()
	if err != nil {
		return err
	}
	trust, err := trusted(c.Key)
	if err != nil {
		return err
	}
	ctx, r, done, err := t.record()
	if err != nil {
		return err
	}
	defer done()
	epoch, err := r.Epoch(ctx)
	if err != nil {
		return err
	}
	v, fault := r.Verify(ctx, from, to)
	if fault != nil && !errors.Is(fault, journal.ErrChain) {
		return fault
	}
	s := newSeals(r, trust, epoch, v)
	if fault == nil {
		for e, err := range entries(ctx, r, from, to) {
			if fault = err; fault == nil {
				fault = placed(e, epoch)
			}
			if fault == nil {
				fault = s.see(ctx, e)
			}
			if fault != nil {
				break
			}
		}
	}
	if fault == nil && c.To == 0 {
		fault = s.whole(v)
	}
	found := verified{Epoch: epoch, Rows: v.Rows, First: v.First, Last: v.Last, Gaps: v.Gaps, OK: fault == nil, Checkpoints: s.checkpoints, Keys: trust.IDs()}
	if trust != nil {
		found.Signed, found.SignedUpto = s.signed(), s.good
	} else {
		found.Keys = []string{}
	}
	if found.Gaps == nil {
		found.Gaps = [][2]uint64{}
	}
	if fault != nil {
		found.Fault = fault.Error()
	}
	if err := found.tell(t); err != nil {
		return err
	}
	if fault != nil {
		return &failure{fault, chainHint, exitFix}
	}
	return nil
}

// placed compares what a body says of its place with its row.
func placed(e entry, epoch string) error {
	b := e.event
	switch {
	case b.Seq != e.Seq:
		return fmt.Errorf("%w: event %d says that it is %d", journal.ErrChain, e.Seq, b.Seq)
	case b.Epoch != epoch:
		return fmt.Errorf("%w: event %d is of another journal, %s", journal.ErrChain, e.Seq, b.Epoch)
	case b.Prev != e.Prev:
		return fmt.Errorf("%w: event %d says that it follows another event", journal.ErrChain, e.Seq)
	case b.ID != e.ID:
		return fmt.Errorf("%w: event %d says that its id is %s", journal.ErrChain, e.Seq, b.ID)
	case string(b.Type.Class()) != e.Class || b.Type.Alert() != e.Alert:
		return fmt.Errorf("%w: event %d is filed as %s", journal.ErrChain, e.Seq, e.Class)
	}
	return nil
}

func (v verified) tell(t *tool) error {
	if t.json {
		return t.print(v)
	}
	if !v.OK {
		return nil // the error says it
	}
	fmt.Fprintf(t.stdout, "✓ %d events, %d to %d, of journal %s: each follows the one before, unchanged\n", v.Rows, v.First, v.Last, v.Epoch)
	switch {
	case len(v.Keys) > 0:
		fmt.Fprintf(t.stdout, "✓ %d of them stand on %d checkpoints that the booth has signed, up to event %d\n", v.Signed, v.Checkpoints, v.SignedUpto)
	case v.Checkpoints > 0:
		fmt.Fprintf(t.stdout, "  the signatures of %d checkpoints were not checked: --key takes the booth's public key\n", v.Checkpoints)
	}
	for _, g := range v.Gaps {
		fmt.Fprintf(t.stdout, "  %d to %d are not kept any more\n", g[0], g[1])
	}
	return nil
}
