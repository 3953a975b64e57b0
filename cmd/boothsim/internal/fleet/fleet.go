// Package fleet runs many booths at once, breaks what can break around them
// and then holds what they stored against what headquarters has.
//
// Each booth has the daemon's own journal, on disk, and the daemon's own
// uplink; its vehicles and its road to the broker are simulated. What goes
// wrong, and when, is a function of the seed alone (BoothPlan, WorldPlan), so
// that a run can be repeated; what comes of it is not, as on a real road.
//
// A run ends with a calm, in which nothing goes wrong any more, until every
// event is receipted. Run fails if the booths cannot run; that events are
// missing is no error of Run but stands in the Result, see Compared.Clean.
//
// Source: mqtt contract, section 5; headquarters, section 5.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"
)

// Config says how large the fleet is and where the world around it is.
type Config struct {
	Dir     string // of the booths; must be there
	Booths  int
	For     time.Duration // of traffic and faults; the calm comes after
	Rate    float64       // events an hour and booth
	Seed    uint64
	Brokers []string // tcp://host:port; booths prefer them in turn
	Pauses  Pauses
	Calm    time.Duration // at most
	Quiet   bool          // nothing goes wrong

	// Kill ends something as a power cut would, and starts it again; a kind that
	// is not there is not killed.
	Kill map[Kind]func(context.Context) error
	// Export writes headquarters' events, one a line, by booth and number.
	Export func(context.Context, io.Writer) error
	// Report gives what only headquarters can count.
	Report func(context.Context) (Report, error)
	// Settled is called after the calm, before the comparison; nil for nobody.
	Settled func(context.Context) error
	Say     func(format string, args ...any)
}

// Report is what only headquarters can count.
type Report struct{ Again, Doubled, Conflicts, Rejected uint64 }

// files is how many descriptors a booth needs: its journal twice, with WAL and
// shared memory, its lock, and its connection, with room for a second one
// while the first one closes; spareFiles is for the rest of the program.
const (
	files      = 9
	spareFiles = 200
	looks      = 100 * time.Millisecond // between two looks whether all is receipted
)

// fleet is a run.
type fleet struct {
	cfg    Config
	booths []*booth
	stats  stats
	killed []Fault
}

// Run runs the fleet to its end.
func Run(ctx context.Context, cfg Config) (res Result, err error) {
	if err := limits(cfg); err != nil {
		return Result{}, err
	}
	f := &fleet{cfg: cfg}
	memory, opened := resident(), openFiles()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() { err = errors.Join(err, f.all(func(b *booth) error { return b.close() })) }()
	began := time.Now()
	if err := f.open(ctx, began); err != nil {
		return Result{}, err
	}
	cfg.Say("%d booths are open after %v", cfg.Booths, time.Since(began).Round(time.Millisecond))
	if err := f.trouble(ctx); err != nil {
		return Result{}, err
	}
	res = f.result()
	res.MemoryPerBooth = (resident() - memory) / int64(cfg.Booths)
	res.FilesPerBooth = float64(openFiles()-opened) / float64(cfg.Booths)
	cfg.Say("calm: %d events wait for their receipt", f.waiting())
	if res.Calm, res.Settled = f.calm(ctx); ctx.Err() != nil {
		return res, ctx.Err()
	}
	if err := f.all(func(b *booth) error { return b.close() }); err != nil {
		return res, err
	}
	res.count(&f.stats)
	if cfg.Settled != nil {
		if err := cfg.Settled(ctx); err != nil {
			return res, err
		}
	}
	res.Compared, err = f.compare(ctx)
	return res, err
}

// limits checks what a mistyped flag could ask for, and raises the number of
// files.
func limits(cfg Config) error {
	switch {
	case cfg.Booths < 1 || cfg.Booths > 20_000:
		return fmt.Errorf("%d booths: 1 to 20000 are possible", cfg.Booths)
	case cfg.For < time.Second || cfg.For > 7*24*time.Hour:
		return fmt.Errorf("a run of %v: one second to a week is possible", cfg.For)
	case !(cfg.Rate > 0 && cfg.Rate <= 360_000):
		return fmt.Errorf("%g events an hour: more than 0 and at most 360000 are possible", cfg.Rate)
	case len(cfg.Brokers) == 0:
		return errors.New("a fleet needs a broker")
	}
	return raiseFiles(uint64(cfg.Booths*files + spareFiles))
}

