package llrp

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/port"
)

var (
	greeting = simMessage(63, 1, simTLV(246, simTLV(256, 0, 0)...)) // without a time
	success  = simTLV(287, 0, 0, 0, 0)
	oneTag   = new(Sim).Report(7, card)
)

// scripted is a far end that says what answer tells it to, for each request.
func scripted(far io.ReadWriter, first []byte, answer func(n int, m message) []byte) {
	if _, err := far.Write(first); err != nil {
		return
	}
	var s scanner
	var in [4096]byte
	for n := 0; ; {
		m, ok, err := s.next()
		if err != nil {
			return
		}
		if ok {
			if b := answer(n, m); len(b) > 0 { // a pipe waits for a reader of nothing
				if _, err := far.Write(b); err != nil {
					return
				}
			}
			n++
			continue
		}
		got, err := far.Read(in[:])
		if err != nil {
			return
		}
		s.feed(in[:got])
	}
}

// What may come while an answer is waited for, at the n-th request of
// 1, 3, 3, 21, 41, 20, 24.
func TestDuringSetUp(t *testing.T) {
	yes := func(m message) []byte { return simMessage(m.typ+10, m.id, success) }
	for _, tc := range []struct {
		name  string
		at    int
		say   func(m message) []byte
		reads int
		want  error // nil: it opens
		code  uint16
	}{
		{"nothing else", 0, yes, 0, nil, 0},
		{"report before ENABLE is answered", 6, func(m message) []byte { return slices.Concat(oneTag, yes(m)) }, 1, nil, 0},
		{"report before ADD is answered", 5, func(m message) []byte { return slices.Concat(oneTag, yes(m)) }, 1, nil, 0},
		{"report of another's ROSpec", 3, func(m message) []byte { return slices.Concat(oneTag, yes(m)) }, 0, nil, 0},
		{"keep-alive", 2, func(m message) []byte { return slices.Concat(simMessage(62, 8, nil), yes(m)) }, 0, nil, 0},
		{"answer to something else", 3, func(m message) []byte {
			return slices.Concat(simMessage(m.typ+10, m.id+1, simTLV(287, 1, 1, 0, 0)), yes(m))
		}, 0, nil, 0},
		{"answer of another kind", 3, func(m message) []byte { return slices.Concat(simMessage(m.typ+11, m.id, success), yes(m)) }, 0, nil, 0},
		{"events not known", 2, func(m message) []byte { return simMessage(m.typ+10, m.id, simTLV(287, 0, 107, 0, 0)) }, 0, nil, 0},
		{"events not known, in an error message", 2, func(m message) []byte { return simMessage(100, m.id, simTLV(287, 0, 109, 0, 0)) }, 0, nil, 0},
		{"error message", 5, func(m message) []byte { return simMessage(100, m.id, simTLV(287, 0, 112, 0, 0)) }, 0, Status{}, 112},
		{"error message that says success", 5, func(m message) []byte { return simMessage(100, m.id, success) }, 0, Status{}, 0},
		{"no status", 3, func(m message) []byte { return simMessage(m.typ+10, m.id, nil) }, 0, errMessage, 0},
		{"status cut short", 3, func(m message) []byte { return simMessage(m.typ+10, m.id, simTLV(287, 0)) }, 0, errMessage, 0},
		{"taken after all", 3, func(message) []byte { return simMessage(63, 2, simTLV(246, simTLV(256, 0, 1)...)) }, 0, ErrTaken, 0},
		{"closed", 3, func(message) []byte { return simMessage(63, 2, simTLV(246, simTLV(257)...)) }, 0, ErrClosed, 0},
		{"not LLRP", 4, func(message) []byte { return []byte("no\r\n") }, 0, ErrProtocol, 0},
		{"capabilities that lie", 0, func(m message) []byte { return simMessage(11, m.id, slices.Concat(success, simTLV(137))) }, 0, errMessage, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go scripted(far, greeting, func(n int, m message) []byte {
				if n == tc.at {
					return tc.say(m)
				}
				if m.typ == msgKeepaliveAck {
					return nil
				}
				return yes(m)
			})
			r, err := Open(t.Context(), pipe{near}, Config{Name: "lane"})
			var refused Status
			switch {
			case errors.As(err, &refused):
				if tc.want != (Status{}) || refused.Code != tc.code {
					t.Errorf("%s: %v, want %v %d", tc.name, err, tc.want, tc.code)
				}
			case !errors.Is(err, tc.want):
				t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
			case err == nil && len(r.held) != tc.reads:
				t.Errorf("%s: %d reads, want %d", tc.name, len(r.held), tc.reads)
			}
			_ = near.Close() // it may be closed already
			_ = far.Close()
		})
	}
}

// A reader that reports without an end while it is set up costs no memory.
func TestSetUpHoldsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go scripted(far, greeting, func(n int, m message) []byte {
			b := simMessage(m.typ+10, m.id, success)
			if m.typ == msgAddROSpec {
				b = slices.Concat(slices.Repeat(oneTag, 1000), b)
			}
			return b
		})
		r, err := Open(t.Context(), pipe{near}, Config{Name: "lane"})
		if err != nil {
			t.Fatal(err)
		}
		if c := r.Counters(); len(r.held) != heldMost || c.Resyncs != 1000-heldMost {
			t.Errorf("%d held, %+v", len(r.held), c)
		}
		_ = far.Close()
		n := 0
		for _, err := range r.Reads(t.Context()) {
			if err == nil {
				n++
			}
		}
		if n != heldMost {
			t.Errorf("%d reads", n)
		}
	})
}

