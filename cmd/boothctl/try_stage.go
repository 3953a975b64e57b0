package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent"
	"boothd/agent/signal"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/port"
	"boothd/devices/relay"
	"boothd/devices/wiegand"
)

// stage is the booth's lamps and gate in a technician's hands: the daemon's
// own driver, safe levels and interlock, and no lane behind them.
type stage struct {
	cfg    *configs.Config
	held   []io.Closer // the chip and the boards; each is safe when it is closed
	outs   map[signal.Lamp]outlet
	area   map[string]inlet      // what watches the gate: exit loop and beam
	eyes   map[signal.Lamp]inlet // what tells whether a lamp is lit
	lock   signal.Interlock
	lit    signal.Levels
	unlock func()
}

// outlet and inlet are lines of the chip or channels of a board.
type outlet interface{ Set(on bool) error }
type inlet interface{ Level() (bool, error) }

// errStoreBusy is when another boothd has the store, as its lock file says.
var errStoreBusy = errors.New("another boothd has the store")

// openStage takes the booth's store, so that no boothd can start meanwhile, and
// every output, each safe from the claim on (I9).
func openStage(ctx context.Context, t *tool) (_ *stage, err error) {
	cfg, err := t.place.load("boothctl check")
	if err != nil {
		return nil, err
	}
	socket := string(cfg.Socket)
	if t.place.Socket != "" {
		socket = t.place.Socket
	}
	if err := running(socket); err != nil {
		return nil, err
	}
	unlock, err := holdStore(string(cfg.Store.Dir))
	if err != nil {
		hint := "run it as root"
		if errors.Is(err, errStoreBusy) {
			hint = "take the lane out of service, then: systemctl stop boothd"
		}
		return nil, &failure{err, hint, exitFix}
	}
	s := &stage{cfg: cfg, outs: map[signal.Lamp]outlet{}, area: map[string]inlet{}, eyes: map[signal.Lamp]inlet{}, lit: signal.Levels{}, unlock: unlock}
	defer func() {
		if err != nil {
			err = one(errors.Join(err, s.close()))
		}
	}()
	if len(cfg.GPIO.In)+len(cfg.GPIO.Out) > 0 {
		if err = s.openChip(ctx); err != nil {
			return s, err
		}
	}
	for _, c := range cfg.Boards {
		if err = s.openBoard(ctx, c, socket); err != nil {
			return s, err
		}
	}
	return s, nil
}

// openChip claims what is wired to the GPIO chip.
func (s *stage) openChip(ctx context.Context) error {
	chip, err := gpio.OpenChip(ctx, s.cfg.GPIO.Chip)
	if err != nil {
		return unclaimed(err)
	}
	s.held = append(s.held, chip)
	for _, lamp := range signal.Lamps {
		w, wired := s.cfg.GPIO.Out[string(lamp)]
		if !wired {
			continue
		}
		out, err := chip.Out(gpio.OutConfig{Point: string(lamp), Line: w.Line, ActiveLow: w.ActiveLow, Safe: signal.Safe(lamp)})
		if err != nil {
			return unclaimed(err)
		}
		s.outs[lamp], s.lit[lamp] = out, signal.Safe(lamp)
	}
	for point, w := range s.cfg.GPIO.In {
		if !watches(point) {
			continue
		}
		in, err := chip.In(gpio.InConfig{Point: point, Line: w.Line, ActiveLow: w.ActiveLow, Debounce: w.Debounce.Duration})
		if err != nil {
			return unclaimed(err)
		}
		s.watch(point, in)
	}
	return nil
}

// watches tells whether an input is of use here: of lamps and gate, not of the
// officer's buttons.
func watches(point string) bool {
	return point == "exit_loop" || point == "obstacle" || strings.HasSuffix(point, configs.Lit)
}

func (s *stage) watch(point string, in inlet) {
	if lamp, of := strings.CutSuffix(point, configs.Lit); of {
		s.eyes[signal.Lamp(lamp)] = in
		return
	}
	s.area[point] = in
}

