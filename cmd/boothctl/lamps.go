package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"boothd/agent/status"
)

// lampsCmd tells of each output what it is told and what is seen of it, or
// forgets a fault once somebody has looked.
type lampsCmd struct {
	Show  lampsShowCmd  `cmd:"" default:"1" help:"Tell of each output what it is told and what its own wire says."`
	Reset lampsResetCmd `cmd:"" help:"You have looked at the head and it is right: forget the fault. The lane goes on."`
}

type lampsShowCmd struct{}

// lampsLimit is how long boothd may take to answer and to go on after a reset.
const lampsLimit = 5 * time.Second

// Run exits 1 while a fault is latched or a wire cannot be read.
func (lampsShowCmd) Run(t *tool) error {
	ctx, cancel := context.WithTimeout(context.Background(), lampsLimit)
	defer cancel()
	p, err := t.askPicture(ctx)
	if err != nil {
		return err
	}
	if t.json {
		return t.print(struct {
			Fault *status.SignalFault `json:"fault"`
			Lamps []status.Lamp       `json:"lamps"`
		}{p.SignalFault, p.Lamps})
	}
	w := tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "OUTPUT\tTOLD\tSEEN")
	lost := false
	for _, l := range p.Lamps {
		if !l.Wired {
			continue
		}
		seen := l.Seen
		switch {
		case l.Feedback == status.Unseen:
			seen, lost = "✗ its wire cannot be read", true
		case l.Feedback == status.Differs:
			seen += " ✗"
		case seen == "":
			seen = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Name, shows(l), seen)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing lamps: %w", err)
	}
	switch {
	case p.SignalFault != nil:
		return &failure{errors.New(atFault(*p.SignalFault)), "look at the head, mend it, then: boothctl lamps reset", exitFix}
	case lost:
		return &failure{errors.New("what some lamps show is not known: nothing is expedited (212)"), "boothctl status names the chip or board that is away", exitFix}
	}
	return nil
}

// shows is what an output is told, in a word.
func shows(l status.Lamp) string {
	if l.Shows == status.Blinks {
		return fmt.Sprintf("blinks %d", l.Count)
	}
	return string(l.Shows)
}

// atFault says what was seen.
func atFault(f status.SignalFault) string {
	switch f.Fault {
	case "conflict":
		return f.Lamp + " was lit, and was not told to or not alone"
	case "dark":
		return f.Lamp + " was told to be lit, and the head stayed dark"
	case "stuck":
		return f.Lamp + " was lit, and was not told to"
	}
	return "the record of a lamps' fault cannot be read"
}

type lampsResetCmd struct{}

// Run exits 0 when the fault is forgotten and has not come back.
func (lampsResetCmd) Run(t *tool) error {
	socket, err := t.place.socket()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lampsLimit)
	defer cancel()
	code, body, err := put(ctx, socket, "lamps/reset")
	switch {
	case err != nil:
		return unreached(socket, err)
	case code == http.StatusConflict:
		return &failure{errors.New(body), "boothctl lamps tells which; boothctl try lamp shows them one at a time, with boothd stopped", exitFix}
	case code != http.StatusNoContent:
		return fmt.Errorf("boothd answers %d: %s", code, body)
	}
	for {
		p, err := t.askPicture(ctx)
		switch {
		case err != nil:
			return err
		case p.SignalFault == nil && t.json:
			return t.print(p.Lamps)
		case p.SignalFault == nil:
			_, err := fmt.Fprintf(t.stdout, "no fault any more; the booth is %s\n", p.Health)
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond): // the picture follows the lamps by a moment
		case <-ctx.Done():
			return &failure{errors.New("it came back: " + atFault(*p.SignalFault)), "look at the head and its feedback's wires", exitFix}
		}
	}
}

// askPicture asks the running boothd how it is.
func (t *tool) askPicture(ctx context.Context) (status.Picture, error) {
	socket, err := t.place.socket()
	if err != nil {
		return status.Picture{}, err
	}
	p, err := status.Dial("unix:" + socket).Get(ctx)
	if err != nil {
		return p, unreached(socket, err)
	}
	return p, nil
}
