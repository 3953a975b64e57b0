package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/port"
	"boothd/devices/sim"
)

// noisy is the board's end of a line on which every answer goes through spoil.
type noisy struct {
	io.ReadWriter
	mu    sync.Mutex // Serve writes, the test changes spoil
	spoil func(answer []byte) []byte
}

func (n *noisy) Write(b []byte) (int, error) {
	n.mu.Lock()
	spoil := n.spoil
	n.mu.Unlock()
	if spoil != nil {
		if _, err := n.ReadWriter.Write(spoil(bytes.Clone(b))); err != nil {
			return 0, err
		}
		return len(b), nil
	}
	return n.ReadWriter.Write(b)
}

func (n *noisy) with(spoil func(answer []byte) []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spoil = spoil
}

// disturbed is play on a line that the test can spoil.
func disturbed(t *testing.T, p Protocol, act func(b *bench, line *noisy)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		line := &noisy{ReadWriter: far}
		s := &Sim{Protocol: p, Address: 1}
		served := make(chan error, 1)
		go func() { served <- s.Serve(line) }()
		board, err := Open(t.Context(), pipe{near}, config(p))
		if err != nil {
			t.Fatal(err)
		}
		act(&bench{T: t, board: board, sim: s, far: far}, line)
		if err := board.Close(); err != nil {
			t.Error(err)
		}
		_ = far.Close() // it may be closed already
		<-served
		synctest.Wait()
	})
}

// once spoils one answer and leaves the following ones whole.
func (n *noisy) once(spoil func(answer []byte) []byte) {
	n.with(func(answer []byte) []byte {
		n.with(nil)
		return spoil(answer)
	})
}

// Whatever becomes of one answer, the next Set is done and believed, and no
// level is told that was never there.
func TestOneSpoiltAnswerIsAskedForAgain(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	spoils := map[string]func(answer []byte) []byte{
		"lost":      func([]byte) []byte { return nil },
		"cut":       func(a []byte) []byte { return a[:dice.IntN(len(a))] },
		"twice":     func(a []byte) []byte { return append(a, a...) },
		"in noise":  func(a []byte) []byte { return append(append([]byte{0x01, 0x05, 0xA0, 0x01, 0xFF}, a...), 0xA0, 0x01) },
		"other way": func(a []byte) []byte { return append([]byte{0x01, 0x05, 0x00, 0x00, 0x00, 0x00, 0xCD, 0xCA}, a...) },
	}
	each(t, func(t *testing.T, p Protocol) {
		for name, spoil := range spoils {
			t.Run(name, func(t *testing.T) {
				disturbed(t, p, func(b *bench, line *noisy) {
					for n := range 50 {
						line.once(spoil)
						b.set("green", n%2 == 0)
						b.relays(name, false, n%2 == 0, true)
						time.Sleep(time.Duration(n) * time.Millisecond)
					}
					if c := b.board.Counters(); c.Timeouts+c.Resyncs == 0 {
						b.Errorf("nothing was counted: %+v", c)
					}
				})
			})
		}
	}, LCUS)
}

// An answer that is cut off at any byte is asked for again.
func TestCutAtEveryByte(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		disturbed(t, p, func(b *bench, line *noisy) {
			for cut, size := 0, 1; cut < size; cut++ {
				line.once(func(a []byte) []byte { size = max(size, len(a)); return a[:min(cut, len(a)-1)] })
				b.set("green", cut%2 == 0)
				b.relays("cut", false, cut%2 == 0, true)
			}
			if c := b.board.Counters(); c.Timeouts == 0 || b.board.Redriven() != 0 {
				b.Errorf("counted %+v, driven anew %d times", c, b.board.Redriven())
			}
		})
	}, LCUS)
}

// Every bit of an answer flipped: a check value finds it, and the answer is
// asked for again.
func TestFlippedBitsAreFound(t *testing.T) {
	for _, p := range []Protocol{Modbus, ModbusRegisters, LCUSAnswer} {
		t.Run(string(p), func(t *testing.T) {
			disturbed(t, p, func(b *bench, line *noisy) {
				for bit := range 8 * 8 { // the longest answer's
					line.once(func(a []byte) []byte {
						a[bit/8%len(a)] ^= 1 << (bit % 8)
						return a
					})
					b.set("green", bit%2 == 0)
					b.relays("flipped", false, bit%2 == 0, true)
				}
				if c := b.board.Counters(); c.CheckErrors+c.Resyncs == 0 || b.board.Redriven() != 0 {
					b.Errorf("counted %+v, driven anew %d times", c, b.board.Redriven())
				}
			})
		})
	}
}

// A board that answers nothing but garbage is silent, soon and in bounded
// memory.
func TestBabbleIsNoAnswer(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	each(t, func(t *testing.T, p Protocol) {
		disturbed(t, p, func(b *bench, line *noisy) {
			line.with(func([]byte) []byte {
				g := make([]byte, 3000)
				for i := range g {
					g[i] = byte(dice.Uint32()) | 0x80&^0x3E // no prompt among it
				}
				return g
			})
			began := time.Now()
			if err := b.board.Wait(b.Context()); !errors.Is(err, ErrSilent) {
				b.Errorf("Wait = %v, want silence", err)
			}
			if took := time.Since(began); took > 1100*time.Millisecond {
				b.Errorf("noticed after %v", took)
			}
			if cap(b.board.link.held) != heldMost {
				b.Errorf("%d bytes are held", cap(b.board.link.held))
			}
		})
	}, LCUS)
}

