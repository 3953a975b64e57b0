package verdict

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"
)

// Matcher is the far end of the socket, for simulators and tests, and the
// pattern for a real one. It matches nothing itself.
type Matcher struct {
	Key *Key
	ID  string // 1 to 32 of A-Z, a-z, 0-9, "." and "-"
	// Judge tells the result for a challenge; with ok false nothing is
	// answered. The booth hears it late if Judge takes its time.
	Judge func(ctx context.Context, c Challenge) (r Result, ok bool)
	// Spoil, if not nil, changes the verdict before it is signed: an officer's
	// drill, or a test, of what the booth must not believe.
	Spoil func(*Verdict)
}

// Serve answers the challenges that come on a connection, in order, until the
// booth closes it or ctx ends. It closes the connection.
func (m Matcher) Serve(ctx context.Context, c net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // releases Scan
	defer stop()
	defer c.Close()
	lines := bufio.NewScanner(c)
	lines.Buffer(make([]byte, MaxLine), MaxLine)
	for lines.Scan() {
		asked, err := ParseChallenge(lines.Bytes())
		if err != nil {
			return fmt.Errorf("matcher %s: %w", m.ID, err)
		}
		r, ok := m.Judge(ctx, asked)
		if !ok {
			continue
		}
		v := Verdict{Challenge: asked, Result: r, ProducedAt: time.Now(), MatcherID: m.ID}
		if m.Spoil != nil {
			m.Spoil(&v)
		}
		line, err := Sign(m.Key, v)
		if err == nil {
			_, err = c.Write(line)
		}
		if err != nil {
			return fmt.Errorf("matcher %s: %w", m.ID, err)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("matcher %s: %w", m.ID, err)
	}
	return nil // the booth has closed the socket
}
