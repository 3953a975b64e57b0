package verdict

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener without a network, so that time may be virtual.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// booth is a server at work in a bubble.
type booth struct {
	t       *testing.T
	s       *Server
	l       *pipes
	out     chan Arrival
	stop    context.CancelFunc
	stopped chan error
}

// serve plays act against a server; afterwards every goroutine has ended, or
// the bubble fails.
func serve(t *testing.T, act func(b *booth)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := &booth{t: t, l: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}, out: make(chan Arrival, 8), stop: cancel, stopped: make(chan error, 1)}
		b.s = NewServer(key(t), b.out)
		go func() { b.stopped <- b.s.Serve(ctx, b.l) }()
		act(b)
		cancel()
		if err := <-b.stopped; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve = %v, want %v", err, context.Canceled)
		}
		if n := b.s.Connected(); n != 0 {
			t.Errorf("%d matchers are connected after the end", n)
		}
	})
}

// connect is a matcher's socket.
func (b *booth) connect() net.Conn {
	ours, theirs := net.Pipe()
	b.t.Cleanup(func() { _ = ours.Close() }) // a test may have closed it
	b.l.conns <- theirs
	synctest.Wait()
	return ours
}

// matcher connects one at work.
func (b *booth) matcher(m Matcher) (ended chan error) {
	if m.Key == nil {
		m.Key = key(b.t)
	}
	m.ID = "kiosk-3"
	if m.Judge == nil {
		m.Judge = func(context.Context, Challenge) (Result, bool) { return Match, true }
	}
	c := b.connect()
	ended = make(chan error, 1)
	go func() { ended <- m.Serve(context.Background(), c) }()
	return ended
}

func (b *booth) ask(c Challenge) {
	b.t.Helper()
	if err := b.s.Ask(c); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// none wants that nothing has arrived.
func (b *booth) none() {
	b.t.Helper()
	synctest.Wait()
	select {
	case a := <-b.out:
		b.t.Errorf("%+v arrived", a)
	default:
	}
}

func TestVerdictOfASession(t *testing.T) {
	serve(t, func(b *booth) {
		b.matcher(Matcher{})
		b.none()
		b.ask(sample(t).Challenge)
		a := <-b.out
		if a.Err != nil || !a.Bound || a.Verdict.Challenge != sample(t).Challenge || a.Verdict.Result != Match || a.Verdict.MatcherID != "kiosk-3" {
			t.Errorf("arrived %+v, want a bound MATCH", a)
		}
		if !a.At.Equal(time.Now()) || !a.Verdict.ProducedAt.Equal(time.Now().Truncate(time.Millisecond)) {
			t.Errorf("at %s, produced %s, want now", a.At, a.Verdict.ProducedAt)
		}
	})
}

// TestI1_UnboundArrives: what a foreign or wrong matcher says comes out as what
// it is, never as nothing and never as a bound verdict.
func TestI1_UnboundArrives(t *testing.T) {
	other, err := ParseKey([]byte(strings.Repeat("ab", 32)))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, func(b *booth) {
		b.matcher(Matcher{Key: other})
		b.ask(sample(t).Challenge)
		if a := <-b.out; a.Err != nil || a.Bound {
			t.Errorf("arrived %+v, want it unbound", a)
		}
		c := b.connect()
		<-read(c) // the challenge
		if _, err := io.WriteString(c, "MATCH\n"); err != nil {
			t.Fatal(err)
		}
		if a := <-b.out; !errors.Is(a.Err, ErrForm) || a.Bound || a.Verdict != (Verdict{}) {
			t.Errorf("arrived %+v, want %v", a, ErrForm)
		}
	})
}

