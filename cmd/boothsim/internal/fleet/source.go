package fleet

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/buffer/journal"
)

// repeatOne in so many readings of the journal hands out rows again that have
// been sent long ago; repeatRows is how many.
const (
	repeatOne  = 16
	repeatRows = 3
)

// source is a booth's journal as its uplink reads it. It passes everything on
// and times the receipts; now and then it hands out old rows once more, so that
// headquarters gets them twice from a booth that means no harm.
type source struct {
	*journal.Journal
	stats *stats

	mu    sync.Mutex // the traffic notes, the uplink asks for several things at once
	again *rand.Rand
	sent  map[uint64]event
	upto  uint64 // receipted up to here
}

// event is when an event was stored, and whether the link was up.
type event struct {
	at   time.Time
	live bool
}

func newSource(j *journal.Journal, s *stats, again *rand.Rand) *source {
	return &source{Journal: j, stats: s, again: again, sent: make(map[uint64]event)}
}

// note remembers when an event happened, until its receipt.
func (s *source) note(seq uint64, e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[seq] = e
	if seq <= s.upto {
		s.arrived(seq, time.Now()) // the receipt was faster than this note
	}
}

// Pending reads rows that headquarters has not receipted, and sometimes some
// that it has.
func (s *source) Pending(ctx context.Context, q uplink.Query) ([]uplink.Record, error) {
	rows, err := s.Journal.Pending(ctx, journal.Query{Lane: journal.Lane(q.Lane), After: q.After, Limit: q.Limit})
	if err != nil {
		return nil, err
	}
	var out []uplink.Record
	if from := s.repeat(q.Lane, rows); from > 0 {
		for r, err := range s.Journal.Range(ctx, from, min(from+repeatRows, rows[0].Seq)-1) {
			if err != nil {
				return nil, fmt.Errorf("reading rows to repeat: %w", err)
			}
			out = append(out, uplink.Record{Seq: r.Seq, Class: r.Class, Body: r.Body})
			s.stats.repeated.Add(1)
		}
	}
	for _, r := range rows {
		out = append(out, uplink.Record{Seq: r.Seq, Class: r.Class, Body: r.Body})
	}
	return out, nil
}

// repeat tells from where on rows are to be handed out again, 0: not now. They
// go before the others, because the last row is where the next reading begins.
func (s *source) repeat(lane uplink.Lane, rows []journal.Record) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(rows) == 0 || lane == uplink.Alerts || s.again.IntN(repeatOne) != 0 {
		return 0
	}
	return 1 + s.again.Uint64N(rows[0].Seq)
}

// Range reads rows whatever their state.
func (s *source) Range(ctx context.Context, from, to uint64) iter.Seq2[uplink.Record, error] {
	return func(yield func(uplink.Record, error) bool) {
		for r, err := range s.Journal.Range(ctx, from, to) {
			if !yield(uplink.Record{Seq: r.Seq, Class: r.Class, Body: r.Body}, err) {
				return
			}
		}
	}
}

// Receipted applies what headquarters has, and takes the time.
func (s *source) Receipted(ctx context.Context, r contract.Receipt) error {
	in := journal.Receipt{Epoch: r.Epoch, Upto: r.Upto, Have: r.Have}
	for _, x := range r.Reject {
		in.Reject = append(in.Reject, journal.Reject{Seq: x.Seq, Reason: x.Code})
	}
	if err := s.Journal.Receipted(ctx, in); err != nil {
		return fmt.Errorf("applying receipt: %w", err)
	}
	s.stats.receipts.Add(1)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range append([][2]uint64{{s.upto + 1, r.Upto}}, r.Have...) {
		for seq := have[0]; seq <= have[1]; seq++ {
			s.arrived(seq, now)
		}
	}
	s.upto = max(s.upto, r.Upto)
	return nil
}

func (s *source) arrived(seq uint64, now time.Time) {
	e, ok := s.sent[seq]
	if !ok {
		return // by an earlier receipt
	}
	delete(s.sent, seq)
	s.stats.receipted.Add(1)
	if e.live {
		s.stats.live.add(now.Sub(e.at))
	} else {
		s.stats.late.add(now.Sub(e.at))
	}
}
