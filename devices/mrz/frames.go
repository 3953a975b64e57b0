package mrz

import "fmt"

// Frames cuts a document reader's bytes into documents, however they were split
// in transit: lines ended by CR, LF or both, all lines in one, with STX and ETX
// around or without. The style tells itself. What is held of a document is
// wiped as soon as it is read or dropped. The zero Frames is ready; it belongs
// to one goroutine.
type Frames struct {
	// XOR says that the reader sends a byte after ETX: the exclusive or of all
	// bytes from after STX up to ETX. Then only framed documents are read.
	XOR bool

	text   [maxText]byte // whole lines of the document so far, each ended by CR
	n      int
	width  int // of those lines
	lines  int
	line   [maxLine]byte // the line so far
	ln     int
	long   bool // the line is longer than any
	spoilt bool // this document's error was told

	framed, summed bool // within STX and ETX; after ETX, before its sum
	xor            byte
	read           Document // with XOR: whole, and not yet to be believed
}

// Push takes what one read of the port gave and calls yield for every document
// it completes, in order, or ErrUnreadable, once for what belongs together.
func (f *Frames) Push(b []byte, yield func(Document, error)) {
	for _, c := range b {
		f.push(c, yield)
	}
}

func (f *Frames) push(c byte, yield func(Document, error)) {
	if f.summed {
		f.sum(c, yield)
		return
	}
	if f.XOR && !f.framed && c != stx && c != nak {
		return
	}
	f.xor ^= c
	switch c {
	case stx:
		f.end(yield) // what stands before a start was cut off
		f.framed, f.xor = true, 0
	case etx:
		f.summed, f.framed = f.XOR, false
		if !f.summed {
			f.endLine(yield)
			f.end(yield)
		}
	case nak:
		f.spoil(yield, "the reader says so")
		f.end(yield)
	case '\r', '\n':
		f.endLine(yield)
	default:
		if f.ln == maxLine {
			f.long = true
			return
		}
		f.line[f.ln] = c
		f.ln++
	}
}

// sum takes the byte after ETX.
func (f *Frames) sum(c byte, yield func(Document, error)) {
	f.endLine(yield)
	switch {
	case c != f.xor:
		f.spoil(yield, "its sum is another")
	case f.read.Kind != 0 && f.n == 0 && !f.spoilt:
		d := f.read
		f.read = Document{}
		yield(d, nil)
	}
	f.end(yield)
}

// Silence ends what is held. The caller calls it when nothing came for Gap.
func (f *Frames) Silence(yield func(Document, error)) {
	if !f.XOR {
		f.endLine(yield) // the last line's end may be missing
	}
	f.end(yield)
}

// Begun reports whether some of a document has come.
func (f *Frames) Begun() bool { return f.n+f.ln > 0 || f.long || f.framed || f.summed }

// Drop wipes what is held and tells how many bytes that were.
func (f *Frames) Drop() int {
	n := f.n + f.ln
	f.dropLine()
	f.dropText()
	f.spoilt, f.framed, f.summed, f.xor, f.read = false, false, false, 0, Document{}
	return n
}

func (f *Frames) dropLine() {
	clear(f.line[:f.ln])
	f.ln, f.long = 0, false
}

func (f *Frames) dropText() {
	clear(f.text[:f.n])
	f.n, f.width, f.lines = 0, 0, 0
}

// end is the end of a document: what is still held is no whole one.
func (f *Frames) end(yield func(Document, error)) {
	if f.n+f.ln > 0 || f.long || f.read.Kind != 0 {
		f.spoil(yield, "it was cut off")
	}
	f.Drop()
}

// spoil tells once that a document is unreadable.
func (f *Frames) spoil(yield func(Document, error), why string) {
	f.dropLine()
	f.dropText()
	if !f.spoilt {
		f.spoilt = true
		yield(Document{}, fmt.Errorf("%w: %s", ErrUnreadable, why))
	}
}

// endLine adds a line to its document. Lines of another width begin another:
// the one before was cut off. An empty line tells nothing, since it may be the
// second half of CR LF.
func (f *Frames) endLine(yield func(Document, error)) {
	l := line(f.line[:f.ln])
	width := len(l)
	switch {
	case f.long:
		f.spoil(yield, "a line is longer than any")
		return
	case width == 0:
		f.dropLine()
		return
	case needs(width) == 0:
		f.spoil(yield, fmt.Sprintf("a line has %d characters", width))
		return
	case f.lines > 0 && width != f.width:
		held := f.ln
		f.ln = 0 // the line stays
		f.spoil(yield, "its lines differ in width")
		f.ln = held
	}
	f.n += copy(f.text[f.n:], l)
	f.text[f.n] = '\r'
	f.n, f.width, f.lines = f.n+1, width, f.lines+1
	f.dropLine()
	if f.lines < needs(width) {
		return
	}
	d, err := Parse(f.text[:f.n])
	f.dropText()
	switch {
	case err == nil && f.XOR:
		f.read = d
	case err == nil:
		f.spoilt = false
		yield(d, nil)
	case !f.spoilt:
		f.spoilt = true
		yield(Document{}, err)
	}
}
