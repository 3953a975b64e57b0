package llrp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// shakeWait is how long the reader has for its part of the TLS handshake; ours.
const shakeWait = 10 * time.Second

// secure talks TLS on a wire from here on. The wire keeps its manners: a Read
// that meets silence gives 0, nil.
func secure(w wire, cfg *tls.Config) (wire, error) {
	c := &conn{wire: w, patience: time.Now().Add(shakeWait)}
	t := tls.Client(c, cfg)
	if err := t.Handshake(); err != nil {
		return nil, refusal{fmt.Errorf("TLS handshake: %w", err), errorPause}
	}
	c.patience = time.Time{}
	return secured{t, w}, nil
}

// secured is a wire under TLS.
type secured struct {
	tls *tls.Conn
	wire
}

func (s secured) Read(b []byte) (int, error) {
	n, err := s.tls.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
}

func (s secured) Write(b []byte) (int, error) { return s.tls.Write(b) }

// conn is a wire as crypto/tls wants it. The wire itself bounds how long a Read
// or a Write takes, so deadlines are not needed.
type conn struct {
	wire
	patience time.Time // until when silence is waited out: a handshake cannot be resumed
}

// Read gives a timeout for a silence, which TLS hands on and survives.
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.wire.Read(b)
		if n > 0 || err != nil {
			return n, err
		}
		if !time.Now().Before(c.patience) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (*conn) LocalAddr() net.Addr              { return nil }
func (*conn) RemoteAddr() net.Addr             { return nil }
func (*conn) SetDeadline(time.Time) error      { return nil }
func (*conn) SetReadDeadline(time.Time) error  { return nil }
func (*conn) SetWriteDeadline(time.Time) error { return nil }
