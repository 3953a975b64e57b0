package eligibility

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
)

// part is some changes that follow each other, from a place on.
type part struct {
	first int
	rows  []Row
	ops   []Op
}

// partRows is how many changes one part has: half a millisecond of reading.
const partRows = 256

// laid makes an overlay's rows of changes, at most so many, and checks what can
// be checked without the list; the rest is for whoever takes the parts.
func laid(ctx context.Context, changes iter.Seq2[Change, error], most int, to chan<- part) (all []part, err error) {
	defer close(to)
	n, last := 0, Token{}
	var now part
	var room []byte // of the values, in few pieces
	give := func() {
		all = append(all, now)
		to <- now
	}
	for c, err := range changes {
		switch {
		case err != nil:
			return nil, err
		case bytes.Compare(last[:], c.Token[:]) >= 0 || c.Token == lastToken:
			return nil, fmt.Errorf("%w: change %d is not above the one before", ErrMismatch, n)
		case (c.Op == Remove) != (len(c.Value) == 0) || len(c.Value) > MaxValue || c.Op != Add && c.Op != Replace && c.Op != Remove:
			return nil, errUnfit(n)
		case n >= most:
			return nil, ErrWhole
		case n%partRows == 0:
			if n > 0 {
				give()
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			now = part{n, make([]Row, 0, partRows), make([]Op, 0, partRows)}
		}
		if need := 1 + len(c.Value); cap(room)-len(room) < need {
			room = make([]byte, 0, max(need, partRows*32))
		}
		start, mark := len(room), byte(there)
		if c.Op == Remove {
			mark = removed
		}
		room = append(append(room, mark), c.Value...)
		now.rows, now.ops = append(now.rows, Row{c.Token, room[start:len(room):len(room)]}), append(now.ops, c.Op)
		n, last = n+1, c.Token
	}
	give()
	return all, nil
}

func errUnfit(n int) error {
	return fmt.Errorf("%w: change %d does not fit the list", ErrMismatch, n)
}

// comparison compares changes with the list, each of which has to fit it. Most of
// a delta's time goes there, and much of that is waiting for pages, so that two
// read: one beside all else, from the first part on, and the caller for what is
// left when all else is done.
type comparison struct {
	f      *file
	lost   gone // rows that are not here and that headquarters counts
	parts  chan part
	beside chan compared
}

// compared is what one reader found; an error with the part it was in.
type compared struct {
	by    shift
	first int
	err   error
}

// compare begins to compare what laid gives it. Without the reader beside, for
// whom done waits, f may be closed.
func (f *file) compare(ctx context.Context, lost gone) (c *comparison, done func()) {
	// There is room for all, so that nobody waits to hand a part over.
	c = &comparison{f, lost, make(chan part, MaxOverlay/partRows+1), make(chan compared, 1)}
	var at sync.WaitGroup
	at.Go(func() { c.beside <- c.read(ctx) })
	return c, func() { c.leave(); at.Wait() }
}

// leave lets the other reader end with the part that it has.
func (c *comparison) leave() {
	for range c.parts {
	}
}

// all reads what the other reader has not taken, and tells what the changes do to
// the list. An error is that of the first that does not fit it.
func (c *comparison) all(ctx context.Context) (shift, error) {
	a := c.read(ctx)
	b := <-c.beside
	if a.err == nil || b.err != nil && b.first < a.first {
		a, b = b, a
	}
	if a.err != nil {
		return shift{}, a.err
	}
	a.by.sum.move(b.by.sum, false)
	a.by.rows += b.by.rows
	return a.by, nil
}

// read takes parts until none is left or one does not fit. They are taken in
// order, so that nobody leaves one before that.
func (c *comparison) read(ctx context.Context) (found compared) {
	now := c.f.alone() // a decision does not wait for it
	for p := range c.parts {
		if found.err = ctx.Err(); found.err == nil {
			found.err = c.shift(&found.by, now, p)
		}
		if found.err != nil {
			found.first = p.first
			c.leave()
			break
		}
	}
	return found
}

// shift is what changes do to a list's sum and its number of rows (modulo 2^64).
type shift struct {
	sum  Sum
	rows uint64
}

// shift adds what a part does.
func (c *comparison) shift(by *shift, now *file, p part) error {
	var room []byte
	for i, r := range p.rows {
		was, ok, err := now.lookup(room[:0], r.Token)
		if err != nil {
			return err
		}
		var hash Sum
		if ok {
			hash = Row{r.Token, was}.hash()
		}
		if len(c.lost) > 0 { // as headquarters knows the row, not as it was left here
			if h, purged := c.lost[blind(r.Token)]; purged {
				ok, hash = true, h
			}
		}
		if ok != (p.ops[i] != Add) {
			return errUnfit(p.first + i)
		}
		if ok {
			by.sum.move(hash, true)
			by.rows--
			room = was
		}
		if p.ops[i] != Remove {
			by.sum.add(Row{r.Token, r.Value[1:]})
			by.rows++
		}
	}
	return nil
}