// openBoard takes a board of relays and inputs, which is set to its safe levels
// by being opened.
func (s *stage) openBoard(ctx context.Context, c configs.Board, socket string) error {
	if err := free(string(c.Path)); err != nil {
		return err
	}
	locks := portLocks(socket)
	p, err := port.Open(ctx, port.Spec{Path: string(c.Path), Baud: c.Baud, LockDir: locks})
	giveBack(locks)
	if err != nil {
		return unopened(string(c.Path), fmt.Errorf("board %s: %w", c.Name, err))
	}
	b, err := relay.Open(ctx, p, agent.BoardConfig(c, nil))
	if err != nil {
		return &failure{fmt.Errorf("board %s on %s: %w", c.Name, c.Path, err), "boothctl probe says whether a board answers there, and how", exitFix}
	}
	s.held = append(s.held, b)
	for point := range c.Out {
		out, err := b.Out(point)
		if err != nil {
			return err
		}
		s.outs[signal.Lamp(point)], s.lit[signal.Lamp(point)] = out, signal.Safe(signal.Lamp(point))
	}
	for point := range c.In {
		if !watches(point) {
			continue
		}
		in, err := b.In(point)
		if err == nil {
			err = settledIn(ctx, in)
		}
		if err != nil {
			return err
		}
		s.watch(point, in)
	}
	return nil
}

// settledIn waits for the first level of a board's input, which is debounced.
func settledIn(ctx context.Context, in inlet) error {
	ctx, cancel := context.WithTimeout(ctx, areaWait)
	defer cancel()
	for {
		_, err := in.Level()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return &failure{err, "look at what is wired there: its contact does not hold still", exitFix}
		case <-time.After(areaEvery):
		}
	}
}

// holdStore takes the store's lock. It makes no file: one of root's would keep
// boothd out for ever. A store that is not there has no boothd.
func holdStore(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking whether boothd runs: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, errStoreBusy)
		}
		return nil, fmt.Errorf("locking store %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// unclaimed says what to do when a chip or a line cannot be had.
func unclaimed(err error) error {
	hint := ""
	switch {
	case errors.Is(err, gpio.ErrBusy):
		hint = "gpioinfo says who holds it; stop that program"
	case errors.Is(err, gpio.ErrNoLine):
		hint = "gpioinfo lists the lines; boothctl check compares all of them"
	case errors.Is(err, gpio.ErrNoChip), errors.Is(err, fs.ErrNotExist):
		hint = "gpiodetect lists the chips; a simulated one needs boothsim"
	case errors.Is(err, fs.ErrPermission):
		hint = "run it as root"
	case errors.Is(err, wiegand.ErrLow), errors.Is(err, wiegand.ErrBabble):
		hint = "look at the reader's power, its cable and the level shifter: both lines rest high"
	}
	return &failure{err, hint, exitFix}
}

// under tells whether something is in the gate's area.
func (s *stage) under() (bool, error) {
	for _, in := range s.area {
		if there, err := in.Level(); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// show keeps aspects for a while, through the interlock. until may end it
// before; nil: nothing does.
func (s *stage) show(ctx context.Context, a signal.Aspects, span time.Duration, until func(signal.Levels) bool) error {
	end := time.Now().Add(span)
	for {
		under, err := s.under()
		if err != nil {
			return err
		}
		now := time.Now()
		levels, next := s.lock.Step(a, under, now)
		if err := s.drive(levels); err != nil {
			return err
		}
		if !now.Before(end) || until != nil && until(levels) {
			return nil
		}
		wait := min(next.Sub(now), end.Sub(now))
		if len(s.area) > 0 {
			wait = min(wait, areaEvery)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(wait, time.Millisecond)):
		}
	}
}

// areaEvery is how often the gate's area is looked at: a car at walking speed
// moves 7 cm meanwhile.
const areaEvery = 50 * time.Millisecond

// areaWait is how long an input may take to hold still: twice the longest
// debounce.
const areaWait = 2 * time.Second

// drive sets what differs from what is lit, off first. After an error nothing
// more is lit.
func (s *stage) drive(want signal.Levels) error {
	for _, on := range []bool{false, true} {
		for _, lamp := range signal.Lamps {
			out := s.outs[lamp]
			if out == nil || want[lamp] != on || s.lit[lamp] == on {
				continue
			}
			if err := out.Set(on); err != nil {
				return err
			}
			s.lit[lamp] = on
		}
	}
	return nil
}

// close leaves everything safe: red lit, all else off.
func (s *stage) close() error {
	defer s.unlock()
	// What is lit is on several devices: a green on one must be out before
	// another, closed, lights its red.
	errs := []error{s.drive(signal.Levels{signal.TravellerRed: s.lit[signal.TravellerRed]})}
	for _, x := range s.held {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}

// wired lists the outputs that are there.
func (s *stage) wired() string {
	var names []string
	for _, lamp := range signal.Lamps {
		if s.outs[lamp] != nil {
			names = append(names, string(lamp))
		}
	}
	return strings.Join(names, ", ")
}
