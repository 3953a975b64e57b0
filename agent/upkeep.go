package agent

import (
	"context"
	"errors"
	"time"

	"boothd/buffer/eligibility"
)

const (
	// Every row of every list is read within rotMost, so that bit rot is found
	// within a day (reliability reference, section 4) even in rows nobody asks
	// for: from rotLeast on in the first quiet hour. The times are kept with the
	// lists, since a booth that is started anew each morning would never be due.
	rotLeast = 20 * time.Hour
	rotMost  = 23 * time.Hour
	// upkeepEvery is how often is looked for what is due.
	upkeepEvery = 10 * time.Minute
	// quietFor is how long nobody may have driven through for an hour to be quiet.
	quietFor = 10 * time.Minute
	// foldMost is how many rows an overlay may have by day: each delta writes all
	// of them anew.
	foldMost = 100_000
)

// upkeep folds deltas into whole lists and reads lists for damage when that is
// due.
func (s *shelf) upkeep(ctx context.Context) {
	due := map[string]bool{}
	for _, g := range s.generations() {
		due[g.Kind] = rotDue(g.CheckedAt, time.Now(), s.quiet != nil && s.quiet())
	}
	s.fold(ctx, func(kind string, _ uint64) bool { return due[kind] })
	for _, g := range s.generations() {
		if due[g.Kind] && rotDue(g.CheckedAt, time.Now(), true) { // it was not folded
			s.check(ctx, g.Kind)
		}
	}
}

// rotDue tells whether a list is to be read that was last read then. A time to
// come is of another clock.
func rotDue(checked, now time.Time, quiet bool) bool {
	since := now.Sub(checked)
	return since < 0 || since >= rotMost || quiet && since >= rotLeast
}

// restful tells whether the lane has been left alone for quietFor.
func (b *bulletin) restful() bool {
	p := b.lane.Load()
	if p == nil || p.Active {
		return p == nil
	}
	for _, f := range p.Last {
		if time.Since(f.At) < quietFor {
			return false
		}
	}
	return true
}

// fold makes whole files of the lists that deltas were laid over, where it is
// time. It is paced, and no look-up waits for it.
func (s *shelf) fold(ctx context.Context, now func(kind string, rows uint64) bool) {
	st := s.open.Load()
	for kind, rows := range st.Overlaid() {
		if !now(kind, rows) {
			continue
		}
		err := st.Fold(ctx, kind, s.pace)
		var fault *eligibility.Fault
		switch {
		case errors.Is(err, eligibility.ErrCorrupt) && errors.As(err, &fault):
			s.discard(ctx, fault)
		case errors.Is(err, eligibility.ErrNotNewer): // a newer one has come meanwhile
		case err != nil && ctx.Err() == nil:
			s.log.Error("list not folded", "list", kind, "err", err)
		case err == nil:
			s.log.Info("list folded", "list", kind, "changes", rows)
		}
	}
}

// check reads an active list whole.
func (s *shelf) check(ctx context.Context, kind string) {
	st := s.open.Load()
	err := st.Check(ctx, kind, s.pace)
	if errors.Is(err, eligibility.ErrCorrupt) { // SQLite tells of a read that failed in the same words
		err = st.Check(ctx, kind, s.pace)
	}
	var fault *eligibility.Fault
	switch {
	case errors.Is(err, eligibility.ErrCorrupt) && errors.As(err, &fault):
		s.discard(ctx, fault)
	case err != nil && ctx.Err() == nil:
		s.log.Error("list not checked", "list", kind, "err", err)
	}
}
