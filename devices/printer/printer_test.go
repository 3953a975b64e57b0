package printer

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/port"
	"boothd/devices/sim"
)

// pipe is a port in memory: silence is 0, nil after 100 ms.
type pipe struct{ net.Conn }

func (p pipe) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
}

// bench is a printer with its far end, in virtual time.
type bench struct {
	t       *testing.T
	sim     *Sim
	port    pipe
	far     net.Conn
	printed [][]string
	served  chan struct{}
	health  []Faults
}

func play(t *testing.T, s *Sim, act func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		b := &bench{t: t, sim: s, port: pipe{near}, far: far, served: make(chan struct{})}
		s.Printed = func(lines []string) { b.printed = append(b.printed, lines) }
		go func() { _ = s.Serve(far); close(b.served) }() // ends with the wire
		act(b)
		_ = near.Close() // the printer may have closed it
		<-b.served
	})
}

func (b *bench) open(cfg Config) *Printer {
	b.t.Helper()
	cfg.Name, cfg.Health = "slip", func(f Faults) { b.health = append(b.health, f) }
	p, err := Open(b.t.Context(), b.port, cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *bench) want(receipts ...[]string) {
	b.t.Helper()
	synctest.Wait()
	if !slices.EqualFunc(b.printed, receipts, slices.Equal) {
		b.t.Errorf("printed %q, want %q", b.printed, receipts)
	}
}

var receipt = []string{"NEXUS-Air 3", "2026-11-23 16:00", "", "A"}

func TestPrint(t *testing.T) {
	for name, cfg := range map[string]Config{
		"escpos":         {Language: ESCPOS},
		"cut":            {Language: ESCPOS, Cut: true},
		"answers":        {Language: ESCPOS, Answers: true},
		"cut, answers":   {Language: ESCPOS, Cut: true, Answers: true, Columns: 42},
		"plain":          {Language: Plain},
		"latin1":         {Language: ESCPOS, Charset: Latin1, Cut: true},
		"latin1 answers": {Language: ESCPOS, Charset: Latin1, Answers: true},
		"plain, latin1":  {Language: Plain, Charset: Latin1},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, &Sim{Language: cfg.Language}, func(b *bench) {
				p := b.open(cfg)
				for range 3 {
					if err := p.Print(b.t.Context(), receipt); err != nil {
						t.Fatal(err)
					}
				}
				b.want(receipt, receipt, receipt)
				accents := []string{"reçu: à l’agent"}
				if err := p.Print(b.t.Context(), accents); err != nil {
					t.Fatal(err)
				}
				if cfg.Charset == Latin1 {
					b.want(receipt, receipt, receipt, []string{"reçu: à l'agent"})
				} else {
					b.want(receipt, receipt, receipt, []string{"recu: a l'agent"})
				}
				if c := p.Counters(); (c.Frames > 0) != cfg.Answers {
					t.Errorf("counted %+v", c)
				}
			})
		})
	}
}

func TestNotReady(t *testing.T) {
	for _, f := range []Faults{Offline, CoverOpen, PaperOut, Cutter, Broken, PaperOut | CoverOpen | PaperLow} {
		t.Run(f.String(), func(t *testing.T) {
			play(t, &Sim{}, func(b *bench) {
				p := b.open(Config{Language: ESCPOS, Answers: true})
				if err := b.sim.Set(f); err != nil {
					t.Fatal(err)
				}
				err := p.Print(b.t.Context(), receipt)
				var why NotReady
				if !errors.As(err, &why) || why.Faults&f != f || why.Faults&Offline == 0 {
					t.Fatalf("Print = %v, want %v", err, NotReady{f})
				}
				b.want()
				if err := b.sim.Set(0); err != nil {
					t.Fatal(err)
				}
				b.want() // nothing was sent that could come out now
				if err := p.Print(b.t.Context(), receipt); err != nil {
					t.Fatal(err)
				}
				b.want(receipt)
				if len(b.health) != 2 || b.health[0] != why.Faults || b.health[1] != 0 {
					t.Errorf("health was told %v, want the faults once, then none", b.health)
				}
			})
		})
	}
}

