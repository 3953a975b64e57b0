package verdict

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the socket; the numbers are ours.
const (
	maxConns  = 2               // the matcher, and the same one started again before its old end is seen
	maxLines  = 16              // lines one matcher may write after a challenge: a capture may be repeated
	lineWait  = 5 * time.Second // a line once begun
	writeWait = 250 * time.Millisecond
)

// Arrival is one line of a matcher, judged by Open.
type Arrival struct {
	At      time.Time // when the line was whole, with monotonic part
	Verdict Verdict   // zero if Err is not nil
	Bound   bool      // the MAC is right
	Err     error     // ErrForm: the line was no verdict (reason 853)
}

// Server is the booth's end of the socket.
type Server struct {
	key   *Key
	out   chan<- Arrival
	asked chan Challenge // holds one, the latest
	count atomic.Int32   // matchers connected
}

// NewServer makes the booth's end. Under a nil key no verdict is bound. Arrivals
// go to out; while nobody takes them, the matcher waits.
func NewServer(k *Key, out chan<- Arrival) *Server {
	return &Server{key: k, out: out, asked: make(chan Challenge, 1)}
}

// Ask tells every matcher the challenge of a session, also those that connect
// later, until the next one. The zero Challenge ends the session. Ask never
// waits, and one goroutine calls it. A challenge of another form is ErrForm and
// ends the session too.
func (s *Server) Ask(c Challenge) error {
	var err error
	if c != (Challenge{}) {
		if err = c.check(); err != nil {
			c, err = Challenge{}, fmt.Errorf("asking the matcher: %w", err)
		}
	}
	select {
	case <-s.asked: // one that nobody has been told
	default:
	}
	s.asked <- c
	return err
}

// Connected tells how many matchers are connected. Any goroutine may ask.
func (s *Server) Connected() int { return int(s.count.Load()) }

// conn is one matcher that is connected.
type conn struct {
	net.Conn
	news chan struct{} // holds one: a challenge was written, lines count anew
}

// Serve accepts matchers until ctx ends or the listener fails, and owns the
// listener from here on. A third matcher at once is turned away. All its
// goroutines have ended when it returns.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	joined, left := make(chan *conn), make(chan *conn)
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				cancel(fmt.Errorf("accepting a matcher: %w", err))
				return
			}
			select {
			case joined <- &conn{c, make(chan struct{}, 1)}:
			case <-ctx.Done():
				_ = c.Close()
			}
		}
	})
	matchers := map[*conn]bool{}
	s.run(ctx, matchers, joined, left, &all)
	err := context.Cause(ctx)
	cancel(err)
	_ = l.Close() // its error changes nothing: it is given up
	s.count.Store(0)
	for c := range matchers {
		_ = c.Close() // likewise; releases its Read
	}
	all.Wait()
	return err
}

// run owns the matchers and the challenge that stands until ctx ends.
func (s *Server) run(ctx context.Context, matchers map[*conn]bool, joined, left chan *conn, all *sync.WaitGroup) {
	var line []byte // the challenge that stands
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-left:
			delete(matchers, c)
			s.count.Store(int32(len(matchers)))
		case c := <-joined:
			if len(matchers) == maxConns {
				_ = c.Close() // turned away
				continue
			}
			matchers[c] = true
			s.count.Store(int32(len(matchers)))
			c.tell(line)
			all.Go(func() {
				s.hear(ctx, c)
				_ = c.Close() // whatever it ended for is the far side's affair
				select {
				case left <- c:
				case <-ctx.Done():
				}
			})
		case asked := <-s.asked:
			line = nil
			if asked != (Challenge{}) {
				// Ask has checked it; nothing else can fail.
				line, _ = EncodeChallenge(asked)
			}
			for c := range matchers {
				c.tell(line)
			}
		}
	}
}

// tell writes a challenge. A matcher that does not take it is cut off: the
// others, and the next challenge, wait for nobody.
func (c *conn) tell(line []byte) {
	if line == nil {
		return
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
	err := c.SetWriteDeadline(time.Now().Add(writeWait))
	if err == nil {
		_, err = c.Write(line)
	}
	if err != nil {
		_ = c.Close() // ends its hear
	}
}

// hear hands on a matcher's lines until it ends, breaks the limits, or ctx
// ends.
func (s *Server) hear(ctx context.Context, c *conn) {
	var buf [MaxLine]byte
	held, lines := 0, 0
	var due time.Time // of the line that has begun
	for {
		switch {
		case held == 0:
			due = time.Time{}
		case due.IsZero():
			due = time.Now().Add(lineWait)
		}
		if c.SetReadDeadline(due) != nil {
			return
		}
		n, err := c.Read(buf[held:])
		held += n
		for end := bytes.IndexByte(buf[:held], '\n'); end >= 0; end = bytes.IndexByte(buf[:held], '\n') {
			select {
			case <-c.news:
				lines = 0
			default:
			}
			if lines++; lines > maxLines || !s.hand(ctx, buf[:end]) {
				return
			}
			held, due = copy(buf[:], buf[end+1:held]), time.Time{}
		}
		if held == len(buf) { // no line ends here any more
			s.hand(ctx, buf[:])
			return
		}
		if err != nil {
			return
		}
	}
}

// hand judges one line and hands it on.
func (s *Server) hand(ctx context.Context, line []byte) bool {
	a := Arrival{At: time.Now()}
	a.Verdict, a.Bound, a.Err = Open(s.key, line)
	select {
	case s.out <- a:
		return true
	case <-ctx.Done():
		return false
	}
}
