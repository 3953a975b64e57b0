package uplink

import (
	"context"
	"slices"

	"boothd/agent/contract"
)

// batch is how many rows are read from the journal at once: typically 250 kB, 4
// MiB at most.
const batch = 256

// laneBuffer holds rows of one lane that have been read and not published.
type laneBuffer struct {
	rows  []Record
	after uint64 // read up to here
	empty bool   // nothing more until the bell rings
}

// add takes rows that have been read.
func (l *laneBuffer) add(rows []Record) {
	l.rows, l.empty = append(l.rows, rows...), len(rows) == 0
	if n := len(rows); n > 0 {
		l.after = rows[n-1].Seq
	}
}

// next takes a row that is not in the air.
func (l *laneBuffer) next(a *air) (Record, bool) {
	for len(l.rows) > 0 {
		row := l.rows[0]
		l.rows = l.rows[1:]
		if !a.aloft(row.Seq) {
			return row, true
		}
	}
	return Record{}, false
}

// page is what a reading of the backlog brought.
type page struct {
	rows []Record
	err  error
}

// readAhead has the next rows of the backlog read while these are published:
// neither waits for the other, and an alert for none of them.
func (s *session) readAhead(ctx context.Context) {
	l := &s.lanes[Backlog]
	if s.reading || l.empty || len(l.rows) > batch/2 {
		return
	}
	s.reading, s.missed, s.receipted = true, false, contract.Receipt{}
	q := Query{Lane: Backlog, After: l.after, Limit: batch}
	go func() {
		rows, err := s.src.Pending(ctx, q)
		s.pages <- page{rows, err}
	}()
}

// turned takes a page. A receipt may have come since it was asked for.
func (s *session) turned(ctx context.Context, p page) {
	s.reading = false
	if p.err != nil {
		if ctx.Err() == nil {
			s.unreadable(p.err)
		}
		return
	}
	l := &s.lanes[Backlog]
	l.add(p.rows)
	l.empty = l.empty && !s.missed
	l.forget(s.receipted)
}

// forget drops rows that a receipt covers: no need to send them.
func (l *laneBuffer) forget(r contract.Receipt) {
	l.rows = slices.DeleteFunc(l.rows, func(row Record) bool { return row.Seq <= r.Upto || within(r.Have, row.Seq) })
}

// rung notes that rows have been stored.
func (s *session) rung() {
	s.missed = true
	for i := range s.lanes {
		s.lanes[i].empty = false
	}
}

// take1 gives the next row of a lane that is not in the air.
func (s *session) take1(ctx context.Context, lane Lane) (Record, bool, error) {
	l := &s.lanes[lane]
	for {
		if row, ok := l.next(s.air); ok || l.empty {
			return row, ok, nil
		}
		rows, err := s.src.Pending(ctx, Query{Lane: lane, After: l.after, Limit: batch})
		if err != nil {
			return Record{}, false, err
		}
		l.add(rows)
	}
}

// takeBacklog does the same without waiting for the journal: pages of the
// backlog come by themselves.
func (s *session) takeBacklog(ctx context.Context) (Record, bool) {
	defer s.readAhead(ctx)
	return s.lanes[Backlog].next(s.air)
}
