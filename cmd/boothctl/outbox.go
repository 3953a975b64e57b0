package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"boothd/buffer/journal"
)

// outboxCmd tells what waits for headquarters, from the journal file alone, and
// how long its room lasts, for which the configuration says how much that is.
type outboxCmd struct{}

// outboxReport is the outbox as JSON.
type outboxReport struct {
	Epoch       string    `json:"epoch"`
	Last        uint64    `json:"last"`             // newest event
	Waiting     uint64    `json:"waiting"`          // without alerts
	Alerts      *uint64   `json:"alerts,omitempty"` // waiting, for the watch desk; none: not told
	Quarantined uint64    `json:"quarantined"`
	Oldest      time.Time `json:"oldest,omitzero"` // of those waiting
	Bytes       int64     `json:"bytes"`
	// HoldsMS is how long until the journal or the disk is full if nothing is
	// receipted any more, at the rate of the last day, in whole hours as status
	// has it; -1: not known yet.
	HoldsMS int64 `json:"holds_ms"`
	// MaxBytes is what the configuration gives it; 0: none was asked, and
	// HoldsMS is of the disk alone.
	MaxBytes int64 `json:"max_bytes"`
}

// Run counts.
func (c *outboxCmd) Run(t *tool) error {
	ctx, r, done, err := t.record()
	if err != nil {
		return err
	}
	defer done()
	room, err := t.place.room()
	if err != nil {
		return err
	}
	o, err := outboxOf(ctx, r, room)
	if err != nil {
		return err
	}
	if t.json {
		return t.print(o)
	}
	fmt.Fprintf(t.stdout, "journal %s, %s, the newest event is %d\n", o.Epoch, size(o.Bytes), o.Last)
	fmt.Fprintf(t.stdout, "%d wait for headquarters%s\n", o.Waiting, since(o))
	fmt.Fprintf(t.stdout, "%d overtake them: alerts for the watch desk, and words of what was thinned\n", *o.Alerts)
	if o.Quarantined > 0 {
		fmt.Fprintf(t.stdout, "%d were refused by headquarters and are kept: boothctl events --state quarantined\n", o.Quarantined)
	}
	fmt.Fprintln(t.stdout, lasts(o))
	return nil
}

// outboxOf counts what a journal holds.
func outboxOf(ctx context.Context, r *journal.Reader, room journal.Config) (outboxReport, error) {
	epoch, err := r.Epoch(ctx)
	if err != nil {
		return outboxReport{}, err
	}
	n, err := r.Count(ctx)
	if err != nil {
		return outboxReport{}, err
	}
	holds, err := r.Holds(ctx, room)
	if err != nil {
		return outboxReport{}, err
	}
	o := outboxReport{epoch, n.Last, n.Waiting, &n.Alerts, n.Quarantined, n.Oldest, n.Bytes, -1, room.MaxBytes}
	if holds > 0 {
		o.HoldsMS = hours(holds).Milliseconds()
	}
	return o, nil
}

// lasts says for how long there is room.
func lasts(o outboxReport) string {
	if o.HoldsMS < 0 {
		return "how long the room lasts is known after an hour of events"
	}
	of := "the disk alone, since no configuration was asked,"
	if o.MaxBytes > 0 {
		of = fmt.Sprintf("the journal (%s at most)", size(o.MaxBytes))
	}
	return fmt.Sprintf("%s holds %s more at this rate without headquarters", of, span(ms(o.HoldsMS)))
}

// hours is a forecast as the booth itself tells it: whole hours, below that what
// is left.
func hours(d time.Duration) time.Duration { return max(d.Truncate(time.Hour), min(d, time.Hour)) }

func since(n outboxReport) string {
	if n.Waiting == 0 || n.Oldest.IsZero() {
		return ""
	}
	return fmt.Sprintf(", the oldest since %s (%s ago)", stamp(n.Oldest), span(time.Since(n.Oldest)))
}

// eventsCmd lists events, or exports them with --json: one line an event, the
// exact bytes that are stored, chained and sent.
type eventsCmd struct {
	numbers
	Last  uint64 `help:"Only the newest N; default 20 without FROM." placeholder:"N"`
	Class string `help:"Only one class: crossing, security, read, device, list, clock, signal, audit, cmdresult." enum:",crossing,security,read,device,list,clock,signal,audit,cmdresult" default:""`
	State string `help:"Only one state: waiting, receipted, quarantined." enum:",waiting,receipted,quarantined" default:""`
}

// Run prints.
func (c *eventsCmd) Run(t *tool) error {
	from, to, err := c.within()
	if err != nil {
		return err
	}
	ctx, r, done, err := t.record()
	if err != nil {
		return err
	}
	defer done()
	if c.From == 0 && c.Last == 0 && c.Class == "" && c.State == "" && !t.json {
		c.Last = 20
	}
	if c.Last > 0 {
		n, err := r.Count(ctx)
		if err != nil {
			return err
		}
		from = max(from, min(to, n.Last)-min(c.Last, min(to, n.Last))+1)
	}
	for row, err := range entries(ctx, r, from, to) {
		if err != nil {
			return err
		}
		if c.Class != "" && row.Class != c.Class || c.State != "" && stateWord(row.State) != c.State {
			continue
		}
		if err := t.line(row); err != nil {
			return err
		}
	}
	return nil
}

// line prints one event.
func (t *tool) line(e entry) error {
	if t.json {
		_, err := fmt.Fprintf(t.stdout, "%s\n", json.RawMessage(e.Body))
		return err
	}
	state := stateWord(e.State)
	if e.State == journal.Quarantined {
		state += " (" + e.Reason + ")"
	}
	_, err := fmt.Fprintf(t.stdout, "%8d  %s  %-16s  %-9s  %s\n", e.Seq, stamp(e.At), short(e.event.Type), state, summary(e.event))
	return err
}
