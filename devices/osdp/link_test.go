package osdp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/osdp/pd"
	"boothd/devices/port"
	"boothd/devices/sim"
)

// bothWays runs a test in clear and in the channel.
func bothWays(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Run("clear", func(t *testing.T) { test(t, inClear) })
	t.Run("secure", func(t *testing.T) { test(t, secured) })
}

// spoil damages the first reply that carries a card, as edit says, and lets the
// repeat through. It tells when it has.
func spoil(d *pd.Device, edit func([]byte) []byte) (done *bool) {
	done = new(bool)
	d.Spoil(func(reply []byte, again bool) []byte {
		// A card's reply is longer than an ACK's, sealed or not.
		if *done || len(reply) < 16 {
			return reply
		}
		*done = true
		return edit(reply)
	})
	return done
}

// A reply with any bit flipped is asked for again, and read once and right.
func TestEveryBitFlipped(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		size := 0
		for bit := 0; bit <= 8*size; bit++ {
			d := &pd.Device{Key: cfg.Key}
			live(t, d, cfg, func(l *life) {
				done := spoil(d, func(b []byte) []byte { size = len(b) - 1; b[bit/8] ^= 1 << (bit % 8); return b })
				l.card(bit)
				l.wait(2 * time.Second)
				l.want(fmt.Sprintf("96B4%04X", bit))
				if c := l.reader.Counters(); !*done || c.Timeouts == 0 {
					t.Errorf("bit %d: %+v", bit, c)
				}
			})
		}
		if size < 15 {
			t.Errorf("a card's reply has %d bytes", size)
		}
	})
}

// A reply cut off at any byte is asked for again.
func TestCutAtEveryByte(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		for cut := 0; ; cut++ {
			size := 0
			d := &pd.Device{Key: cfg.Key}
			live(t, d, cfg, func(l *life) {
				spoil(d, func(b []byte) []byte { size = len(b); return b[:min(cut, size)] })
				l.card(cut)
				l.wait(2 * time.Second)
				l.want(fmt.Sprintf("96B4%04X", cut))
			})
			if cut >= size {
				break
			}
		}
	})
}

// Noise before a reply, and the same reply twice, are no reads of their own.
func TestNoiseAndGlue(t *testing.T) {
	dice := rand.New(rand.NewPCG(6, 1))
	noise := make([]byte, 300)
	for i := range noise {
		noise[i] = byte(dice.Uint32())
	}
	bothWays(t, func(t *testing.T, cfg Config) {
		for name, edit := range map[string]func([]byte) []byte{
			"noise before": func(b []byte) []byte { return append(bytes.Clone(noise), b...) },
			"false start":  func(b []byte) []byte { return append([]byte{som, replied, 0x40, 0}, b...) },
			"twice":        func(b []byte) []byte { return append(bytes.Clone(b), b...) },
			"marks":        func(b []byte) []byte { return append(bytes.Repeat([]byte{mark}, 40), b...) },
			"our own echo": func(b []byte) []byte {
				return append(appendFrame(nil, frame{crc: true, seq: 1, code: cmdPoll}, nil), b...)
			},
			"other address": func(b []byte) []byte {
				return append(appendFrame(nil, frame{addr: 5, reply: true, crc: true, seq: 1, code: repRaw, data: number(9)}, nil), b...)
			},
			"as checksum": func(b []byte) []byte {
				return appendFrame(nil, frame{reply: true, seq: b[4] & 3, code: repRaw, data: number(9)}, nil)
			},
			"handshake": func(b []byte) []byte {
				return appendFrame(nil, frame{reply: true, crc: true, seq: b[4] & 3, scs: scsCCrypt, block: []byte{1}, code: repRaw, data: number(9)}, nil)
			},
			"no reply code": func(b []byte) []byte {
				return append(appendFrame(nil, frame{reply: true, crc: true, seq: b[4] & 3, code: repNAK}, nil), b...)
			},
		} {
			t.Run(name, func(t *testing.T) {
				d := &pd.Device{Key: cfg.Key}
				live(t, d, cfg, func(l *life) {
					done := spoil(d, edit)
					l.card(1)
					l.wait(3 * time.Second)
					l.card(2)
					l.wait(3 * time.Second)
					l.want("96B40001", "96B40002")
					if !*done {
						t.Error("nothing was spoilt")
					}
				})
			})
		}
	})
}

// A reply that comes after the panel has asked again answers both: it is read
// once.
func TestLateReply(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		d := &pd.Device{Key: cfg.Key}
		live(t, d, cfg, func(l *life) {
			spoil(d, func(b []byte) []byte { time.Sleep(250 * time.Millisecond); return b })
			l.card(1)
			l.wait(2 * time.Second)
			l.card(2)
			l.wait(2 * time.Second)
			l.want("96B40001", "96B40002")
		})
	})
}

// A reply of another sequence, as one that was long under way, is counted and no
// answer.
func TestOtherSequence(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		for step := range byte(2) {
			d := &pd.Device{Key: cfg.Key}
			live(t, d, cfg, func(l *life) {
				spoil(d, func(b []byte) []byte {
					seq := (b[4]&3+step)%3 + 1
					return append(appendFrame(nil, frame{reply: true, crc: true, seq: seq, code: repRaw, data: number(9)}, nil), b...)
				})
				l.card(1)
				l.wait(2 * time.Second)
				l.want("96B40001")
				if c := l.reader.Counters(); c.CheckErrors != 1 || c.Timeouts != 0 {
					t.Errorf("%+v", c)
				}
			})
		}
	})
}

