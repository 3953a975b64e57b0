package printer

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/devicestest"
)

// saying is a printer's line: each write of the host makes it say the next of
// what it has to say, whatever was asked.
type saying struct {
	next [][]byte
	said []byte // not yet read
	all  []byte // since the host last sent something else than a question
}

func (s *saying) Read(b []byte) (int, error) {
	if len(s.said) == 0 {
		time.Sleep(100 * time.Millisecond)
		return 0, nil
	}
	n := copy(b, s.said)
	s.said = s.said[n:]
	return n, nil
}

func (s *saying) Write(b []byte) (int, error) {
	if b[0] != dle {
		s.all = nil
	}
	if len(s.next) > 0 {
		s.said = append(s.said, s.next[0]...)
		s.all = append(s.all, s.next[0]...)
		s.next = s.next[1:]
	}
	return len(b), nil
}

func (s *saying) Close() error { return nil }

// FuzzStatus: whatever a printer says, asking and printing end in their time and
// cost little; a receipt is printed only if the printer said that it came to its
// end; and what is said to be wrong is what some status says. In the input FF
// parts what is said to one write from what is said to the next.
func FuzzStatus(f *testing.F) {
	ready := []byte("\x12\xff\x12\xff\x12\xff\x12\xff")
	open := append([]byte("\x37\x25\x00\xff"), ready...)
	open = append(open, '\xff')
	for _, s := range [][]byte{
		nil, open, bytes.Repeat([]byte{0x12}, 99), bytes.Repeat([]byte{0x11, 0x13, 0x92}, 40),
		bytes.Join([][]byte{open, ready, {0x00}}, nil),                                                     // printed
		bytes.Join([][]byte{open, ready, {0x03}}, nil),                                                     // and the roll near its end
		bytes.Join([][]byte{open, []byte("\x1a\xff\x32\xff\x12\xff\x7e")}, nil),                            // out of paper
		bytes.Join([][]byte{open, ready, []byte("\xff\x1a\xff\x16\xff\x12\xff\x12\xff\x37\x25\x00")}, nil), // the cover is opened while it prints
		bytes.Join([][]byte{open, []byte("\x00\x12\xff\x14\x00\x00\xff\x12\xff\x12")}, nil),                // automatic status
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		synctest.Test(t, func(t *testing.T) {
			line := &saying{next: bytes.Split(said, []byte{0xFF})}
			var told Faults
			cfg := answers
			cfg.Health = func(f Faults) { told = f }
			begun := time.Now()
			devicestest.Frugal(t, func() (receipts int) {
				p, err := Open(t.Context(), line, cfg)
				if err != nil {
					silent(t, err)
					return 0
				}
				err = p.Print(t.Context(), []string{"A"})
				if ended := bytes.ContainsFunc(line.all, func(r rune) bool { return r < 0x80 && isPaper(byte(r)) }); err == nil && !ended {
					t.Errorf("printed, by the word of %X", line.all)
				}
				silent(t, err)
				faults, err := p.Status(t.Context())
				silent(t, err)
				if err == nil && faults != told {
					t.Errorf("%s is wrong, and %s was told", faults, told)
				}
				for _, b := range said {
					for n := 1; n <= questions && isStatus(b); n++ {
						faults &^= faultsOf(n, b)
					}
				}
				if faults != 0 {
					t.Errorf("%s is wrong, as no status says", faults)
				}
				if c := p.Counters(); c.Bytes > uint64(len(said)) || c.Frames+c.CheckErrors > c.Bytes {
					t.Errorf("%d bytes, counted %+v", len(said), c)
				}
				return 1
			})
			if took := time.Since(begun); took > 10*time.Second+45*time.Second+4*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	})
}

// silent checks how a printer that says anything may end.
func silent(t *testing.T, err error) {
	t.Helper()
	var not NotReady
	if err != nil && !errors.Is(err, ErrSilent) && !errors.As(err, &not) {
		t.Error(err)
	}
}
