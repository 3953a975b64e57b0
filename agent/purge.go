package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/eligibility"
)

// purgeEvery keeps what has expired from staying an hour (domain reference,
// section 6).
const purgeEvery = 20 * time.Minute

// purge takes expired lookouts out of the box for good, and with them every
// former generation of the list, which holds what was withdrawn since. With a
// clock that cannot be trusted nothing has expired.
func (s *shelf) purge(ctx context.Context) {
	st := s.open.Load()
	if st == nil || !slices.ContainsFunc(s.generations(), func(g eligibility.Generation) bool { return g.Kind == contract.ListLookouts }) {
		return
	}
	s.taking.Lock() // an import would change the list under it
	defer s.taking.Unlock()
	now := time.Now()
	judged := passage.ClockUnset
	if s.quality != nil {
		judged = s.quality()
	}
	gone := map[contract.LookoutRef]bool{}
	rows, err := st.Purge(ctx, contract.ListLookouts, s.pace, func(_ eligibility.Token, value []byte) ([]byte, error) {
		if judged != passage.ClockSynced && judged != passage.ClockHoldover {
			return value, nil
		}
		row, err := contract.ParseLookoutRow(value)
		if err != nil {
			return nil, err
		}
		var left contract.LookoutRow
		for _, l := range row.Lookouts {
			if now.Before(l.ValidUntil) {
				left.Lookouts = append(left.Lookouts, l)
				continue
			}
			gone[contract.LookoutRef{ID: l.ID, Version: l.Version}] = true
		}
		switch len(left.Lookouts) {
		case 0:
			return nil, nil
		case len(row.Lookouts):
			return value, nil
		}
		return left.Append(nil)
	})
	var fault *eligibility.Fault
	switch {
	case errors.As(err, &fault) && errors.Is(err, eligibility.ErrCorrupt):
		s.discard(ctx, fault)
	case err != nil && ctx.Err() == nil:
		s.log.Error("expired lookouts not purged", "err", err)
	case rows > 0:
		s.log.Info("expired lookouts purged", "lookouts", len(gone), "rows", rows)
		s.purged(ctx, gone)
	}
}

// purged records which lookouts have gone.
func (s *shelf) purged(ctx context.Context, gone map[contract.LookoutRef]bool) {
	var all []contract.LookoutRef
	for ref := range gone {
		all = append(all, ref)
	}
	slices.SortFunc(all, func(a, b contract.LookoutRef) int { return strings.Compare(a.ID, b.ID) })
	var generation uint64
	for _, g := range s.generations() {
		if g.Kind == contract.ListLookouts {
			generation = g.Generation
		}
	}
	for some := range slices.Chunk(all, contract.MaxPurged) {
		now := time.Now()
		if _, err := s.store(ctx, now, contract.Purged{Kind: contract.ListLookouts, Generation: generation, Lookouts: some, Clock: s.stamp(now)}); err != nil {
			s.log.Error("purge of lookouts not recorded", "err", err)
			return
		}
	}
}
