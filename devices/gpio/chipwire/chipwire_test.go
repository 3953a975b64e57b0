package chipwire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestLongMessageIsNotWritten(t *testing.T) {
	if b, err := Append(nil, Message{Op: Claim, Line: strings.Repeat("x", LineMost)}); err == nil || len(b) != 0 {
		t.Errorf("Append writes %d bytes, %v", len(b), err)
	}
	line, err := Append(nil, Message{Op: Claim})
	if err != nil {
		t.Fatal(err)
	}
	most := Message{Op: Claim, Line: strings.Repeat("x", LineMost-len(line)-len(`,"line":""`))}
	b, err := Append(nil, most)
	if err != nil || len(b) != LineMost {
		t.Fatalf("Append = %d bytes, %v; want %d", len(b), err, LineMost)
	}
	if m, err := NewReader(bytes.NewReader(b)).Read(); err != nil || m != most {
		t.Errorf("the longest line is not read: %v", err)
	}
}

// FuzzRead: what is read survives a round trip, and a reader comes to an end
// within as many messages as there are lines.
func FuzzRead(f *testing.F) {
	seed := Message{Op: Claim, ID: 2, Line: "GPIO5", Consumer: "boothd:booth_loop", ActiveLow: true, Debounce: 50 * time.Millisecond}
	b, err := Append(nil, seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"op":"hello","version":1,"stamp":1}` + "\n" + `{"op":"edge","line":"GPIO5","active":true,"stamp":2,"seq":7}` + "\n"))
	f.Add([]byte("{}\n\n"))
	f.Add(bytes.Repeat([]byte{'x'}, LineMost+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
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
			line, err := Append(nil, m)
			if err != nil {
				continue // escaping made it longer than a line may be
			}
			again, err := NewReader(bytes.NewReader(line)).Read()
			if err != nil || again != m {
				t.Fatalf("%+v does not survive a round trip: %+v, %v", m, again, err)
			}
		}
	})
}