// read gives a connection's lines.
func read(c net.Conn) <-chan string {
	lines := make(chan string, 64)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(c); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

// A matcher that connects, or connects again, in the middle of a session is
// told its challenge; after the session it is told nothing.
func TestLatestChallengeStands(t *testing.T) {
	serve(t, func(b *booth) {
		first, second := sample(t).Challenge, sample(t).Challenge
		second.Nonce[0]++
		b.ask(first)
		b.ask(second)
		b.matcher(Matcher{})
		if a := <-b.out; a.Verdict.Challenge != second {
			t.Errorf("answered %+v, want %+v", a.Verdict.Challenge, second)
		}
		b.none()
		b.ask(Challenge{})
		lines := read(b.connect())
		synctest.Wait()
		select {
		case l := <-lines:
			t.Errorf("told %q when no session was open", l)
		default:
		}
		b.ask(first)
		if l := <-lines; !strings.Contains(l, first.Nonce.String()) {
			t.Errorf("told %q, want the challenge", l)
		}
		<-b.out // of the first matcher
	})
}

func TestAskNeverWaits(t *testing.T) {
	s := NewServer(nil, nil) // nobody serves
	for range 100 {
		if err := s.Ask(sample(t).Challenge); err != nil {
			t.Fatal(err)
		}
	}
	bad := sample(t).Challenge
	bad.CardToken = "x"
	if err := s.Ask(bad); !errors.Is(err, ErrForm) {
		t.Errorf("Ask = %v, want %v", err, ErrForm)
	}
	if c := <-s.asked; c != (Challenge{}) {
		t.Errorf("a bad challenge leaves %+v, want the session ended", c)
	}
}

// closed wants that the booth hangs up.
func closed(t *testing.T, lines <-chan string) {
	t.Helper()
	for range lines { // ends with the connection
	}
}

func TestThirdMatcherIsTurnedAway(t *testing.T) {
	serve(t, func(b *booth) {
		one, two := b.connect(), b.connect()
		if n := b.s.Connected(); n != 2 {
			t.Errorf("%d connected, want 2", n)
		}
		closed(t, read(b.connect()))
		_ = one.Close() // the plug is pulled
		synctest.Wait()
		b.matcher(Matcher{})
		lines := read(two)
		b.ask(sample(t).Challenge)
		<-b.out
		<-lines
	})
}

func TestLimitsEndAMatcher(t *testing.T) {
	line := string(signed(t, sample(t)))
	for name, tt := range map[string]struct {
		say      string
		arrivals int
		after    time.Duration
	}{
		"a line longer than any":    {strings.Repeat(" ", MaxLine), 1, 0},
		"a line that never ends":    {line[:50], 0, lineWait},
		"more than it may say":      {strings.Repeat(line, maxLines+1), maxLines, 0},
		"half a line after a whole": {line + line[:9], 1, lineWait},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(b *booth) {
				c := b.connect()
				lines := read(c)
				go func() { _, _ = io.WriteString(c, tt.say) }() // ends with the connection
				began := time.Now()
				for range tt.arrivals {
					<-b.out
				}
				closed(t, lines)
				if took := time.Since(began); took != tt.after {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
				b.none()
				if n := b.s.Connected(); n != 0 {
					t.Errorf("%d matchers are connected, want none", n)
				}
			})
		})
	}
}

// A line may come in any pieces, and each challenge lets a matcher speak anew.
func TestPieces(t *testing.T) {
	serve(t, func(b *booth) {
		c := b.connect()
		lines := read(c)
		for range 3 {
			b.ask(sample(t).Challenge)
			<-lines
			got := 0
			for p := range bytes.SplitAfterSeq(bytes.Repeat(signed(t, sample(t)), maxLines), []byte("1")) {
				go func() { _, _ = c.Write(p) }() // taken before the next one, or the count is wrong
				synctest.Wait()
				for ; len(b.out) > 0; got++ {
					<-b.out
				}
			}
			if got != maxLines {
				t.Errorf("%d arrived, want %d", got, maxLines)
			}
		}
	})
}

// The time of a line is its own: one that begins behind another has it whole.
func TestEachLineHasItsTime(t *testing.T) {
	serve(t, func(b *booth) {
		c, line := b.connect(), signed(t, sample(t))
		for _, part := range [][]byte{line[:50], slices.Concat(line[50:], line[:50]), line[50:]} {
			if _, err := c.Write(part); err != nil {
				t.Fatalf("the booth hung up: %v", err)
			}
			time.Sleep(lineWait - time.Millisecond)
		}
		<-b.out
		<-b.out
	})
}

// A matcher that does not read is cut off, and costs the other one nothing but
// the wait.
func TestDeafMatcherIsCutOff(t *testing.T) {
	serve(t, func(b *booth) {
		deaf := b.connect()
		b.matcher(Matcher{})
		b.ask(sample(t).Challenge)
		if a := <-b.out; !a.Bound {
			t.Errorf("arrived %+v, want a bound verdict", a)
		}
		time.Sleep(writeWait)
		synctest.Wait()
		if n := b.s.Connected(); n != 1 {
			t.Errorf("%d connected, want 1", n)
		}
		closed(t, read(deaf))
	})
}

// While nobody takes arrivals the matcher waits, and the end comes all the same.
func TestEndsWhileNobodyTakes(t *testing.T) {
	serve(t, func(b *booth) {
		c := b.connect()
		go func() { _, _ = c.Write(bytes.Repeat(signed(t, sample(t)), maxLines)) }() // ends with the connection
		synctest.Wait()
		if len(b.out) != cap(b.out) {
			t.Errorf("%d arrivals wait, want %d", len(b.out), cap(b.out))
		}
	})
}

func TestListenerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		_ = l.Close()
		if err := NewServer(nil, nil).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve = %v, want %v", err, net.ErrClosed)
		}
	})
}

// The same over the kernel's socket, with a matcher that is killed and started
// again.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "matcher.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan Arrival, 1)
	s := NewServer(key(t), out)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	if err := s.Ask(sample(t).Challenge); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		m := Matcher{Key: key(t), ID: "m", Judge: func(context.Context, Challenge) (Result, bool) { return NoMatch, true }}
		mctx, kill := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Serve(mctx, c) }()
		if a := <-out; !a.Bound || a.Verdict.Result != NoMatch {
			t.Errorf("arrived %+v, want a bound NO_MATCH", a)
		}
		kill()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the matcher ended with %v", err)
		}
		for s.Connected() > 0 { // until it is known to be gone, it takes one of the few places
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve = %v", err)
	}
}