// When its time is over the driver tells the reader to stop, and waits for its
// goodbye.
func TestLeaves(t *testing.T) {
	play(t, &Sim{}, Config{}, func(b *bench) {
		b.sim.Present(card)
		time.Sleep(time.Second)
		set := len(b.sim.Heard())
		b.cancel()
		if took, err := b.ends(); !errors.Is(err, context.Canceled) || took > 200*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		if heard := b.sim.Heard()[set:]; !slices.Equal(heard, []uint16{25, 21, 14}) {
			t.Errorf("left by %d", heard)
		}
		if on, _, _ := b.sim.Reading(); on {
			t.Error("the reader still reads")
		}
	})
	play(t, &Sim{}, Config{}, func(b *bench) {
		b.sim.Deaf(true)
		b.cancel()
		if took, err := b.ends(); !errors.Is(err, context.Canceled) || took > 2200*time.Millisecond {
			t.Errorf("no goodbye: %v after %v", err, took)
		}
	})
}

// A reader that says goodbye and leaves the connection open is not waited for.
func TestLeavesOneThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		go scripted(far, greeting, func(n int, m message) []byte {
			if m.typ == msgClose {
				return simMessage(msgCloseAnswer, m.id, success)
			}
			return simMessage(m.typ+10, m.id, success)
		})
		r, err := Open(ctx, pipe{near}, Config{Name: "lane"})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		from := time.Now()
		for _, end := range r.Reads(ctx) {
			err = end
		}
		if took := time.Since(from); !errors.Is(err, context.Canceled) || took > 200*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		_ = far.Close()
	})
}

// A far end that takes nothing does not keep the driver.
func TestLeavesOneThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		taken := make(chan struct{})
		go scripted(far, greeting, func(n int, m message) []byte {
			if m.typ == msgEnableROSpec {
				time.AfterFunc(time.Second, cancel)
				_, _ = far.Write(simMessage(m.typ+10, m.id, success))
				<-taken
			}
			return simMessage(m.typ+10, m.id, success)
		})
		r, err := Open(ctx, pipe{near}, Config{Name: "lane"})
		if err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		for _, end := range r.Reads(ctx) {
			err = end
		}
		if took := time.Since(from); !errors.Is(err, context.Canceled) || took > 3200*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		close(taken)
		_ = far.Close()
	})
}

// A caller that has had enough may go on later; nothing is lost between.
func TestStopAndGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, sim: &Sim{}}
		if err := b.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.sim.Raw(b.sim.Report(1, card, SimTag{EPC: "01", Antenna: 2}, SimTag{EPC: "02", Antenna: 3})); err != nil {
			t.Fatal(err)
		}
		var got []int
		for range 3 {
			for read := range b.r.Reads(t.Context()) {
				got = append(got, read.Tag.Antenna)
				break
			}
		}
		if !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("antennas %d", got)
		}
		_ = b.r.Close() // ends the simulated reader too
	})
}

// A message's time is that of its first byte.
func TestArrival(t *testing.T) {
	play(t, &Sim{}, Config{}, func(b *bench) {
		p := slices.Concat(oneTag, oneTag)
		first := time.Now()
		b.raw(p[:10])
		time.Sleep(time.Second)
		second := time.Now()
		b.raw(p[10 : len(p)-3])
		time.Sleep(time.Second)
		b.raw(p[len(p)-3:])
		if len(b.reads) != 2 || !b.reads[0].At.Equal(first) || !b.reads[1].At.Equal(second) {
			t.Errorf("%+v, want at %v and %v", b.reads, first, second)
		}
	})
}

// Over TCP, as a booth has it: the reader has one client, tells a second one
// so, and after a cut the next connection works.
func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sim{Every: time.Millisecond}
	done := make(chan error, 1)
	go func() { done <- s.Accept(l) }()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	dial := func() (port.Port, error) {
		return port.Open(t.Context(), port.Spec{Path: "tcp://" + l.Addr().String()})
	}
	for life := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		s.Present(card)
		var r *Reader
		err := ErrTaken
		for errors.Is(err, ErrTaken) { // until the reader has seen the last life end
			var p port.Port
			if p, err = dial(); err == nil {
				r, err = Open(ctx, p, Config{Name: "lane", Role: devices.RoleCard})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		second, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(ctx, second, Config{Name: "lane"}); !errors.Is(err, ErrTaken) {
			t.Errorf("life %d: a second client: %v", life, err)
		}
		reads := 0
		for read, e := range r.Reads(ctx) {
			if err = e; err != nil {
				continue
			}
			if reads++; read.Tag.EPC != cardEPC {
				t.Errorf("life %d: %+v", life, read)
			}
			switch {
			case reads < 10:
			case life == 1:
				s.Present()
				s.Hangup()
			default:
				cancel()
			}
		}
		cancel()
		if want := []error{context.Canceled, ErrClosed, context.Canceled}[life]; reads < 10 || !errors.Is(err, want) {
			t.Errorf("life %d: %d reads, %v, want %v", life, reads, err, want)
		}
		if err := r.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}