// all does something for every booth, some at a time: opening and closing wait
// for the disk.
func (f *fleet) all(do func(*booth) error) error {
	var errs []error
	var mu sync.Mutex
	var some sync.WaitGroup
	free := make(chan struct{}, 8*runtime.GOMAXPROCS(0))
	for _, b := range f.booths {
		free <- struct{}{}
		some.Go(func() {
			defer func() { <-free }()
			if err := do(b); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	some.Wait()
	return errors.Join(errs...)
}

func (f *fleet) open(ctx context.Context, began time.Time) error {
	for n := range f.cfg.Booths {
		b, err := newBooth(f.cfg, n, &f.stats, began)
		if err != nil {
			return err
		}
		f.booths = append(f.booths, b)
	}
	return f.all(func(b *booth) error { return b.open(ctx) })
}

// trouble is the run while vehicles come and things go wrong. The first booth
// that fails ends it.
func (f *fleet) trouble(ctx context.Context) error {
	end, cancel := context.WithTimeoutCause(ctx, f.cfg.For, errOver)
	defer cancel()
	var mu sync.Mutex
	var errs []error
	fail := func(err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
		cancel()
	}
	began := time.Now()
	var running sync.WaitGroup
	for _, b := range f.booths {
		running.Go(func() { fail(b.drive(ctx, end, began, f.cfg.Rate)) })
	}
	running.Go(func() { fail(f.kill(end, began)) })
	running.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// errOver is how the time of a run ends.
var errOver = errors.New("the run is over")

// kill kills what the plan says, until end.
func (f *fleet) kill(end context.Context, began time.Time) error {
	var can []Kind
	for _, k := range []Kind{KillBroker, KillHQ} {
		if f.cfg.Kill[k] != nil && !f.cfg.Quiet {
			can = append(can, k)
		}
	}
	wake := time.NewTimer(0)
	defer wake.Stop()
	for _, fault := range WorldPlan(f.cfg.Seed, f.cfg.For, can...) {
		wake.Reset(time.Until(began.Add(fault.At)))
		select {
		case <-end.Done():
			return nil
		case <-wake.C:
		}
		f.cfg.Say("%v: %s", fault.At.Round(time.Millisecond), fault.Kind)
		if err := f.cfg.Kill[fault.Kind](end); err != nil {
			return fmt.Errorf("%s: %w", fault.Kind, err)
		}
		f.killed = append(f.killed, fault)
	}
	return nil
}

func (f *fleet) waiting() (n uint64) {
	for _, b := range f.booths {
		s := b.src.Stats()
		n += s.Waiting + s.Alerts
	}
	return n
}

// calm waits until all is receipted, at most as long as the run may.
func (f *fleet) calm(ctx context.Context) (seconds float64, settled bool) {
	began := time.Now()
	limit := time.NewTimer(f.cfg.Calm)
	defer limit.Stop()
	look := time.NewTicker(looks)
	defer look.Stop()
	for f.waiting() > 0 {
		select {
		case <-look.C:
		case <-limit.C:
			return f.cfg.Calm.Seconds(), false
		case <-ctx.Done():
			return 0, false
		}
	}
	return time.Since(began).Seconds(), true
}

// result is what is known when the traffic has ended.
func (f *fleet) result() Result {
	r := Result{Booths: f.cfg.Booths, Seed: f.cfg.Seed, Seconds: f.cfg.For.Seconds()}
	plans := [][]Fault{f.killed}
	for _, b := range f.booths {
		plans = append(plans, b.happens)
		r.Stored += b.stored
	}
	r.Faults = counts(plans...)
	r.EventsPerSecond = rounded(float64(r.Stored) / r.Seconds)
	return r
}

// count takes over what the booths counted together.
func (r *Result) count(s *stats) {
	r.Receipted = uint64(s.receipted.Load())
	r.Store, r.Live, r.Backlog = s.store.times(), s.live.times(), s.late.times()
	r.Connects, r.Receipts, r.Repeated = s.connects.Load(), s.receipts.Load(), s.repeated.Load()
	r.BytesUp, r.BytesDown, r.BytesLost = s.up.Load(), s.down.Load(), s.lost.Load()
}

// compare reads both sides. The export flows through a pipe: a long run's is
// larger than memory.
func (f *fleet) compare(ctx context.Context) (Compared, error) {
	var sides []side
	for _, b := range f.booths {
		sides = append(sides, side{name: b.name, stored: b.stored, path: b.journalPath()})
	}
	out, in := io.Pipe()
	var flow sync.WaitGroup
	flow.Go(func() { in.CloseWithError(f.cfg.Export(ctx, in)) })
	c, err := compare(ctx, sides, out)
	if err == nil {
		_, err = io.Copy(io.Discard, out) // booths that are none of ours; and the export's error
	}
	out.CloseWithError(err)
	flow.Wait()
	if err != nil {
		return c, err
	}
	r, err := f.cfg.Report(ctx)
	if err != nil {
		return c, err
	}
	c.Again, c.Conflicts, c.Rejected, c.Doubled = r.Again, r.Conflicts, r.Rejected, c.Doubled+r.Doubled
	return c, nil
}