// Three replies in a row may be lost, and nothing is; the repeats are the same
// bytes.
func TestRepliesLost(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		d := &pd.Device{Key: cfg.Key}
		live(t, d, cfg, func(l *life) {
			lost := 0
			d.Spoil(func(b []byte, again bool) []byte {
				if lost < tries-1 && (again || len(b) >= 16) {
					lost++
					return nil
				}
				return b
			})
			l.card(1)
			l.wait(3 * time.Second)
			l.want("96B40001")
			if c := l.reader.Counters(); lost != tries-1 || c.Timeouts != tries-1 || c.Reopens != 0 {
				t.Errorf("%d lost, %+v", lost, c)
			}
		})
	})
}

// A reader that falls silent is offline within a second.
func TestSilent(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		l := live(t, &pd.Device{Key: cfg.Key}, cfg, func(l *life) {
			l.wait(time.Second)
			l.device.Mute(true)
			from := time.Now()
			<-l.over
			if took := time.Since(from); took > time.Second {
				t.Errorf("offline after %v", took)
			}
		})
		if !errors.Is(l.err, ErrSilent) {
			t.Errorf("ended with %v", l.err)
		}
	})
}

func TestBusy(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		l := live(t, &pd.Device{Key: cfg.Key}, cfg, func(l *life) {
			l.device.Busy(20)
			l.card(1)
			l.wait(5 * time.Second)
			l.want("96B40001")
			l.device.Busy(1000)
			from := time.Now()
			<-l.over
			if took := time.Since(from); took < busyMost || took > busyMost+time.Second {
				t.Errorf("given up after %v", took)
			}
		})
		if !errors.Is(l.err, ErrSilent) {
			t.Errorf("ended with %v", l.err)
		}
	})
}

// A reader that has rebooted is set up again, channel and all, and goes on.
func TestReboot(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		l := live(t, &pd.Device{Key: cfg.Key}, cfg, func(l *life) {
			for n := range 5 {
				l.wait(2 * calm)
				l.device.Reboot()
				l.card(n)
				l.wait(time.Second)
				l.want(fmt.Sprintf("96B4%04X", n))
				if l.device.Secure() == cfg.Clear {
					t.Errorf("secure is %t", l.device.Secure())
				}
			}
			if c := l.reader.Counters(); c.Reopens != 5 {
				t.Errorf("%+v", c)
			}
			d := l.device
			d.Spoil(func(b []byte, _ bool) []byte {
				if b[4]&3 == 2 {
					d.Reboot() // for ever
				}
				return b
			})
			<-l.over
		})
		if !errors.Is(l.err, ErrRestarts) {
			t.Errorf("ended with %v", l.err)
		}
	})
}

// A reader that hears only damage says NAK 1 and is asked again.
func TestNAKOfCheck(t *testing.T) {
	d := &pd.Device{}
	l := live(t, d, inClear, func(l *life) {
		var n atomic.Int64
		d.Spoil(func(b []byte, _ bool) []byte {
			if n.Add(1) <= 3 {
				return appendFrame(nil, frame{reply: true, crc: true, seq: b[4] & 3, code: repNAK, data: []byte{nakCheck}}, nil)
			}
			return b
		})
		l.wait(time.Second)
		l.card(1)
		l.wait(time.Second)
		l.want("96B40001")
		n.Store(-1000)
		<-l.over
	})
	if !errors.Is(l.err, ErrSilent) {
		t.Errorf("ended with %v", l.err)
	}
}

func TestChecksumReader(t *testing.T) {
	for _, cfg := range []Config{inClear, secured} {
		cfg.Checksum, cfg.Address = true, 0x65
		live(t, &pd.Device{Key: cfg.Key, Address: 0x65}, cfg, func(l *life) {
			l.card(1)
			l.wait(time.Second)
			l.want("96B40001")
		})
	}
}

// Babble without end is not a reader: Open gives up in bounded time.
func TestBabble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newLine(nil)
		dice := rand.New(rand.NewPCG(7, 7))
		var ends sync.WaitGroup
		ends.Go(func() { // ends with the line
			for b := []byte{0}; ; time.Sleep(time.Millisecond) {
				if b[0] = byte(dice.Uint32()); dice.IntN(8) == 0 {
					b[0] = som
				}
				if _, err := far.Write(b); err != nil {
					return
				}
			}
		})
		ends.Go(func() { // takes what the panel sends; ends with the line
			b := make([]byte, 64)
			for {
				if _, err := far.Read(b); err != nil {
					return
				}
			}
		})
		from := time.Now()
		if _, err := Open(t.Context(), near, inClear); !errors.Is(err, ErrSilent) {
			t.Errorf("opened on babble: %v", err)
		}
		if took := time.Since(from); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
		_ = far.Close()
		ends.Wait()
	})
}

// On real lines: at another speed all is noise, and what nobody takes off the
// line blocks nothing.
func TestPTYWrongBaudAndBlocked(t *testing.T) {
	open := func(far *sim.PTY, path string) error {
		defer far.Close()
		p, err := port.Open(t.Context(), port.Spec{Path: path, Baud: 9600})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err = Open(ctx, p, inClear)
		return err
	}
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	d := &pd.Device{Wire: func(b []byte, _ bool) []byte {
		for i := range b {
			b[i] = b[i]<<4 | b[i]&0x0F // as a UART at half the speed might
		}
		return b
	}}
	go func() { _ = d.Serve(far) }() // ends with the pty
	if err := open(far, path); !errors.Is(err, ErrSilent) {
		t.Errorf("wrong baud: %v", err)
	}
	if far, path, err = sim.OpenPTY(); err != nil {
		t.Fatal(err)
	}
	if err := open(far, path); !errors.Is(err, ErrSilent) {
		t.Errorf("a peer that takes nothing: %v", err)
	}
}
