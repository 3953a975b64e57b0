package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"boothd/cmd/boothhq/internal/receiver"
)

type reportCmd struct {
	databaseFlag
	Strict bool `help:"Fail if anything is missing, doubled, conflicting or rejected."`
}

// Run prints what is here of each booth.
func (c *reportCmd) Run(t *tool) (err error) {
	r, err := openReport(t, c.DB)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s, err := r.Summary(t.ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.DB, err)
	}
	if t.json {
		err = t.print(s)
	} else {
		printSummary(t.stdout, s)
	}
	if err == nil && c.Strict && s.Missing+s.Doubled+s.Conflicts+s.Rejected > 0 {
		return &failure{fmt.Errorf("%d missing, %d doubled, %d conflicting, %d rejected", s.Missing, s.Doubled, s.Conflicts, s.Rejected),
			"what is missing comes with the next receipt while the booth keeps it; the rest is for a person to look at", exitFailure}
	}
	return err
}

func openReport(t *tool, path string) (*receiver.Report, error) {
	r, err := receiver.OpenReport(t.ctx, path)
	if err != nil {
		return nil, &failure{err, "boothhq receive makes the database; name it with --db", exitFailure}
	}
	return r, nil
}

func printSummary(w io.Writer, s receiver.Summary) {
	for _, b := range s.Booths {
		presence := b.Status
		if presence == "" {
			presence = "never heard"
		}
		fmt.Fprintf(w, "%-24s %s", b.Name, presence)
		if !b.At.IsZero() {
			fmt.Fprintf(w, " since %s, connection %d, version %s", b.At.Format(time.RFC3339), b.Conn, b.Version)
		}
		fmt.Fprintln(w)
		for _, e := range b.Epochs {
			fmt.Fprintf(w, "  epoch %s: %d events, receipted up to %d of %d, %d missing, %d doubled, %d rejected, %d repeated, %d conflicting\n",
				e.Epoch, e.Events, e.Upto, e.Last, e.Missing, e.Doubled, e.Rejected, e.Again, e.Conflicts)
			if e.Thinned > 0 {
				fmt.Fprintf(w, "    %d given up by the booth for want of room\n", e.Thinned)
			}
			for _, h := range e.Holes[:min(len(e.Holes), 5)] {
				fmt.Fprintf(w, "    missing %d to %d\n", h[0], h[1])
			}
			for _, outcome := range slices.Sorted(maps.Keys(e.Outcomes)) {
				fmt.Fprintf(w, "    %d passages ended %s\n", e.Outcomes[outcome], outcome)
			}
		}
	}
	fmt.Fprintf(w, "%d events of %d booths, %d missing, %d doubled\n", s.Events, len(s.Booths), s.Missing, s.Doubled)
}

type exportCmd struct {
	databaseFlag
	Booth string `help:"Of this booth alone."`
	Epoch string `help:"Of this epoch alone."`
	From  uint64 `help:"From this sequence number."`
	To    uint64 `help:"Up to this one."`
}

// Run writes events to standard output.
func (c *exportCmd) Run(t *tool) (err error) {
	r, err := openReport(t, c.DB)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = r.Export(t.ctx, t.stdout, receiver.Selection{Booth: c.Booth, Epoch: c.Epoch, From: c.From, To: c.To})
	return err
}
