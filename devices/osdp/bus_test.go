package osdp

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/osdp/pd"
)

// What one reader may have to wait for another: its time-out, and its own poll.
const oneTimeout = pollEvery + replyWait

// Three readers, each with its own key or none, are read as one alone is.
func TestBusThreeReaders(t *testing.T) {
	told := map[byte][]byte{}
	clear := &door{Device: &pd.Device{Address: 9}, cfg: Config{Clear: true}}
	a, b := secureDoor(0, testKey), secureDoor(0x7E, otherKey)
	for _, d := range []*door{a, b, clear} {
		d.Told = func(code byte, _ []byte) { told[d.Address] = append(told[d.Address], code) }
	}
	share(t, func(s *shared) {
		s.wait(time.Second)
		from := time.Now()
		for n := range 20 {
			for i, d := range s.doors {
				s.card(d, 100*i+n, 2*pollEvery)
			}
		}
		if err := errors.Join(s.of(a).reader.Buzz(Buzz{Silence: true}), s.of(b).reader.Output(Output{})); err != nil {
			t.Error(err)
		}
		b.Status(true, false)
		s.wait(time.Hour)
		for _, d := range s.doors {
			s.unhurt(d)
			if g := s.gap(d, from); g > 2*pollEvery {
				t.Errorf("%s was not asked for %v", d.cfg.Name, g)
			}
			if health := s.of(d).health; health[len(health)-1].Tamper != (d == b) {
				t.Errorf("%s: health %+v", d.cfg.Name, health)
			}
		}
		if want := map[byte][]byte{0: {cmdBuzzer}, 0x7E: {cmdOut}}; fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("outputs went to %v, want %v", told, want)
		}
	}, a, b, clear)
}

// A reader that is dead, or whose every answer is damaged, costs the others one
// time-out in some rounds; they are never hurt. It is back within 3 s of when it
// answers again.
func TestBusDeadReader(t *testing.T) {
	for name, fail := range map[string]func(d *pd.Device){
		"silent":     func(d *pd.Device) { d.Mute(true) },
		"bad CRC":    func(d *pd.Device) { d.Spoil(func(b []byte, _ bool) []byte { b[len(b)-1] ^= 1; return b }) },
		"cut off":    func(d *pd.Device) { d.Spoil(func(b []byte, _ bool) []byte { return b[:len(b)-1] }) },
		"in another": func(d *pd.Device) { d.Spoil(func(b []byte, _ bool) []byte { b[1] ^= 1; return b }) },
	} {
		t.Run(name, func(t *testing.T) {
			good, other, dead := secureDoor(1, testKey), secureDoor(2, otherKey), secureDoor(3, testKey)
			share(t, func(s *shared) {
				s.wait(10 * time.Second)
				for n := range 20 {
					fail(dead.Device)
					from := time.Now()
					for n := range 20 {
						s.card(good, n, oneTimeout)
						s.card(other, n, oneTimeout)
					}
					late := time.Now()
					s.wait(time.Minute + time.Duration(n)*77*time.Millisecond) // at any moment between two questions to it
					for _, d := range []*door{good, other} {
						s.unhurt(d)
						if g := s.gap(d, from); g > oneTimeout+replyWait/2 {
							t.Errorf("%s was not asked for %v", d.cfg.Name, g)
						}
						// Of twelve hundred questions the dead one has cost one in eight.
						if n := s.count(d, late); n < 1040 {
							t.Errorf("%s was asked %d times in a minute", d.cfg.Name, n)
						}
					}
					if n := s.count(dead, late); n < 40 || n > 45 {
						t.Errorf("the dead reader was asked %d times in a minute", n)
					}
					if ends := s.of(dead).ends; len(ends) == 0 || !errors.Is(ends[0], ErrSilent) {
						t.Errorf("the dead reader ended with %v", ends)
					}
					dead.Mute(false)
					dead.Spoil(nil)
					back := time.Now()
					s.back(dead, n)
					if took := time.Since(back); took > 2*time.Second {
						t.Errorf("back after %v", took)
					}
				}
			}, good, other, dead)
		})
	}
}

