package fleet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"boothd/agent/contract"
	"boothd/buffer/journal"
)

// Compared is what a look at both sides found. A good run has zeros, but for
// Again and Thinned.
type Compared struct {
	Missing   uint64 `json:"missing"`   // in a journal and not at headquarters
	Doubled   uint64 `json:"doubled"`   // at headquarters twice
	Extra     uint64 `json:"extra"`     // at headquarters and in no journal
	Altered   uint64 `json:"altered"`   // other bytes at headquarters than in the journal
	Lost      uint64 `json:"lost"`      // said to be durable and not in the journal, or its chain is broken
	Conflicts uint64 `json:"conflicts"` // headquarters was sent other bytes for a number that it had
	Rejected  uint64 `json:"rejected"`  // refused by headquarters
	Again     uint64 `json:"again"`     // repetitions that came over the wire, and did no harm
	Thinned   uint64 `json:"thinned"`   // given up at the booth, which is told by events at headquarters

	Examples []string `json:"examples,omitempty"` // the first few faults, in words
}

// mostExamples bounds Compared.Examples.
const mostExamples = 10

// Clean is an error that tells what is not as it must be.
func (c Compared) Clean() error {
	if c.Missing+c.Doubled+c.Extra+c.Altered+c.Lost+c.Conflicts+c.Rejected == 0 {
		return nil
	}
	return fmt.Errorf("%d events are missing, %d doubled, %d extra, %d altered, %d lost at the booth, %d conflicting and %d rejected:\n  %s",
		c.Missing, c.Doubled, c.Extra, c.Altered, c.Lost, c.Conflicts, c.Rejected, strings.Join(c.Examples, "\n  "))
}

func (c *Compared) example(format string, args ...any) {
	if len(c.Examples) < mostExamples {
		c.Examples = append(c.Examples, fmt.Sprintf(format, args...))
	}
}

// row is an event at headquarters.
type row struct {
	contract.Event
	body []byte
}

// exported reads an export, one event a line. The bodies are valid until the
// next one.
func exported(r io.Reader) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 64<<10), 2*contract.MaxEvent)
		for lines.Scan() {
			e, err := contract.Decode(lines.Bytes())
			if err != nil {
				err = fmt.Errorf("reading headquarters' export: %w", err)
			}
			if !yield(row{e, lines.Bytes()}, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(row{}, fmt.Errorf("reading headquarters' export: %w", err))
		}
	}
}

// side is one booth as the comparison needs it.
type side struct {
	name   string
	stored uint64 // what the journal has said is durable
	path   string
}

// compare holds an export against the journals. Both are read once and side by
// side: the export names booths in order, and numbers in order within each.
// Booths that are none of ours, at a broker that others use too, are passed by.
func compare(ctx context.Context, sides []side, export io.Reader) (c Compared, err error) {
	next, stop := iter.Pull2(exported(export))
	defer stop()
	at, err, more := next()
	for _, s := range slices.SortedFunc(slices.Values(sides), func(a, b side) int { return strings.Compare(a.name, b.name) }) {
		for ; more && err == nil && at.Booth < s.name; at, err, more = next() {
		}
		if err != nil {
			return c, err
		}
		kept, e := readSide(ctx, &c, s)
		if e != nil {
			return c, e
		}
		for ; more && err == nil && at.Booth == s.name; at, err, more = next() {
			c.weigh(s.name, &kept, at)
		}
		kept.rest(&c)
		if e := errors.Join(err, kept.close()); e != nil {
			return c, e
		}
	}
	return c, nil
}

// journalRows walks along one journal.
type journalRows struct {
	booth  string
	epoch  string
	reader *journal.Reader
	next   func() (journal.Record, error, bool)
	stop   func()
	at     journal.Record
	more   bool
	err    error
	last   uint64 // passed by
	// thinned are the ranges of the booth's tombstones: what is not in the journal
	// there was given up, and may be at headquarters because it was on its way.
	thinned []journal.Thinning
}

// gaveUp tells whether the booth has given a number up.
func (k *journalRows) gaveUp(seq uint64) bool {
	return slices.ContainsFunc(k.thinned, func(n journal.Thinning) bool { return n.From <= seq && seq <= n.To })
}

// readSide opens a journal, and counts what is wrong with it alone.
func readSide(ctx context.Context, c *Compared, s side) (_ journalRows, err error) {
	r, err := journal.OpenReader(ctx, s.path)
	if err != nil {
		return journalRows{}, fmt.Errorf("%s: %w", s.name, err)
	}
	k := journalRows{booth: s.name, reader: r}
	if k.epoch, err = r.Epoch(ctx); err != nil {
		return k, errors.Join(fmt.Errorf("%s: %w", s.name, err), r.Close())
	}
	v, err := r.Verify(ctx, 1, math.MaxInt64)
	if err != nil {
		c.Lost++
		c.example("%s: %v", s.name, err)
	}
	k.thinned = v.Thinned
	gone := uint64(0)
	for _, n := range v.Thinned {
		gone += n.Count
	}
	c.Thinned += gone
	if v.Rows+gone < s.stored {
		c.Lost += s.stored - v.Rows - gone
		c.example("%s: its journal said that %d events were durable, has %d and has given %d up", s.name, s.stored, v.Rows, gone)
	}
	k.next, k.stop = iter.Pull2(r.Range(ctx, 1, math.MaxInt64))
	k.step()
	return k, nil
}

func (k *journalRows) step() {
	k.last = k.at.Seq
	if k.err == nil {
		k.at, k.err, k.more = k.next()
	}
	k.more = k.more && k.err == nil
}

// weigh holds one event at headquarters against the journal.
func (c *Compared) weigh(booth string, k *journalRows, at row) {
	if at.Epoch != k.epoch {
		c.Extra++
		c.example("%s: %d of epoch %s is at headquarters, and the booth has no such epoch", booth, at.Seq, at.Epoch)
		return
	}
	for ; k.more && k.at.Seq < at.Seq; k.step() {
		c.miss(k)
	}
	switch {
	case k.more && k.at.Seq == at.Seq:
		if !bytes.Equal(k.at.Body, at.body) {
			c.Altered++
			c.example("%s: %d has other bytes at headquarters", booth, at.Seq)
		}
		k.step()
	case at.Seq == k.last:
		c.Doubled++
		c.example("%s: %d is at headquarters twice", booth, at.Seq)
	case !k.gaveUp(at.Seq):
		c.Extra++
		c.example("%s: %d is at headquarters and not in the journal", booth, at.Seq)
	}
}

func (c *Compared) miss(k *journalRows) {
	c.Missing++
	c.example("%s: %d (%s, %s) is not at headquarters", k.booth, k.at.Seq, k.at.Class, [...]string{"waiting", "receipted", "quarantined"}[k.at.State])
}

// rest counts what headquarters has not come to.
func (k *journalRows) rest(c *Compared) {
	for ; k.more; k.step() {
		c.miss(k)
	}
}

func (k *journalRows) close() error {
	k.stop()
	if err := errors.Join(k.err, k.reader.Close()); err != nil {
		return fmt.Errorf("%s: %w", k.booth, err)
	}
	return nil
}
