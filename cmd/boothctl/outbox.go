package main

import (
	"encoding/json"
	"fmt"
	"time"

	"boothd/buffer/journal"
)

// outboxCmd tells what waits for headquarters, from the journal file alone.
type outboxCmd struct{}

// outboxReport is the outbox as JSON.
type outboxReport struct {
	Epoch       string    `json:"epoch"`
	Last        uint64    `json:"last"`    // newest event
	Waiting     uint64    `json:"waiting"` // without alerts
	Alerts      uint64    `json:"alerts"`  // waiting, for the watch desk
	Quarantined uint64    `json:"quarantined"`
	Oldest      time.Time `json:"oldest,omitzero"` // of those waiting
	Bytes       int64     `json:"bytes"`
}

// Run counts.
func (c *outboxCmd) Run(t *tool) error {
	ctx, r, done, err := t.record()
	if err != nil {
		return err
	}
	defer done()
	epoch, err := r.Epoch(ctx)
	if err != nil {
		return err
	}
	n, err := r.Count(ctx)
	if err != nil {
		return err
	}
	if t.json {
		return t.print(outboxReport{epoch, n.Last, n.Waiting, n.Alerts, n.Quarantined, n.Oldest, n.Bytes})
	}
	fmt.Fprintf(t.stdout, "journal %s, %s, the newest event is %d\n", epoch, size(n.Bytes), n.Last)
	fmt.Fprintf(t.stdout, "%d wait for headquarters%s\n", n.Waiting, since(n))
	fmt.Fprintf(t.stdout, "%d alerts wait for the watch desk\n", n.Alerts)
	if n.Quarantined > 0 {
		fmt.Fprintf(t.stdout, "%d were refused by headquarters and are kept: boothctl events --state quarantined\n", n.Quarantined)
	}
	return nil
}

func since(n journal.Stats) string {
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
	Class string `help:"Only one class: crossing, security, device, list, clock, signal, audit." enum:",crossing,security,device,list,clock,signal,audit" default:""`
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