func TestPaperLowPrints(t *testing.T) {
	play(t, &Sim{}, func(b *bench) {
		if err := b.sim.Set(PaperLow); err != nil {
			t.Fatal(err)
		}
		p := b.open(Config{Language: ESCPOS, Answers: true})
		if err := p.Print(b.t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
		b.want(receipt)
		if f, err := p.Status(b.t.Context()); f != PaperLow || err != nil || !f.Ready() {
			t.Errorf("Status = %s, %v, want %s", f, err, PaperLow)
		}
	})
}

// roll lets the paper end when the printer has got so many bytes.
type roll struct {
	net.Conn
	left int
	end  func()
}

func (r *roll) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b[:1])
	if r.left -= n; r.left == 0 {
		r.end()
	}
	return n, err
}

// TestI7_NothingLeaksToTheNextTraveller: the roll ends within a receipt; when
// somebody has seen to it, its rest does not come out.
func TestI7_NothingLeaksToTheNextTraveller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var printed [][]string
		s := &Sim{Printed: func(lines []string) { printed = append(printed, lines) }}
		r := &roll{Conn: far, left: -1, end: func() { _ = s.Set(PaperOut) }} // nothing is printed by it
		served := make(chan struct{})
		go func() { _ = s.Serve(r); close(served) }() // ends with the wire
		p, err := Open(t.Context(), pipe{near}, Config{Language: ESCPOS, Answers: true})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.left = 3*questions + 30 // within the text
		var why NotReady
		if err := p.Print(t.Context(), receipt); !errors.As(err, &why) || why.Faults&PaperOut == 0 {
			t.Errorf("Print = %v, want %v", err, NotReady{PaperOut})
		}
		if err := s.Set(0); err != nil {
			t.Fatal(err)
		}
		if err := p.Print(t.Context(), []string{"B"}); err != nil {
			t.Errorf("Print = %v after the paper was seen to", err)
		}
		synctest.Wait()
		if len(printed) != 1 || !slices.Equal(printed[0], []string{"B"}) {
			t.Errorf("printed %q, want the second receipt alone", printed)
		}
		_ = near.Close()
		<-served
	})
}

