package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"boothd/buffer/eligibility"
)

// The n-th of SQLite's calls fails while a list is taken, changed, folded or
// purged, n = 1, 2, 3 until nothing is left to fail, once and for good: never a
// wrong look-up, and after the fault's end the list comes into force.
func TestI6_FailingCallsNeverGiveAWrongLookUp(t *testing.T) {
	for _, task := range tasks() {
		for _, f := range allFaults() {
			t.Run(task.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				dir := scratch(t)
				files, err := prepare(t.Context(), dir, task)
				if err != nil {
					t.Fatal(err)
				}
				for _, last := range []bool{false, true} {
					n := 1
					for ; ; n++ {
						layOut(t, dir, files)
						b := &breaker{fault: f, n: n, last: last}
						hit := false
						var err error
						synctest.Test(t, func(t *testing.T) { hit, err = taskUnderFault(t.Context(), dir, task, b) })
						if err != nil {
							t.Errorf("%v: %v", b, err)
						}
						if !hit {
							break
						}
					}
					t.Logf("%d calls failed", n-1)
				}
			})
		}
	}
}

// taskUnderFault does a task in a store that a fault befalls, and again when the
// fault is over.
func taskUnderFault(ctx context.Context, dir string, t task, b *breaker) (hit bool, err error) {
	stop, err := Watch(dir, b.Break)
	if err != nil {
		return false, err
	}
	defer stop()
	var s *eligibility.Store
	for range 3 {
		if s, err = eligibility.Open(ctx, dir); err == nil {
			break
		}
	}
	if s != nil {
		err = t.do(ctx, s)
		if err != nil && ctx.Err() == nil { // as the booth does
			_ = t.do(ctx, s)
		}
		if err := rightOrError(s, t, true); err != nil {
			return true, errors.Join(err, s.Close())
		}
	}
	hit = b.mend()
	if s == nil {
		if s, err = eligibility.Open(ctx, dir); err != nil {
			return hit, fmt.Errorf("opening after the fault's end: %w", err)
		}
	}
	err = recovers(ctx, s, t)
	if err != nil && b.last {
		// A list that could not be opened when the store was stays unreadable
		// until the booth starts again.
		if err = s.Close(); err == nil {
			s, err = eligibility.Open(ctx, dir)
		}
		if err == nil {
			err = recovers(ctx, s, t)
		}
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return hit, fmt.Errorf("after the fault's end: %w", err)
	}
	return hit, wholeAfter(ctx, dir, t)
}

// recovers does a task until it is done and every look-up is right, for as long
// as a booth has for it.
func recovers(ctx context.Context, s *eligibility.Store, t task) error {
	began := time.Now()
	for {
		err := t.do(ctx, s)
		if err == nil {
			err = rightOrError(s, t, false)
		}
		if err == nil || time.Since(began) > recovery {
			return err
		}
		time.Sleep(recovery / 20)
	}
}
