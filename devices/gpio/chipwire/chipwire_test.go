package chipwire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"boothd/devices/devicestest"
	"boothd/devices/gpio/chipwire"
)

func TestLongMessageIsNotWritten(t *testing.T) {
	if b, err := chipwire.Append(nil, chipwire.Message{Op: chipwire.Claim, Line: strings.Repeat("x", chipwire.LineMost)}); err == nil || len(b) != 0 {
		t.Errorf("Append writes %d bytes, %v", len(b), err)
	}
	line, err := chipwire.Append(nil, chipwire.Message{Op: chipwire.Claim})
	if err != nil {
		t.Fatal(err)
	}
	most := chipwire.Message{Op: chipwire.Claim, Line: strings.Repeat("x", chipwire.LineMost-len(line)-len(`,"line":""`))}
	b, err := chipwire.Append(nil, most)
	if err != nil || len(b) != chipwire.LineMost {
		t.Fatalf("Append = %d bytes, %v; want %d", len(b), err, chipwire.LineMost)
	}
	if m, err := chipwire.NewReader(bytes.NewReader(b)).Read(); err != nil || m != most {
		t.Errorf("the longest line is not read: %v", err)
	}
}

// FuzzRead: what is read survives a round trip, and a reader comes to an end
// within as many messages as there are lines.
func FuzzRead(f *testing.F) {
	seed := chipwire.Message{Op: chipwire.Claim, ID: 2, Line: "GPIO5", Consumer: "boothd:booth_loop", ActiveLow: true, Debounce: 50 * time.Millisecond}
	b, err := chipwire.Append(nil, seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"op":"hello","version":1,"stamp":1}` + "\n" + `{"op":"edge","line":"GPIO5","active":true,"stamp":2,"seq":7}` + "\n"))
	f.Add([]byte("{}\n\n"))
	f.Add(bytes.Repeat([]byte{'x'}, chipwire.LineMost+1))
	f.Add([]byte(`{"op":"` + strings.Repeat(`\u0041`, 600) + `"}` + "\n"))
	f.Add([]byte(`{"x":[` + strings.Repeat("{},", 1200) + `0]}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		devicestest.Frugal(t, func() (lines int) {
			r := chipwire.NewReader(bytes.NewReader(b))
			for {
				if _, err := r.Read(); err != nil {
					return lines
				}
				lines++
			}
		})
		r := chipwire.NewReader(bytes.NewReader(b))
		for n := 0; ; n++ {
			m, err := r.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			if n > bytes.Count(b, []byte("\n"))+1 {
				t.Fatal("more messages than lines")
			}
			if err != nil {
				return // the caller hangs up
			}
			line, err := chipwire.Append(nil, m)
			if err != nil {
				continue // escaping made it longer than a line may be
			}
			again, err := chipwire.NewReader(bytes.NewReader(line)).Read()
			if err != nil || again != m {
				t.Fatalf("%+v does not survive a round trip: %+v, %v", m, again, err)
			}
		}
	})
}
