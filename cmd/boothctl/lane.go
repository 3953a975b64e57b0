package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"boothd/agent/status"
)

// laneCmd tells the lane's type, or asks for another one that lane.others
// names. It is for the officer's console; a wired button does the same.
type laneCmd struct {
	Type string `arg:"" optional:"" help:"nexus, fast, ready or general."`
}

// laneLimit is how long boothd may take to answer and to show the wish.
const laneLimit = 5 * time.Second

// Run exits 0 when the lane is of the type, or will be after the vehicle that
// is there now.
func (c *laneCmd) Run(t *tool) error {
	socket, err := t.place.socket()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), laneLimit)
	defer cancel()
	if c.Type != "" {
		if err := retype(ctx, socket, c.Type); err != nil {
			return err
		}
	}
	for {
		p, err := status.Dial("unix:" + socket).Get(ctx)
		switch l := p.Lane; {
		case err != nil:
			return unreached(socket, err)
		case c.Type != "" && l.Type != c.Type && l.Next != c.Type:
			// The picture follows the lane by a moment.
		case t.json:
			return t.print(l)
		default:
			_, err := fmt.Fprintln(t.stdout, lane(l))
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return &failure{fmt.Errorf("the lane is still of type %s", p.Lane.Type), "boothctl status says how the booth is, journalctl -u boothd why", exitFix}
		}
	}
}

// retype asks boothd for another type.
func retype(ctx context.Context, socket, to string) error {
	code, body, err := put(ctx, socket, "lane/"+url.PathEscape(to))
	switch {
	case err != nil:
		return unreached(socket, err)
	case code == http.StatusUnprocessableEntity:
		return &failure{errors.New(body), "add it to lane.others in the configuration, and systemctl reload boothd", exitFix}
	case code != http.StatusNoContent:
		return fmt.Errorf("boothd answers %d: %s", code, body)
	}
	return nil
}
