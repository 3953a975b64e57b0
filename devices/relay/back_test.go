package relay

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lasting is a line that outlives a board's driver: the adapter stays while the
// board is away.
type lasting struct {
	pipe
	once   sync.Once
	closed chan struct{}
}

func (l *lasting) Read(b []byte) (int, error) {
	n, err := l.pipe.Read(b)
	select {
	case <-l.closed:
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (l *lasting) Write(b []byte) (int, error) {
	select {
	case <-l.closed:
		return 0, net.ErrClosed
	default:
		return l.pipe.Write(b)
	}
}

func (l *lasting) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// A board that loses its power is away within a second, and is back and safe
// within three of having it again, whenever that is: a booth asks again after a
// second. LCUS is not asked for here: it cannot be missed, and is told again
// twice a second.
func TestI9_BackWithinThreeSeconds(t *testing.T) {
	const pause, back = time.Second, 3 * time.Second
	each(t, func(t *testing.T, p Protocol) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := &Sim{Protocol: p, Address: 1}
			served := make(chan struct{})
			go func() { defer close(served); _ = s.Serve(far) }() // ends with the line
			ctx, cancel := context.WithCancel(t.Context())
			boards, ends := make(chan *Board), make(chan error)
			go func() {
				defer close(boards)
				for ctx.Err() == nil {
					line := &lasting{pipe: pipe{near}, closed: make(chan struct{})}
					board, err := Open(ctx, line, config(p))
					if err == nil {
						boards <- board
						ends <- board.Wait(ctx)
						_ = board.Close() // it says what has been told
					}
					time.Sleep(pause)
				}
			}()
			b := &bench{T: t, sim: s, board: <-boards}
			for n := range 12 {
				b.set("green", true)
				s.Die(true)
				from := time.Now()
				if err := <-ends; !errors.Is(err, ErrSilent) || time.Since(from) > time.Second {
					t.Errorf("away after %v: %v", time.Since(from), err)
				}
				time.Sleep(5*time.Second + time.Duration(n)*170*time.Millisecond)
				s.Die(false)
				from = time.Now()
				b.board = <-boards
				if took := time.Since(from); took > back {
					t.Errorf("back after %v", took)
				}
				synctest.Wait()
				b.relays("back", false, false, true)
			}
			cancel()
			<-ends
			for range boards {
				continue
			}
			_ = far.Close()
			<-served
			_ = near.Close()
			time.Sleep(time.Second)
		})
	}, LCUS)
}

// A board at another speed is not there, and does nothing.
func TestWrongSpeed(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			moved := 0
			s := &Sim{Protocol: p, Address: 1, Moved: func(int, bool) { moved++ }}
			line := &noisy{ReadWriter: far}
			line.with(halved)
			served := make(chan struct{})
			go func() { defer close(served); _ = s.Serve(line) }() // ends with the line
			if _, err := Open(t.Context(), halvedWrites{pipe{near}}, config(p)); !errors.Is(err, ErrSilent) || moved > 0 {
				t.Errorf("Open = %v, %d relays moved", err, moved)
			}
			_ = far.Close()
			<-served
		})
	}, LCUS) // which is believed
}

// halved is what a UART at half the speed makes of it.
func halved(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = c<<4 | c&0x0F
	}
	return out
}

type halvedWrites struct{ pipe }

func (h halvedWrites) Write(b []byte) (int, error) {
	if _, err := h.pipe.Write(halved(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