// back waits until a reader is at work again and reads a card.
func (s *shared) back(d *door, n int) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); s.of(d).reader == nil && time.Now().Before(end); {
		s.wait(10 * time.Millisecond)
	}
	s.card(d, n, oneTimeout+pollEvery)
}

// However many of eight are dead, whether they die in one moment, are there or
// come one by one, the others are asked after one time-out at the latest but for
// the round in which they died, and each is back within 3 s.
func TestBusManyDead(t *testing.T) {
	for dead := 1; dead < 8; dead++ {
		var doors []*door
		for n := range byte(8) {
			doors = append(doors, secureDoor(n, testKey))
		}
		living, dying := doors[dead:], doors[:dead]
		for _, d := range dying {
			d.Mute(true)
		}
		share(t, func(s *shared) {
			slowest := func(from time.Time) (most time.Duration) {
				for _, d := range living {
					s.unhurt(d)
					most = max(most, s.gap(d, from))
				}
				return most
			}
			begun := time.Now()
			s.wait(10 * time.Second)
			// Each is set up, in ten commands at most, and nobody is asked twice before all are asked once.
			if g := slowest(begun.Add(3 * time.Second)); g > oneTimeout+replyWait/2 {
				t.Errorf("%d dead from the start: a reader was not asked for %v", dead, g)
			}
			worst := time.Duration(0)
			for round := range 3 {
				for i, d := range dying {
					d.Mute(false)
					back := time.Now()
					s.back(d, 10*round+i)
					if took := time.Since(back); took > 3*time.Second {
						t.Errorf("%d of %d dead are back: the next one after %v", i, dead, took)
					} else {
						worst = max(worst, took)
					}
				}
				s.wait(10 * time.Second)
				from := time.Now()
				for _, d := range dying {
					d.Mute(true)
				}
				s.wait(time.Minute + time.Duration(round)*431*time.Millisecond)
				if g := slowest(from); g > time.Duration(dead)*replyWait+pollEvery+replyWait/2 {
					t.Errorf("%d die: a reader was not asked for %v", dead, g)
				}
				if g := slowest(from.Add(3 * time.Second)); g > oneTimeout+replyWait/2 {
					t.Errorf("%d are dead: a reader was not asked for %v", dead, g)
				}
			}
			t.Logf("%d dead: back after %v at most", dead, worst)
		}, doors...)
	}
}

// Readers that are all silent are in nobody's way: they are back within 3 s.
func TestBusAllSilent(t *testing.T) {
	a, b := secureDoor(1, testKey), secureDoor(2, otherKey)
	share(t, func(s *shared) {
		for n := range 10 { // at any moment between two tries
			s.wait(time.Second)
			a.Mute(true)
			b.Mute(true)
			s.wait(time.Hour + time.Duration(n)*900*time.Millisecond)
			a.Mute(false)
			b.Mute(false)
			s.wait(3 * time.Second)
			s.card(a, n, 2*pollEvery)
			s.card(b, n, 2*pollEvery)
		}
	}, a, b)
}

// A reader that got another key is told of and the other goes on.
func TestBusRekeyedReader(t *testing.T) {
	good, other := secureDoor(1, testKey), secureDoor(2, testKey)
	share(t, func(s *shared) {
		s.wait(time.Second)
		from := time.Now()
		s.line.Hang(&pd.Device{Address: 2, Key: otherKey}) // in its place
		other.Mute(true)
		s.wait(time.Minute)
		s.unhurt(good)
		if g := s.gap(good, from); g > oneTimeout {
			t.Errorf("%s was not asked for %v", good.cfg.Name, g)
		}
		if ends := s.of(other).ends; len(ends) == 0 || !errors.Is(ends[len(ends)-1], ErrWrongKey) {
			t.Errorf("the one with another key ended with %v", ends)
		}
	}, good, other)
}

// A reader that a flood of cards comes from keeps no other from its turn.
func TestBusFlood(t *testing.T) {
	loud, good := secureDoor(1, testKey), secureDoor(2, otherKey)
	loud.Wire = func(b []byte, _ bool) []byte {
		time.Sleep(10 * time.Millisecond)
		loud.Card(0, 32, number(1)[4:])
		return b
	}
	share(t, func(s *shared) {
		s.wait(time.Second)
		from := time.Now()
		s.wait(time.Minute)
		s.unhurt(good)
		if g := s.gap(good, from); g > 2*pollEvery {
			t.Errorf("%s was not asked for %v", good.cfg.Name, g)
		}
		if n := len(s.of(loud).reads); n < 4000 {
			t.Errorf("%d cards read", n)
		}
	}, loud, good)
}

