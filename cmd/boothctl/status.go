package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"boothd/agent/status"
)

// statusCmd shows what the running boothd says of itself. It exits 0 while the
// lane decides, also when it may not expedite.
type statusCmd struct{}

// Run asks once.
func (c *statusCmd) Run(t *tool) error {
	socket, err := t.place.socket()
	if err != nil {
		return err
	}
	p, err := status.Dial("unix:" + socket).Get(context.Background())
	if err != nil && !errors.Is(err, status.ErrStale) {
		return unreached(socket, err)
	}
	stale := err
	if t.json {
		err = t.print(p)
	} else {
		err = picture(t.stdout, p)
	}
	switch {
	case err != nil:
		return err
	case stale != nil:
		return &failure{stale, "what is shown is old; the watchdog will start boothd again: journalctl -u boothd", exitFix}
	case p.Health == status.Out:
		return &failure{errors.New("the lane does not decide"), "the lines above say why; every vehicle is the officer's", exitFix}
	}
	return nil
}

// picture prints the whole picture as tables.
func picture(out io.Writer, p status.Picture) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "booth\t%s\n", which(p))
	fmt.Fprintf(w, "health\t%s\n", strings.ToUpper(string(p.Health)))
	for _, r := range p.Why {
		fmt.Fprintf(w, "\t%s\n", because(r))
	}
	for _, x := range p.Warnings {
		fmt.Fprintf(w, "\t! %s\n", x.Words)
	}
	fmt.Fprintf(w, "lane\t%s\n", lane(p.Lane))
	fmt.Fprintf(w, "lamps\t%s\n", lamps(p.Lamps))
	if p.SignalFault != nil {
		fmt.Fprintf(w, "\t%s, until: boothctl lamps reset\n", atFault(*p.SignalFault))
	}
	fmt.Fprintf(w, "outbox\t%s\n", outbox(p.Outbox, p.At))
	fmt.Fprintf(w, "store\t%s\n", store(p.Store))
	fmt.Fprintf(w, "clock\t%s\n", clock(p.Clock))
	fmt.Fprintf(w, "running\t%s, version %s, since %s\n", span(p.At.Sub(p.StartedAt)), p.Version, stamp(p.StartedAt))
	sections := []func(*tabwriter.Writer, status.Picture){deviceRows, listRows, passageRows}
	for _, rows := range sections {
		if err := w.Flush(); err != nil { // columns are aligned section by section
			return fmt.Errorf("writing status: %w", err)
		}
		rows(w, p)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	return nil
}

func deviceRows(w *tabwriter.Writer, p status.Picture) {
	fmt.Fprintln(w, "\nDEVICE\tROLE\tSTATE\tSINCE\tLAST READ\t")
	for _, d := range p.Devices {
		mark, since, read := "✗ offline", "-", "-"
		if !d.Since.IsZero() { // it has been tried at least once
			since = span(p.At.Sub(d.Since))
		}
		if d.Online {
			mark = "✓ online"
		}
		if !d.ReadAt.IsZero() {
			read = span(p.At.Sub(d.ReadAt)) + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, d.Role, mark, since, read, d.Reason)
	}
}

func listRows(w *tabwriter.Writer, p status.Picture) {
	fmt.Fprintln(w, "\nLIST\tGENERATION\tROWS\tAGE\tSTATE\t")
	for _, l := range p.Lists {
		gen, rows, age, note := "-", "-", "-", ""
		if l.Generation > 0 {
			gen, rows = fmt.Sprint(l.Generation), fmt.Sprintf("%d rows", l.Rows)
		}
		if l.AgeMS >= 0 && l.Generation > 0 {
			age = span(ms(l.AgeMS))
		}
		if l.Rejected {
			note = "the newest was refused (205)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Kind, gen, rows, age, l.State, note)
	}
}

func passageRows(w *tabwriter.Writer, p status.Picture) {
	if len(p.Last) == 0 {
		return
	}
	fmt.Fprintln(w, "\nPASSAGE\tENDED\tOUTCOME\tLEAD\tCARDS\tPLATE\tDELIVERY")
	for _, x := range p.Last {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", x.ID, stamp(x.At), x.Advice.Outcome, because(x.Advice.Lead), x.Cards, x.Plate, x.Delivery)
	}
}

func which(p status.Picture) string {
	s := p.Booth.ID
	if p.Booth.Site != "" {
		s += " (" + p.Booth.Site + ")"
	}
	s += ", " + p.Booth.Port + ", bound for " + p.Booth.Direction
	if p.Simulated {
		s += ", SIMULATED"
	}
	return s
}

func because(r status.Reason) string {
	if r.Code == 0 {
		return "-"
	}
	return fmt.Sprintf("%d %s: %s", r.Code, r.Name, r.Words)
}

func lane(l status.Lane) string {
	open := "closed"
	if l.Open {
		open = "open"
	}
	s := fmt.Sprintf("%s, %s, %s, %s", l.Type, l.Mode, open, l.State)
	if l.Next != "" {
		s += ", " + l.Next + " from the next vehicle on"
	}
	if l.Now != nil {
		s += ": " + advice(*l.Now)
	}
	return s
}

func advice(a status.Advice) string {
	s := a.Outcome + ", " + because(a.Lead)
	if a.Ready > 0 {
		s += fmt.Sprintf(", READY %d", a.Ready)
	}
	return s
}

// lamps names those that are lit, and those that are not as they should be.
func lamps(all []status.Lamp) string {
	var parts []string
	for _, l := range all {
		switch {
		case l.Feedback == status.Differs || l.Feedback == status.Undriven:
			parts = append(parts, l.Name+" FAULT")
		case l.Feedback == status.Unseen:
			parts = append(parts, l.Name+" not seen")
		case l.Shows != status.Dark:
			parts = append(parts, l.Name+" "+shows(l))
		}
	}
	if len(parts) == 0 {
		return "all dark"
	}
	return strings.Join(parts, ", ")
}

func outbox(o status.Outbox, at time.Time) string {
	link := "no link to headquarters"
	if o.Link {
		link = "linked to " + o.Broker
	}
	if !o.Since.IsZero() {
		link += " for " + span(at.Sub(o.Since))
	}
	s := fmt.Sprintf("%d waiting", o.Waiting)
	if o.OldestMS >= 0 && o.Waiting > 0 {
		s += ", the oldest for " + span(ms(o.OldestMS))
	}
	s += "; last receipt "
	if o.ReceiptMS < 0 {
		s += "never since start"
	} else {
		s += span(ms(o.ReceiptMS)) + " ago"
	}
	if o.Quarantined > 0 {
		s += fmt.Sprintf("; %d refused by headquarters: boothctl events --state quarantined", o.Quarantined)
	}
	return s + "; " + link
}

func store(s status.Store) string {
	word := "takes events"
	if !s.OK {
		word = "TAKES NO EVENTS (206)"
	}
	line := fmt.Sprintf("%s, %s of %s, %s free on disk", word, size(s.Bytes), size(s.MaxBytes), size(s.FreeBytes))
	if s.HoldsMS >= 0 {
		line += fmt.Sprintf(", holds %s more at this rate without headquarters", span(ms(s.HoldsMS)))
	}
	if s.FlashDay > 0 {
		line += fmt.Sprintf(", writes %s a day", size(s.FlashDay))
	}
	return line
}

func clock(c status.Clock) string {
	if c.Quality == "unset" {
		return "unset: nothing is expedited (202)"
	}
	return fmt.Sprintf("%s, within %d ms", c.Quality, c.ErrMS)
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// span is a duration as people say it: two units at most.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// stamp is a time for people, in UTC as in every event.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
