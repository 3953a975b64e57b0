package eligibility

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Building and checking do nothing while they are asked to stand aside, go on
// afterwards without a rest for it, and end at once when they are to.
func TestBulkWorkStandsAside(t *testing.T) {
	rows := randomRows(10_000, 7)
	for name, work := range map[string]func(context.Context, *Store, Pace) error{
		"building": func(ctx context.Context, s *Store, p Pace) error {
			spec := specOf("cards", 2, rows)
			spec.Pace = p
			_, err := s.Build(ctx, spec, seq(rows))
			return err
		},
		"purging": func(ctx context.Context, s *Store, p Pace) error {
			_, err := s.Purge(ctx, "cards", p, func(_ Token, v []byte) ([]byte, error) { return v, nil })
			return err
		},
		"checking": func(ctx context.Context, s *Store, p Pace) error { return s.Check(ctx, "cards", p) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, t.TempDir())
				activate(t, s, build(t, s, "cards", 1, rows))
				over := make(chan struct{})
				done := make(chan error, 1)
				go func() { done <- work(t.Context(), s, Pace{Aside: func() <-chan struct{} { return over }}) }()
				time.Sleep(time.Hour)
				select {
				case err := <-done:
					t.Fatalf("it goes on: %v", err)
				default:
				}
				began := time.Now()
				close(over)
				if err := <-done; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it rested %v for an hour in which it did nothing", took)
				}
				ctx, cancel := context.WithCancel(t.Context())
				never := make(chan struct{})
				go func() { done <- work(ctx, s, Pace{Duty: 1, Aside: func() <-chan struct{} { return never }}) }()
				time.Sleep(time.Minute)
				cancel()
				began = time.Now()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Errorf("it ends with %v", err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("it takes %v to end", took)
				}
			})
		})
	}
}
