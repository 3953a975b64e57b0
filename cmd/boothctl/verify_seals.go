package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"boothd/agent/contract"
	"boothd/buffer/journal"
)

// unsignedMost is how many events may follow the last checkpoint before that is
// a fault: one is due every 256, and one may be late.
const unsignedMost = 512

// errSeal says that the record is not what the booth has signed.
var errSeal = errors.New("the record is not what the booth has signed")

// trusted reads the booth's public keys; none without a file.
func trusted(path string) (*contract.TrustedKeys, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err == nil {
		var keys *contract.TrustedKeys
		if keys, err = contract.ParseKeys(b); err == nil {
			return keys, nil
		}
	}
	return nil, &failure{fmt.Errorf("reading the booth's public key: %w", err), "openssl pkey -in PRIVATE -pubout makes it of the private one", exitUsage}
}

// seals holds checkpoints against the rows they are of. A checkpoint vouches for
// its event and, through the chain, for those before it up to the nearest gap.
type seals struct {
	r     *journal.Reader
	trust *contract.TrustedKeys // nil: signatures are not looked at
	epoch string
	runs  [][2]uint64 // of rows without a gap, in order
	upto  []uint64    // of each run, the last event a checkpoint vouches for

	checkpoints int
	good        uint64 // event of the last checkpoint that fits
}

func newSeals(r *journal.Reader, trust *contract.TrustedKeys, epoch string, v journal.Verified) *seals {
	s := &seals{r: r, trust: trust, epoch: epoch}
	first := v.First
	for _, g := range v.Gaps {
		s.runs = append(s.runs, [2]uint64{first, g[0] - 1})
		first = g[1] + 1
	}
	if v.Rows > 0 {
		s.runs = append(s.runs, [2]uint64{first, v.Last})
	}
	s.upto = make([]uint64, len(s.runs))
	return s
}

// see takes one event, and judges it if it is a checkpoint.
func (s *seals) see(ctx context.Context, e entry) error {
	if e.event.Type != contract.TypeCheckpoint {
		return nil
	}
	c, err := contract.As[contract.Checkpoint](e.event)
	if err != nil {
		return fmt.Errorf("event %d: %w", e.Seq, err)
	}
	s.checkpoints++
	seq, head := c.Seq, c.Head
	if s.trust != nil {
		payload, _, err := s.trust.Open(c.Seal, contract.PayloadCheckpoint)
		if err != nil {
			return fmt.Errorf("%w: the checkpoint in event %d is %w", errSeal, e.Seq, err)
		}
		body, err := contract.DecodeCheckpoint(payload)
		switch {
		case err != nil:
			return fmt.Errorf("event %d: %w", e.Seq, err)
		case body.Booth != e.event.Booth || body.Epoch != s.epoch:
			return fmt.Errorf("%w: the checkpoint in event %d is of journal %s of booth %s", errSeal, e.Seq, body.Epoch, body.Booth)
		}
		seq, head = body.Seq, body.Head
	}
	if seq >= e.Seq {
		return fmt.Errorf("%w: the checkpoint in event %d is of event %d", errSeal, e.Seq, seq)
	}
	for row, err := range s.r.Range(ctx, seq, seq) {
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(row.Body); hex.EncodeToString(sum[:]) != head {
			return fmt.Errorf("%w: among events %d to %d one was changed after the checkpoint in event %d", errSeal, s.since(seq), seq, e.Seq)
		}
		s.good = seq
		if i := s.run(seq); i >= 0 {
			s.upto[i] = max(s.upto[i], seq)
		}
	}
	return nil
}

// run gives the run of rows that an event is in; -1 for none.
func (s *seals) run(seq uint64) int {
	for i := len(s.runs) - 1; i >= 0; i-- {
		if s.runs[i][0] <= seq && seq <= s.runs[i][1] {
			return i
		}
	}
	return -1
}

// since is where a change must be that shows at an event: behind the checkpoint
// before it, and within its run.
func (s *seals) since(seq uint64) uint64 {
	from := s.good + 1
	if i := s.run(seq); i >= 0 {
		from = max(from, s.runs[i][0])
	}
	return min(from, seq)
}

// signed counts the events that checkpoints vouch for.
func (s *seals) signed() (n uint64) {
	for i, r := range s.runs {
		if s.upto[i] > 0 {
			n += s.upto[i] - r[0] + 1
		}
	}
	return n
}

// whole judges the record as a whole, if it was read to its end: who asks for
// signatures must not be told that all is well where there are none.
func (s *seals) whole(v journal.Verified) error {
	if s.trust == nil || v.Rows == 0 {
		return nil
	}
	switch {
	case s.good == 0:
		return fmt.Errorf("%w: no event is signed", errSeal)
	case v.Last-s.good > unsignedMost:
		return fmt.Errorf("%w: events %d to %d are not signed, and a checkpoint is due every 256", errSeal, s.good+1, v.Last)
	}
	return nil
}
