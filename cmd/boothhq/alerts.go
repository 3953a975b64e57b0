package main

import (
	"errors"
	"fmt"
	"io"
	"os/user"
	"time"

	"boothd/cmd/boothhq/internal/receiver"
)

// alertsCmd is the watch desk: lookout hits and what became of them.
type alertsCmd struct {
	List   alertsListCmd   `cmd:"" help:"Tell the lookout hits and what became of each. Who looks is recorded."`
	Ack    alertsAckCmd    `cmd:"" help:"Say that somebody takes care of a passage's hits."`
	Result alertsResultCmd `cmd:"" help:"Say what became of a passage's hits: examined, released or not_located."`
}

// deskFlags are shared by its verbs.
type deskFlags struct {
	databaseFlag
	By string `help:"Who acts; by default the user who runs this." placeholder:"NAME"`
}

// open opens the desk and tells who acts.
func (f *deskFlags) open(t *tool) (desk *receiver.Desk, by string, err error) {
	by = f.By
	if by == "" {
		u, err := user.Current()
		if err != nil {
			return nil, "", &failure{fmt.Errorf("who acts: %w", err), "name them with --by", exitUsage}
		}
		by = u.Username
	}
	desk, err = receiver.OpenDesk(t.ctx, f.DB)
	if err != nil {
		return nil, "", &failure{err, "boothhq receive makes the database; name it with --db", exitFailure}
	}
	return desk, by, nil
}

type alertsListCmd struct {
	deskFlags
	Open    bool   `help:"Only those without a result."`
	Overdue bool   `help:"Only those without a result for more than 24 h."`
	Booth   string `help:"Of this booth alone."`
	Passage string `help:"Of this passage alone, with all that was done about it."`
	Strict  bool   `help:"Fail if any is overdue."`
}

// deskHit is a hit with all that was done about it.
type deskHit struct {
	receiver.Hit
	History []receiver.Act `json:"history,omitempty"`
}

// Run prints the hits.
func (c *alertsListCmd) Run(t *tool) (err error) {
	desk, by, err := c.open(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.Close()) }()
	now := time.Now()
	hits, err := desk.Hits(t.ctx, receiver.Which{Open: c.Open, Overdue: c.Overdue, Booth: c.Booth, Passage: c.Passage}, by, now)
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.DB, err)
	}
	all := make([]deskHit, len(hits))
	for i, h := range hits {
		all[i].Hit = h
	}
	if c.Passage != "" {
		done, err := desk.History(t.ctx, c.Passage)
		if err != nil {
			return fmt.Errorf("reading %s: %w", c.DB, err)
		}
		for i := range all {
			all[i].History = done[all[i].Lookout]
		}
	}
	if t.json {
		err = t.print(struct {
			Hits []deskHit `json:"hits"`
		}{all})
	} else {
		printHits(t.stdout, all, now)
	}
	if err != nil || !c.Strict {
		return err
	}
	overdue, err := desk.CountOverdue(t.ctx, now)
	if err == nil && overdue > 0 {
		err = &failure{fmt.Errorf("%d hits without a result for more than 24 h", overdue), "boothhq alerts result PASSAGE examined|released|not_located", exitFailure}
	}
	return err
}

func printHits(w io.Writer, hits []deskHit, now time.Time) {
	open, overdue := 0, 0
	for _, h := range hits {
		state := "open"
		switch {
		case h.Result != nil:
			state = fmt.Sprintf("%s by %s", h.Result.What, h.Result.By)
		case h.Overdue:
			state = "OVERDUE"
		case h.Acknowledged != nil:
			state = "taken by " + h.Acknowledged.By
		}
		if h.Result == nil {
			open++
		}
		if h.Overdue {
			overdue++
		}
		fmt.Fprintf(w, "%s  %s  passage %s\n", h.At.Format(time.RFC3339), h.Booth, h.Passage)
		fmt.Fprintf(w, "    %s version %d on the %s, %s of %s (%s): %s", h.Lookout, h.Version, h.Subject, h.Action, h.Agency, h.Region, h.ReasonCode)
		for _, mark := range []struct {
			is   bool
			text string
		}{
			{h.Possible, ", possible: a plate that is easily misread"}, {h.OfficerSafety, ", OFFICER SAFETY"},
			{h.Caveat != "", ", caveat " + h.Caveat}, {h.Simulated, ", simulated"},
		} {
			if mark.is {
				fmt.Fprint(w, mark.text)
			}
		}
		fmt.Fprintf(w, "\n    %s, %s ago\n", state, now.Sub(h.ReceivedAt).Round(time.Minute))
		for _, a := range h.History {
			fmt.Fprintf(w, "      %s %s by %s\n", a.At.Format(time.RFC3339), a.What, a.By)
		}
	}
	fmt.Fprintf(w, "%d hits, %d open, %d overdue\n", len(hits), open, overdue)
}

type alertsAckCmd struct {
	deskFlags
	Passage string `arg:"" help:"The passage, as alerts list names it."`
	Lookout string `help:"This lookout's hit alone."`
}

// Run acknowledges.
func (c *alertsAckCmd) Run(t *tool) (err error) {
	desk, by, err := c.open(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.Close()) }()
	n, err := desk.Acknowledge(t.ctx, c.Passage, c.Lookout, by, time.Now())
	return acted(t, n, err)
}

type alertsResultCmd struct {
	deskFlags
	Passage string          `arg:"" help:"The passage, as alerts list names it."`
	Result  receiver.Result `arg:"" enum:"examined,released,not_located" help:"examined, released or not_located."`
	Lookout string          `help:"This lookout's hit alone."`
}

// Run records the result.
func (c *alertsResultCmd) Run(t *tool) (err error) {
	desk, by, err := c.open(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.Close()) }()
	n, err := desk.Resolve(t.ctx, c.Passage, c.Lookout, c.Result, by, time.Now())
	return acted(t, n, err)
}

// acted tells how many hits were acted upon.
func acted(t *tool, n int, err error) error {
	switch {
	case errors.Is(err, receiver.ErrNoHit):
		return &failure{err, "boothhq alerts list tells the passages with hits", exitFailure}
	case err != nil:
		return err
	case t.json:
		return t.print(struct {
			Hits int `json:"hits"`
		}{n})
	}
	_, err = fmt.Fprintf(t.stdout, "recorded for %d hits\n", n)
	return err
}