func TestSilentPrinter(t *testing.T) {
	play(t, &Sim{Mute: true}, func(b *bench) {
		began := time.Now()
		if _, err := Open(b.t.Context(), b.port, Config{Language: ESCPOS, Answers: true}); !errors.Is(err, ErrSilent) {
			t.Errorf("Open = %v, want %v", err, ErrSilent)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		if _, err := b.port.Write(nil); err == nil {
			t.Error("the port is still open")
		}
	})
	play(t, &Sim{}, func(b *bench) {
		p := b.open(Config{Language: ESCPOS, Answers: true})
		b.sim.off(true)
		if err := p.Print(b.t.Context(), receipt); !errors.Is(err, ErrSilent) {
			t.Errorf("Print = %v, want %v", err, ErrSilent)
		}
		if f, err := p.Status(b.t.Context()); !errors.Is(err, ErrSilent) || f != 0 {
			t.Errorf("Status = %s, %v, want %v", f, err, ErrSilent)
		}
	})
}

// A printer that is switched off is missed by the next question, and one that is
// on again is back at the next try; a line that is gone is, too, where there are
// no questions.
func TestOffAndOn(t *testing.T) {
	for _, cfg := range []Config{{Language: ESCPOS, Answers: true}, {Language: ESCPOS, Answers: true, Cut: true, Charset: Latin1}} {
		play(t, &Sim{}, func(b *bench) {
			line := b.port
			p := b.open(cfg)
			for range 5 {
				if f, err := p.Status(b.t.Context()); f != 0 || err != nil {
					t.Errorf("Status = %s, %v", f, err)
				}
				b.sim.off(true)
				from := time.Now()
				if _, err := p.Status(b.t.Context()); !errors.Is(err, ErrSilent) || time.Since(from) > 1100*time.Millisecond {
					t.Errorf("Status = %v after %v, want %v", err, time.Since(from), ErrSilent)
				}
				time.Sleep(time.Minute)
				b.sim.off(false)
				from = time.Now()
				b.port = line
				if p = b.open(cfg); time.Since(from) > time.Second {
					t.Errorf("back after %v", time.Since(from))
				}
			}
			if err := p.Print(b.t.Context(), receipt); err != nil {
				t.Error(err)
			}
			b.want(receipt)
		})
	}
	for _, language := range []Language{ESCPOS, Plain} {
		play(t, &Sim{Language: language}, func(b *bench) {
			p := b.open(Config{Language: language})
			if f, err := p.Status(b.t.Context()); f != 0 || err != nil {
				t.Errorf("%s: Status = %s, %v", language, f, err)
			}
			_ = b.far.Close()
			if _, err := p.Status(b.t.Context()); err == nil {
				t.Errorf("%s: Status of a line that is gone", language)
			}
		})
	}
}

// A far end that never stops sending is not waited for.
func TestChattering(t *testing.T) {
	for _, b := range []byte{0xff, 0x12} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			go func() {
				for {
					if _, err := far.Write([]byte{b}); err != nil {
						return
					}
				}
			}()
			if _, err := Open(t.Context(), pipe{near}, Config{Language: ESCPOS, Answers: true}); !errors.Is(err, ErrSilent) {
				t.Errorf("Open = %v, want %v", err, ErrSilent)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	play(t, &Sim{}, func(b *bench) {
		p := b.open(Config{Language: ESCPOS, Answers: true})
		ctx, cancel := context.WithCancel(b.t.Context())
		cancel()
		if err := p.Print(ctx, receipt); !errors.Is(err, context.Canceled) {
			t.Errorf("Print = %v, want %v", err, context.Canceled)
		}
		if _, err := p.Status(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Status = %v, want %v", err, context.Canceled)
		}
		b.want()
		if err := p.Print(b.t.Context(), receipt); err != nil {
			t.Errorf("Print = %v after another was cancelled", err)
		}
		b.want(receipt)
	})
	play(t, &Sim{Language: Plain}, func(b *bench) {
		p := b.open(Config{Language: Plain})
		ctx, cancel := context.WithCancel(b.t.Context())
		cancel()
		if err := p.Print(ctx, receipt); !errors.Is(err, context.Canceled) {
			t.Errorf("Print = %v, want %v", err, context.Canceled)
		}
	})
}

func TestTooLong(t *testing.T) {
	play(t, &Sim{}, func(b *bench) {
		p := b.open(Config{Language: ESCPOS})
		for name, lines := range map[string][]string{
			"lines":   make([]string, maxLines+1),
			"line":    {strings.Repeat("x", maxLine+1)},
			"receipt": slices.Repeat([]string{strings.Repeat("x", maxLine)}, 16),
		} {
			if err := p.Print(b.t.Context(), lines); !errors.Is(err, ErrTooLong) {
				t.Errorf("%s: Print = %v, want %v", name, err, ErrTooLong)
			}
		}
		b.want()
		full := slices.Repeat([]string{strings.Repeat("x", 32)}, maxLines)
		if err := p.Print(b.t.Context(), full); err != nil {
			t.Fatal(err)
		}
		b.want(full)
	})
}

func TestOpenRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no language": {}, "unknown language": {Language: "zpl"}, "unknown charset": {Language: Plain, Charset: "cp437"},
		"narrow": {Language: Plain, Columns: 15}, "wide": {Language: Plain, Columns: 97}, "plain cut": {Language: Plain, Cut: true}, "plain answers": {Language: Plain, Answers: true},
	} {
		near, far := net.Pipe()
		if _, err := Open(t.Context(), near, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the port is still open: %v", name, err)
		}
	}
}

// TestPTY prints on the kernel's line and through the serial library; then the
// plug is pulled.
func TestPTY(t *testing.T) {
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	printed := make(chan []string, 1)
	s := &Sim{Printed: func(lines []string) { printed <- lines }}
	served := make(chan error, 1)
	go func() { served <- s.Serve(far) }()
	line, err := port.Open(t.Context(), port.Spec{Path: path, Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(t.Context(), line, Config{Name: "slip", Language: ESCPOS, Charset: Latin1, Cut: true, Answers: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, lines := range [][]string{receipt, {"reçu"}, slices.Repeat([]string{strings.Repeat("é", 32)}, maxLines)} {
		if err := p.Print(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
		if got := <-printed; !slices.Equal(got, lines) {
			t.Errorf("printed %q, want %q", got, lines)
		}
	}
	if err := far.Close(); err != nil { // done when the simulated printer's Read returns
		t.Fatal(err)
	}
	if err := p.Print(t.Context(), receipt); !errors.Is(err, port.ErrGone) {
		t.Errorf("Print = %v after the unplug, want %v", err, port.ErrGone)
	}
	if <-served == nil {
		t.Error("the simulated printer ended without a reason")
	}
}
