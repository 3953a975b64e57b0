package relay

import (
	"context"
	"io"
	"iter"
	"strings"
	"sync/atomic"
	"testing"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// withheld is a board's end of a line on which the answer that is due waits for
// its last byte.
type withheld struct {
	io.ReadWriter
	due         func(answer []byte) bool
	begun, last chan struct{}
}

func (w *withheld) Write(answer []byte) (int, error) {
	if !w.due(answer) {
		return w.ReadWriter.Write(answer)
	}
	n := len(answer) - 1
	if n, err := w.ReadWriter.Write(answer[:n]); err != nil {
		return n, err
	}
	w.begun <- struct{}{}
	<-w.last
	_, err := w.ReadWriter.Write(answer[n:])
	return len(answer), err
}

// told is a board whose only input's edges are its reads.
type told struct {
	*Board
	in *In
}

func (r told) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		first := true // the level at start is no report
		for _, err := range r.in.Edges(ctx) {
			if !first && !yield(devices.Read{Key: &devices.Key{}}, err) {
				return
			}
			first = false
		}
	}
}

// switched is a board whose only output has been set: that it knows how its
// relay stands is its read.
type switched struct {
	*Board
	out    *Out
	orders chan bool
}

func (r switched) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		for {
			select {
			case on := <-r.orders:
				if !yield(devices.Read{Key: &devices.Key{}}, r.out.Set(on)) {
					return
				}
			case <-r.over:
				yield(devices.Read{}, r.lost())
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// BenchmarkLatency has the last byte of the answer that tells of a change
// withheld: of an input's, or, where there are none, of the relay's that has
// been told to move. What is measured is not the wait for the look at the board,
// 20 ms of 40 in the middle.
func BenchmarkLatency(b *testing.B) {
	const channel = 3
	for _, c := range []struct {
		protocol Protocol
		frame    string // as the last byte is of it, and how many there are
		shows    func(answer string) (on, ok bool)
		output   bool
		answers  int32 // that show the change, up to the one that is believed
	}{
		{Modbus, "\x01\x02\x01\x04\xA0\x4B", func(answer string) (on, ok bool) {
			return len(answer) == 6 && answer[3] != 0, len(answer) == 6 && answer[1] == fnReadInputs // one input is asked for
		}, false, 1},
		{Numato, "gpio read 2\r\n1\n\r>", func(answer string) (on, ok bool) {
			return strings.Contains(answer, "\n1"), strings.HasPrefix(answer, "gpio read 2")
		}, false, 1},
		{LCUSAnswer, "\xA0\x03\x01\xA4", func(answer string) (on, ok bool) { return answer[2] == lcusOn, len(answer) == lcusSize }, true, 2},
		{LCUSText, "CH1: OFF\r\nCH2: OFF\r\nCH3: ON\r\n", func(answer string) (on, ok bool) {
			return strings.Contains(answer, "CH3: ON"), true
		}, true, 1},
	} {
		b.Run("protocol="+string(c.protocol), func(b *testing.B) {
			var want atomic.Bool
			var left atomic.Int32
			next := true
			orders := make(chan bool, 1)
			line := &withheld{begun: make(chan struct{}), last: make(chan struct{}), due: func(answer []byte) bool {
				on, ok := c.shows(string(answer))
				return ok && on == want.Load() && left.Add(-1) == 0
			}}
			devicestest.Latency(b, devicestest.Device{
				Play: func(far io.ReadWriter) func([]byte) error {
					line.ReadWriter = far
					s := &Sim{Protocol: c.protocol, Address: 1}
					go func() { _ = s.Serve(line) }() // ends with the wire
					return func(p []byte) error {
						if len(p) == 1 {
							line.last <- struct{}{}
							return nil
						}
						want.Store(next)
						left.Store(c.answers)
						if c.output {
							orders <- next
						} else {
							s.SetInput(channel, next)
						}
						next = !next
						<-line.begun
						return nil
					}
				},
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
					cfg := Config{Name: "board", Protocol: c.protocol, Address: 1}
					if c.output {
						cfg.Out = []OutConfig{{Point: "point", Channel: channel}}
					} else {
						cfg.In = []InConfig{{Point: "point", Channel: channel}}
					}
					board, err := Open(ctx, w, cfg)
					if err != nil {
						return nil, err
					}
					if c.output {
						out, err := board.Out("point")
						return switched{board, out, orders}, err
					}
					in, err := board.In("point")
					return told{board, in}, err
				},
				Frame: func(int) []byte { return []byte(c.frame) },
			})
		})
	}
}
