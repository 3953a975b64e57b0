package printer

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script is a far end that answers by hand: answer is given the last three
// bytes that came and everything before.
func script(t *testing.T, answer func(say func(...byte), last string, all []byte), act func(p pipe)) (heard []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		out := make(chan byte, 64) // what a line's buffer holds
		heardAll := make(chan struct{})
		go func() {
			for c := range out {
				if _, err := far.Write([]byte{c}); err != nil {
					continue // the line has ended
				}
			}
		}()
		say := func(b ...byte) {
			for _, c := range b {
				out <- c
			}
		}
		go func() {
			defer close(heardAll)
			var one [1]byte
			for {
				if _, err := far.Read(one[:]); err != nil {
					return
				}
				heard = append(heard, one[0])
				answer(say, string(heard[max(0, len(heard)-3):]), heard)
			}
		}()
		act(pipe{near})
		_ = near.Close() // it may be closed
		<-heardAll
		close(out)
	})
	return heard
}

func status(last string) (n int, ok bool) {
	if len(last) == 3 && last[0] == dle && last[1] == eot {
		return int(last[2]), true
	}
	return 0, false
}

var answers = Config{Name: "slip", Language: ESCPOS, Answers: true}

// A printer that takes its time is waited for, and the answer to the receipt
// before does not stand for this one's.
func TestSlowPrinterIsWaitedFor(t *testing.T) {
	const slow = 2500 * time.Millisecond
	script(t, func(say func(...byte), last string, _ []byte) {
		if n, ok := status(last); ok {
			say(answerOf(n, 0))
		}
		if last == "\x1dr\x01" {
			time.AfterFunc(slow, func() { say(0) })
		}
	}, func(w pipe) {
		p, err := Open(t.Context(), w, answers)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			began := time.Now()
			if err := p.Print(t.Context(), receipt); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < slow || took > slow+lookEvery {
				t.Errorf("it took %v, want %v", took, slow)
			}
		}
	})
}

// The end of the receipt may be told while the printer is asked how it is.
func TestEndAmongStatuses(t *testing.T) {
	due := false
	script(t, func(say func(...byte), last string, _ []byte) {
		if n, ok := status(last); ok {
			if due {
				say(0)
				due = false
			}
			say(answerOf(n, 0))
		}
		due = due || last == "\x1dr\x01"
	}, func(w pipe) {
		p, err := Open(t.Context(), w, answers)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := p.Print(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*lookEvery {
			t.Errorf("it took %v", took)
		}
	})
}

// A receipt of which the end is never told is not printed, and forgotten.
func TestEndNeverTold(t *testing.T) {
	heard := script(t, func(say func(...byte), last string, _ []byte) {
		if n, ok := status(last); ok {
			say(answerOf(n, 0))
		}
	}, func(w pipe) {
		p, err := Open(t.Context(), w, answers)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := p.Print(t.Context(), receipt); !errors.Is(err, ErrSilent) {
			t.Errorf("Print = %v, want %v", err, ErrSilent)
		}
		if took := time.Since(began); took < printWait || took > printWait+2*lookEvery {
			t.Errorf("it took %v, want %v", took, printWait)
		}
	})
	if !bytes.HasSuffix(heard, []byte(clearBuffers)) {
		t.Errorf("the printer heard %q at last, want that it shall forget", heard[len(heard)-12:])
	}
}

// TestI7_NothingIsSentToAPrinterThatIsNotReady: its buffer is no place for a
// receipt.
func TestI7_NothingIsSentToAPrinterThatIsNotReady(t *testing.T) {
	heard := script(t, func(say func(...byte), last string, _ []byte) {
		if n, ok := status(last); ok {
			say(answerOf(n, PaperOut))
		}
	}, func(w pipe) {
		p, err := Open(t.Context(), w, answers)
		if err != nil {
			t.Fatal(err)
		}
		var why NotReady
		if err := p.Print(t.Context(), receipt); !errors.As(err, &why) {
			t.Errorf("Print = %v, want %v", err, NotReady{PaperOut})
		}
	})
	for _, l := range receipt {
		if l != "" && strings.Contains(string(heard), l+"\n") {
			t.Errorf("the printer heard %q", l)
		}
	}
}

// TestI7_OpenForgets: what a former owner left in the printer does not come out
// for a traveller of this one.
func TestI7_OpenForgets(t *testing.T) {
	play(t, &Sim{}, func(b *bench) {
		if err := b.sim.Set(CoverOpen); err != nil {
			t.Fatal(err)
		}
		if _, err := b.port.Write([]byte("OLD\n\x1bd\x04")); err != nil {
			t.Fatal(err)
		}
		p := b.open(Config{Language: ESCPOS, Answers: true})
		if err := b.sim.Set(0); err != nil {
			t.Fatal(err)
		}
		if err := p.Print(b.t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
		b.want(receipt)
	})
}

// One answer lost is no silence.
func TestAskedTwice(t *testing.T) {
	asked := map[int]int{}
	script(t, func(say func(...byte), last string, _ []byte) {
		if n, ok := status(last); ok {
			if asked[n]++; asked[n] > 1 {
				say(answerOf(n, PaperLow))
			}
		}
	}, func(w pipe) {
		p, err := Open(t.Context(), w, answers)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := p.Status(t.Context()); f != PaperLow || err != nil {
			t.Errorf("Status = %s, %v, want %s", f, err, PaperLow)
		}
	})
}