// A board that says something all the time, unasked, is driven all the same.
func TestUnaskedBytesAreDropped(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		play(t, config(p), &Sim{}, func(b *bench) {
			for n := range 50 {
				if err := b.sim.Raw(unhex(b, "01 01 01 FF 00 A0 02 00")); err != nil {
					b.Fatal(err)
				}
				b.set("green", n%2 == 0)
				synctest.Wait()
				b.relays("beside noise", false, n%2 == 0, true)
			}
		})
	})
}

// A relay that does not follow is an error of its Set; the board lives on until
// it was found wrong too often.
func TestRelayThatDoesNotFollow(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		play(t, config(p), &Sim{Stuck: 2}, func(b *bench) {
			if err := b.out("green").Set(true); !errors.Is(err, ErrDisobeys) {
				b.Errorf("Set = %v, want %v", err, ErrDisobeys)
			}
			if b.out("green").Commanded() {
				b.Error("what was not done counts as commanded")
			}
			b.set("stop", false)
		})
	}, LCUS) // which cannot say
}

// What a board does not have is refused at Open.
func TestBoardWithoutTheChannelIsRefused(t *testing.T) {
	for p, want := range map[Protocol]error{Modbus: Exception{fnWriteCoil, 2}, ModbusRegisters: Exception{fnWriteRegister, 2}, LCUSAnswer: ErrSilent, LCUSText: ErrSilent, Numato: ErrSilent} {
		t.Run(string(p), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				s := &Sim{Protocol: p, Address: 1, Channels: 3}
				served := make(chan error, 1)
				go func() { served <- s.Serve(far) }()
				if _, err := Open(t.Context(), pipe{near}, config(p)); !errors.Is(err, want) {
					t.Errorf("Open = %v, want %v", err, want)
				}
				_ = far.Close()
				<-served
			})
		})
	}
}

// A board without the write of several coils is driven coil by coil, off first.
func TestBoardWithoutWriteOfSeveral(t *testing.T) {
	cfg := config(Modbus)
	cfg.Out = append(cfg.Out, OutConfig{Point: "gate", Channel: 3})
	for _, single := range []bool{true, false} {
		play(t, cfg, &Sim{Single: single}, func(b *bench) {
			b.set("green", true)
			b.set("gate", true)
			b.sim.Reboot()
			time.Sleep(time.Second)
			b.relays("after a reboot", false, true, true)
			if !b.sim.Relay(3) {
				b.Error("gate was not driven anew")
			}
		})
	}
}

// A unit that is not ours does not answer.
func TestAnotherUnitIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s := &Sim{Protocol: Modbus, Address: 2}
		served := make(chan error, 1)
		go func() { served <- s.Serve(far) }()
		if _, err := Open(t.Context(), pipe{near}, config(Modbus)); !errors.Is(err, ErrSilent) {
			t.Errorf("Open = %v, want silence", err)
		}
		_ = far.Close()
		<-served
	})
}

func TestOpenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		drained := make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, far); close(drained) }()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := Open(ctx, pipe{near}, config(Modbus)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Open = %v", err)
		}
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		_ = far.Close()
		<-drained
	})
}

// Many goroutines set at once; each order is done, and the board ends as the
// last one of each output said.
func TestOrdersFromManyGoroutines(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		play(t, config(p), &Sim{}, func(b *bench) {
			var all sync.WaitGroup
			for _, point := range []string{"red", "green", "stop"} {
				all.Go(func() {
					for n := range 21 {
						if err := b.out(point).Set(n%2 == 0); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			synctest.Wait()
			b.relays("in the end", false, true, true)
		})
	})
}

// On the kernel's line, a board whose process dies in the middle of an answer
// is noticed, and its line can be opened again and is safe.
func TestI9_BoardComesBackSafe(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		far, path, err := sim.OpenPTY()
		if err != nil {
			t.Fatal(err)
		}
		s := &Sim{Protocol: p, Address: 1}
		served := make(chan error, 1)
		go func() { served <- s.Serve(far) }()
		for life := range 2 {
			line, err := port.Open(t.Context(), port.Spec{Path: path, Baud: 9600})
			if err != nil {
				t.Fatal(err)
			}
			board, err := Open(t.Context(), line, config(p))
			if err != nil {
				t.Fatal(err)
			}
			b := &bench{T: t, board: board, sim: s}
			b.set("green", true)
			if life == 0 {
				// What a dead driver leaves: half a request, and the lamp lit.
				if err := line.Close(); err != nil {
					t.Fatal(err)
				}
				if err := board.Wait(t.Context()); err == nil {
					t.Error("a board whose line was closed is not over")
				}
				if err := board.Close(); err != nil {
					t.Error(err)
				}
				continue
			}
			if err := board.Close(); err != nil {
				t.Error(err)
			}
		}
		if p != LCUS { // whose bytes may be under way still
			b := &bench{T: t, sim: s}
			b.relays("in the end", false, false, true)
		}
		if err := far.Close(); err != nil {
			t.Fatal(err)
		}
		<-served
	})
}
