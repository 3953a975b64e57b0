package mrz

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"boothd/devices/devicestest"
)

// docs feeds pieces, then silence, and tells what came: kinds, failed checks,
// or "unreadable".
func docs(f *Frames, pieces ...string) (got []string) {
	add := func(d Document, err error) { got = append(got, name(d, err)) }
	for _, p := range pieces {
		f.Push([]byte(p), add)
	}
	f.Silence(add)
	return got
}

func name(d Document, err error) string {
	switch {
	case errors.Is(err, ErrUnreadable):
		return "unreadable"
	case err != nil:
		return err.Error()
	case d.Failed != 0:
		return d.Kind.String() + " fails " + d.Failed.String()
	}
	return d.Kind.String()
}

func framed(doc string) string { return "\x02" + doc + "\x03" }

// summed frames a document with its exclusive or.
func summed(doc string) string {
	var x byte
	for _, c := range []byte(doc + "\x03") {
		x ^= c
	}
	return framed(doc) + string([]byte{x})
}

// TestFrames has every style of the page, whole, split and damaged; the bytes
// are derived.
func TestFrames(t *testing.T) {
	one := func(s string) string { return strings.ReplaceAll(s, "\r", "") + "\r" }
	bad := strings.Replace(passport, "L898", "L89B", 1)
	tests := []struct {
		name string
		xor  bool
		in   []string
		want []string
	}{
		{"lines", false, []string{passport + "\r"}, []string{"TD3"}},
		{"lines, silence instead of a second CR", false, []string{passport}, []string{"TD3"}},
		{"lines, the last without CR", false, []string{strings.TrimSuffix(card, "\r")}, []string{"TD1"}},
		{"lines with CR LF", false, []string{strings.ReplaceAll(card, "\r", "\r\n") + "\r\n"}, []string{"TD1"}},
		{"lines with LF", false, []string{strings.ReplaceAll(id2, "\r", "\n")}, []string{"TD2"}},
		{"two at once", false, []string{passport + "\r" + card + "\r"}, []string{"TD3", "TD1"}},
		{"three without a pause", false, []string{visaA + visaB + card}, []string{"MRV-A", "MRV-B", "TD1"}},
		{"split", false, []string{passport[:1], passport[1:44], "", passport[44:46], passport[46:]}, []string{"TD3"}},
		{"framed", false, []string{framed(passport), framed(card)}, []string{"TD3", "TD1"}},
		{"framed, the last line without CR", false, []string{framed(strings.TrimSuffix(passport, "\r"))}, []string{"TD3"}},
		{"concatenated", false, []string{one(passport) + one(id2) + one(card)}, []string{"TD3", "TD2", "TD1"}},
		{"concatenated and framed", false, []string{framed(one(passport))}, []string{"TD3"}},
		{"lower case and blanks", false, []string{strings.ToLower(strings.ReplaceAll(passport, "<", " "))}, []string{"TD3"}},
		{"blanks around lines", false, []string{" " + strings.ReplaceAll(passport, "\r", " \r ")}, []string{"TD3"}},
		{"a wrong digit is a document", false, []string{bad}, []string{"TD3 fails number, composite"}},
		{"question marks", false, []string{"?????\r"}, []string{"unreadable"}},
		{"question marks without CR", false, []string{"???"}, []string{"unreadable"}},
		{"question mark in a line", false, []string{strings.Replace(passport, "ANNA", "AN?A", 1)}, []string{"unreadable"}},
		{"NAK", false, []string{"\x15"}, []string{"unreadable"}},
		{"NAK twice", false, []string{"\x15\x15"}, []string{"unreadable", "unreadable"}},
		{"NAK, then a document", false, []string{"\x15" + passport}, []string{"unreadable", "TD3"}},
		{"half a document", false, []string{passport[:60]}, []string{"unreadable"}},
		{"two lines of a card, then a passport", false, []string{card[:62] + passport}, []string{"unreadable", "TD3"}},
		{"one error for what belongs together", false, []string{"garbage\rmore\r" + card[:31] + "?\r"}, []string{"unreadable"}},
		{"a document after garbage", false, []string{"garbage\r" + card + "garbage\r"}, []string{"unreadable", "TD1", "unreadable"}},
		{"a start cuts what was left", false, []string{card[:40] + framed(passport)}, []string{"unreadable", "TD3"}},
		{"an end too early", false, []string{framed(passport[:50]) + framed(passport)}, []string{"unreadable", "TD3"}},
		{"longest line", false, []string{" " + strings.Repeat("<", 90) + "     \r"}, []string{"unreadable"}},
		{"endless line", false, []string{strings.Repeat("<", 5000), "\r", card}, []string{"unreadable", "TD1"}},
		{"endless lines", false, []string{strings.Repeat("A\r", 5000) + card}, []string{"unreadable", "TD1"}},
		{"nothing", false, []string{"\r\n\r\n\x03\x02\x03"}, nil},
		{"summed", true, []string{summed(passport) + summed(one(card))}, []string{"TD3", "TD1"}},
		{"summed, the last line without CR", true, []string{summed(strings.TrimSuffix(passport, "\r"))}, []string{"TD3"}},
		{"summed, a wrong digit", true, []string{summed(bad)}, []string{"TD3 fails number, composite"}},
		{"another sum", true, []string{framed(passport) + "\x02" + summed(card)}, []string{"unreadable", "TD1"}},
		{"another sum, and nothing framed", true, []string{"\x02\x03x"}, []string{"unreadable"}},
		{"sum missing", true, []string{framed(passport)}, []string{"unreadable"}},
		{"no frame where one is due", true, []string{passport + summed(card)}, []string{"TD1"}},
		{"an end is missing", true, []string{"\x02" + passport + summed(card)}, []string{"unreadable", "TD1"}},
		{"summed garbage", true, []string{summed("garbage\r")}, []string{"unreadable"}},
		{"summed garbage after a document", true, []string{summed(passport + "garbage\r")}, []string{"unreadable"}},
		{"NAK where a frame is due", true, []string{"\x15"}, []string{"unreadable"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := Frames{XOR: tt.xor}
			if got := docs(&f, tt.in...); !slices.Equal(got, tt.want) {
				t.Errorf("whole: %q, want %q", got, tt.want)
			}
			if got := docs(&f, strings.Split(strings.Join(tt.in, ""), "")...); !slices.Equal(got, tt.want) {
				t.Errorf("byte by byte: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestI7_FramesWipe looks into the buffers after every way a document may end.
func TestI7_FramesWipe(t *testing.T) {
	for _, in := range []string{passport, card[:70], "\x02" + card[:50], summed(passport), passport[:60] + "?\r", framed(passport)[:92]} {
		for _, xor := range []bool{false, true} {
			f := Frames{XOR: xor}
			docs(&f, in)
			if f != (Frames{XOR: xor, xor: f.xor}) {
				t.Errorf("after %.20q... something is left: %+v", in, f)
			}
		}
	}
	var f Frames
	f.Push([]byte(passport[:50]), nil)
	if n := f.Drop(); n != 50 || f.Drop() != 0 || f != (Frames{}) {
		t.Errorf("Drop = %d, want 50, then 0 and nothing left", n)
	}
}

func TestNoAllocationPerByte(t *testing.T) {
	for _, xor := range []bool{false, true} {
		f, out := Frames{XOR: xor}, func(Document, error) {}
		devicestest.NoAllocationPerByte(t, "<9", func(b []byte) { f.Push(b, out) })
	}
}

func FuzzFrames(f *testing.F) {
	for _, s := range []string{passport, card, long, id2, id2long, visaA, visaB, framed(passport), summed(card), "?\r", "\x15", strings.ToLower(nexus)} {
		f.Add([]byte(s), uint8(3), strings.Contains(s, "\x03"))
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8, xor bool) {
		devicestest.Frugal(t, func() (frames int) {
			f := Frames{XOR: xor}
			f.Push(b, func(Document, error) { frames++ })
			f.Silence(func(Document, error) { frames++ })
			return frames
		})
		whole, split := Frames{XOR: xor}, Frames{XOR: xor}
		want, got := docs(&whole, string(b)), []string(nil)
		var pieces []string
		for p := range slices.Chunk(b, int(step)+1) {
			pieces = append(pieces, string(p))
		}
		if got = docs(&split, pieces...); !slices.Equal(got, want) {
			t.Fatalf("split every %d: %q, whole: %q", int(step)+1, got, want)
		}
		if whole.n+whole.ln != 0 {
			t.Fatal("silence left something behind")
		}
		d, err := Parse(b)
		switch {
		case err != nil && (d != (Document{}) || !errors.Is(err, ErrUnreadable)):
			t.Fatal("an error came with half a document, or another error")
		case err == nil && d.Failed != 0 && d != (Document{Kind: d.Kind, Failed: d.Failed}):
			t.Fatal("a document that contradicts itself names somebody")
		case err == nil && d.Failed == 0 && (d.Number == "" || d.Issuer == ""):
			t.Fatal("a document names nobody")
		case err == nil && !xor && b[0] != stx && len(docs(&Frames{}, string(b))) == 0:
			t.Fatal("what Parse reads, Frames does not")
		}
	})
}

// FuzzMisread shows that one misread character of a check's fields never gives
// another number: the weights 7, 3 and 1 are coprime to 10, so a check misses
// only characters that are worth the same modulo 10.
func FuzzMisread(f *testing.F) {
	f.Add(uint8(50), uint8('B'))
	f.Add(uint8(46), uint8('O'))
	f.Fuzz(func(t *testing.T, at, c uint8) {
		text := []byte(passport)
		i := int(at) % len(text)
		was := plain(text[i])
		text[i] = c
		d, err := Parse(text)
		if err != nil || d.Failed != 0 || d.Number == "L898902C3" {
			return
		}
		if is := plain(c); is == 0 || value(is)%10 != value(was)%10 {
			t.Fatalf("%c for %c at %d gives another number", c, was, i)
		}
	})
}
