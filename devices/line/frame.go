package line

import (
	"bytes"
	"time"
)

// maxLength is the longest report taken if the configuration names none.
// (Licence plate readers, section 1.)
const maxLength = 512

// framer cuts reports out of a stream. It holds at most one report, and is as
// pure as the parser: it reads no clock.
type framer struct {
	start, end []byte // either may be empty; without end, silence ends a report
	most       int
	blank      bool // a report without a byte counts
	// check, if set, tells whether a report is whole. It is asked where the
	// check value is one bare byte, which may look like a start or an end.
	check func(report []byte) bool
	// tail is how many bytes follow the end and belong to the report, which has
	// its end in it then. Those of a report that is not whole are looked at again.
	tail  int
	whole func(report []byte) bool

	buf     []byte
	begun   time.Time // arrival of the report's first byte
	inside  bool      // a start was seen
	skip    bool      // the rest of a report that was given up, until its end
	owed    int       // bytes of the tail that have not come
	late    bool      // what buf ends with looked like an end and may be a check byte
	cut     int       // where in buf a new report begins, if a start in it was one
	noisy   bool      // something other than white space stands before the start
	dropped uint64    // reports given up, and stretches of noise before a start
}

// emit takes a report, which it must not keep, and when its first byte came.
type emit func(report []byte, begun time.Time)

// feed takes bytes that came at one time and hands on every whole report.
func (f *framer) feed(b []byte, at time.Time, out emit) {
	for _, c := range b {
		if f.owed > 0 {
			f.owe(c, at, out)
			continue
		}
		if f.late {
			f.late = false
			if f.buf = append(f.buf, c); bytes.HasSuffix(f.buf, f.end) {
				f.finish(len(f.buf)-len(f.end), out)
				continue
			}
			f.finish(len(f.buf)-1-len(f.end), out) // it was the end: c belongs to the next
		}
		f.put(c, at, out)
	}
}

func (f *framer) put(c byte, at time.Time, out emit) {
	if len(f.buf) == 0 && len(f.start) == 0 {
		f.begun = at
	}
	f.buf = append(f.buf, c)
	switch {
	case len(f.start) > 0 && bytes.HasSuffix(f.buf, f.start):
		f.begin(at, out)
	case len(f.start) > 0 && !f.inside:
		f.buf = keep(f.buf, len(f.start)) // only a start matters
		if !f.noisy && c > ' ' && bytes.IndexByte(f.start, c) < 0 {
			f.noisy = true
			f.dropped++
		}
	case len(f.end) > 0 && bytes.HasSuffix(f.buf, f.end):
		size := len(f.buf) - len(f.end)
		if f.cut == size {
			f.cut = 0 // nothing after that start: it was a check byte
		}
		if f.tail > 0 && !f.skip {
			f.owed = f.tail
			return
		}
		if f.check != nil && !f.skip && !f.check(f.buf[f.cut:size]) {
			f.late = true
			return
		}
		f.finish(size, out)
	case f.skip:
		f.buf = keep(f.buf, len(f.end))
	case f.cut > 0 && len(f.buf)-f.cut >= max(1, len(f.end)):
		f.dropped++ // a start indeed: what came before it was cut off
		f.buf, f.cut, f.begun = keep(f.buf, len(f.buf)-f.cut), 0, at
	case len(f.buf) > f.most+len(f.end):
		f.drop()
	}
}

// owe takes a byte behind the end. If it is not of this report it is of the next
// one.
func (f *framer) owe(c byte, at time.Time, out emit) {
	f.buf = append(f.buf, c)
	if f.owed--; f.owed > 0 {
		return
	}
	tail := append([]byte(nil), f.buf[len(f.buf)-f.tail:]...)
	whole := f.whole(f.buf)
	f.finish(len(f.buf), out)
	if !whole {
		for _, c := range tail {
			f.put(c, at, out)
		}
	}
}

// begin takes a start. Where only silence ends a report, the next start does
// too; else what came before it was cut off, or is noise.
func (f *framer) begin(at time.Time, out emit) {
	held := f.inside && len(f.buf) > len(f.start)
	switch {
	case held && len(f.end) == 0:
		f.finish(len(f.buf)-len(f.start), out)
	case held && f.check != nil && f.cut == 0:
		f.cut = len(f.buf)
		return
	case held:
		f.dropped++
	}
	f.buf, f.cut, f.inside, f.noisy, f.begun = f.buf[:0], 0, true, false, at
}

// keep moves the last n bytes to the front, so that a buffer does not wander
// through memory.
func keep(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	return b[:copy(b, b[len(b)-n:])]
}

// finish hands on the report of the first size bytes.
func (f *framer) finish(size int, out emit) {
	report, skip := f.buf[f.cut:size], f.skip
	f.buf, f.cut, f.inside, f.skip = f.buf[:0], 0, false, false
	switch {
	case skip:
	case len(report) > f.most+f.tail+len(f.end)*min(f.tail, 1): // by less than an end, or put has dropped it
		f.dropped++
	case len(report) > 0 || f.blank:
		out(report, f.begun)
	}
}

// quiet says that the line has been silent: the end of a report that has no
// end of its own, else of one that was cut off.
func (f *framer) quiet(out emit) {
	switch {
	case f.owed > 0:
		f.owed = 0
		f.dropped++
	case f.late:
		f.late = false
		f.finish(len(f.buf)-len(f.end), out)
		return
	case len(f.end) == 0 && (f.inside || len(f.start) == 0) && len(f.buf) > 0:
		f.finish(len(f.buf), out)
		return
	case f.inside || len(f.start) == 0 && len(f.buf) > 0 && !f.skip:
		f.dropped++
	}
	f.buf, f.cut, f.inside, f.skip = f.buf[:0], 0, false, false // a report begins anew
}

// drop gives up what is held. The rest of a report without a start is dropped
// with its end, since nothing tells where the next one begins.
func (f *framer) drop() {
	f.skip = len(f.start) == 0 // to its end, or to the next silence
	f.buf, f.cut, f.inside, f.noisy = f.buf[:0], 0, false, true
	f.dropped++
}