// The line's loss takes all its readers, at once, and all are back with it.
func TestBusLineLost(t *testing.T) {
	a, b, c := secureDoor(1, testKey), secureDoor(2, otherKey), secureDoor(3, testKey)
	gone := errors.New("line gone")
	share(t, func(s *shared) {
		for n := range 3 {
			s.wait(10 * time.Second)
			s.mu.Lock()
			s.err = gone
			s.mu.Unlock()
			s.wait(2 * pollEvery)
			for _, d := range s.doors {
				o := s.of(d)
				if m := len(o.ends); o.reader != nil || m == 0 || !errors.Is(o.ends[m-1], gone) {
					t.Errorf("%s ended with %v", d.cfg.Name, o.ends)
				}
			}
			s.wait(time.Hour)
			s.mu.Lock()
			s.err = nil
			s.mu.Unlock()
			s.wait(3 * time.Second)
			for _, d := range s.doors {
				s.card(d, n, time.Second)
				if o := s.of(d); o.opens != n+2 {
					t.Errorf("%s was opened %d times", d.cfg.Name, o.opens)
				}
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.opened != 4 {
			t.Errorf("the line was opened %d times", s.opened)
		}
	}, a, b, c)
}

// Closing one reader leaves the line to the other; the last one closes it. What
// is not in its turn is refused.
func TestBusCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{t: t, asked: map[byte][]time.Time{}}
		s.bus = NewBus(s.open)
		one, two := s.bus.Seat(), s.bus.Seat()
		a, err := one.Open(t.Context())
		b, err2 := two.Open(t.Context())
		if err := errors.Join(err, err2); err != nil || s.opened != 1 {
			t.Fatal(err, s.opened)
		}
		if _, err := a.Write(nil); !errors.Is(err, errNoTurn) {
			t.Errorf("wrote out of turn: %v", err)
		}
		if err := one.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := two.take(late); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("two have their turn at once: %v", err)
		}
		if _, err := two.bus.Seat().Open(late); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("opened in another's turn: %v", err)
		}
		one.give()
		if err := errors.Join(a.Close(), a.Close()); err != nil || s.closed != 0 {
			t.Errorf("%v; the line was closed under the other reader: %d", err, s.closed)
		}
		if err := one.take(t.Context()); err == nil {
			t.Error("a closed reader has its turn")
		}
		if err := b.Close(); err != nil || s.closed != 1 {
			t.Errorf("%v; the line was closed %d times", err, s.closed)
		}
		s.life.Wait()
	})
}

// A line that was lost and opened again by one reader is another line to those
// who had it open before.
func TestBusOldLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{t: t, asked: map[byte][]time.Time{}}
		s.bus = NewBus(s.open)
		one, two := s.bus.Seat(), s.bus.Seat()
		a, err := one.Open(t.Context())
		b, err2 := two.Open(t.Context())
		if err := errors.Join(err, err2, two.take(t.Context())); err != nil {
			t.Fatal(err)
		}
		s.err = errors.New("line gone")
		if _, err := b.Write([]byte{mark, som, 0}); !errors.Is(err, s.err) {
			t.Errorf("wrote: %v", err)
		}
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, s.err) {
			t.Errorf("read: %v", err)
		}
		two.give()
		gone := s.err
		s.err = nil
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		c, err := two.Open(t.Context())
		if err != nil || s.opened != 2 {
			t.Fatal(err, s.opened)
		}
		if err := one.take(t.Context()); !errors.Is(err, gone) {
			t.Errorf("an old life goes on: %v", err)
		}
		if err := a.Close(); err != nil || s.closed != 1 {
			t.Errorf("%v; the new line was closed by an old life", err)
		}
		if err := two.take(t.Context()); err != nil {
			t.Error(err)
		}
		two.give()
		if err := c.Close(); err != nil || s.closed != 2 {
			t.Errorf("%v; closed %d times", err, s.closed)
		}
		s.life.Wait()
	})
}
