package line

import "bytes"

// maxLength is the longest report taken if the configuration names none.
const maxLength = 512

// framer cuts reports out of a stream. It holds at most one report.
type framer struct {
	start, end []byte // either may be empty; without end, silence ends a report
	most       int

	buf     []byte
	inside  bool   // a start was seen
	skip    bool   // the rest of a report that was given up, until its end
	dropped uint64 // reports given up: too long, or cut off by a new start
}

// feed takes bytes and gives every whole report to emit, which must not keep it.
func (f *framer) feed(b []byte, emit func(report []byte)) {
	for _, c := range b {
		f.buf = append(f.buf, c)
		switch {
		case len(f.start) > 0 && bytes.HasSuffix(f.buf, f.start):
			// A new beginning: what came before it was cut off, or noise.
			if f.inside && len(f.buf) > len(f.start) {
				f.dropped++
			}
			f.buf, f.inside = f.buf[:0], true
		case len(f.start) > 0 && !f.inside:
			f.buf = f.buf[max(0, len(f.buf)-len(f.start)):] // only a start matters
		case len(f.end) > 0 && bytes.HasSuffix(f.buf, f.end):
			report := f.buf[:len(f.buf)-len(f.end)]
			skip := f.skip
			f.buf, f.inside, f.skip = f.buf[:0], false, false
			if len(report) > 0 && !skip {
				emit(report)
			}
		case f.skip:
			f.buf = f.buf[max(0, len(f.buf)-len(f.end)):]
		case len(f.buf) > f.most+len(f.end):
			f.drop()
		}
	}
}

// quiet says that the line has been silent: the end of a report that has no
// end of its own, else of one that was cut off.
func (f *framer) quiet(emit func(report []byte)) {
	if len(f.end) == 0 {
		report := f.buf
		f.buf, f.inside = f.buf[:0], false
		if len(report) > 0 {
			emit(report)
		}
		return
	}
	if f.inside || len(f.start) == 0 && len(f.buf) > 0 && !f.skip {
		f.dropped++
	}
	f.buf, f.inside, f.skip = f.buf[:0], false, false // a report begins anew
}

// drop gives up what is held. The rest of a report without a start is dropped
// with its end, since nothing tells where the next one begins.
func (f *framer) drop() {
	f.skip = len(f.start) == 0 && len(f.end) > 0
	f.buf, f.inside = f.buf[:0], false
	f.dropped++
}
