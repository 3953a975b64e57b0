package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"boothd/agent"
	"boothd/agent/status"
)

// watchCmd follows a running booth until it is interrupted or the booth ends.
type watchCmd struct {
	For    time.Duration `help:"End after this long." placeholder:"30s"`
	Device string        `help:"Show also what goes over this device's line, masked, and what is read of it; 10m at most." placeholder:"NAME"`
	Raw    bool          `help:"Show the bytes of --device themselves, on a terminal only: card numbers and plates are in them."`
}

// change is one thing that is other than it was.
type change struct {
	At   time.Time `json:"at"`
	What string    `json:"what"` // health, lane, lamps, passage, device, list, link, frame, read
	Text string    `json:"text"`
}

// Run prints a line for each change, and for each frame of a device.
func (c *watchCmd) Run(t *tool) error {
	if c.Raw && c.Device == "" {
		return &failure{errors.New("--raw of which device?"), "name it with --device; boothctl status lists them", exitUsage}
	}
	if c.Raw {
		if err := onTerminal(t.stdout); err != nil {
			return err
		}
	}
	socket, err := t.place.socket()
	if err != nil {
		return err
	}
	if c.Raw {
		fmt.Fprintf(t.stderr, "boothctl: %s\n", bytesRule)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	err = c.follow(ctx, t, socket)
	var told *failure
	switch {
	case ctx.Err() != nil:
		return nil // as asked
	case errors.As(err, &told):
		return err
	case err == nil:
		return &failure{errors.New("boothd has ended"), "systemctl status boothd", exitFix}
	}
	return unreached(socket, err)
}

// follow tells changes and frames, line by line, until the changes end or the
// frames are refused.
func (c *watchCmd) follow(ctx context.Context, t *tool, socket string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // a line is written whole
	tell := func(x change) error {
		mu.Lock()
		defer mu.Unlock()
		return t.tell(x)
	}
	var both sync.WaitGroup
	if c.Device != "" {
		both.Go(func() {
			err := frames(ctx, socket, c.Device, c.Raw, func(f agent.Frame) error {
				if f.Kind == "read" {
					return tell(change{f.At, "read", c.Device + "  " + f.Text})
				}
				return tell(change{f.At, "frame", c.Device + " " + f.Kind + " " + f.Text})
			})
			if err == nil && ctx.Err() == nil {
				err = tell(change{time.Now(), "frame", c.Device + " is shown no longer: ask again"})
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	var last *status.Picture
	err := pictures(ctx, socket, func(p status.Picture) error {
		changes := differences(last, p)
		last = &p
		for _, x := range changes {
			if err := tell(x); err != nil {
				return err
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cancel(err)
	both.Wait()
	return err
}

// tell prints one change as a line, of text or of JSON.
func (t *tool) tell(x change) error {
	if !t.json {
		_, err := fmt.Fprintf(t.stdout, "%s  %-7s  %s\n", x.At.UTC().Format("15:04:05.000"), x.What, x.Text)
		return err
	}
	b, err := json.Marshal(x)
	if err == nil {
		_, err = fmt.Fprintf(t.stdout, "%s\n", b)
	}
	return err
}

// pictures calls f with each picture of the booth's event stream, until the
// stream or ctx ends or f fails.
func pictures(ctx context.Context, socket string, f func(status.Picture) error) error {
	var d net.Dialer
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/events", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // the status says enough
		return fmt.Errorf("boothd answers %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, answerMost)
	event := ""
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case key == "event":
			event = value
		case key == "data" && event == "picture":
			var p status.Picture
			if err := json.Unmarshal([]byte(value), &p); err != nil {
				return fmt.Errorf("boothd's picture: %w", err)
			}
			if err := f(p); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil
}

// differences tells what is other in p than in the picture before; all of it
// if there was none.
func differences(before *status.Picture, p status.Picture) (out []change) {
	first := before == nil
	if first {
		before = &status.Picture{}
	}
	note := func(what, text string) { out = append(out, change{p.At, what, text}) }
	if was, is := health(*before), health(p); was != is {
		note("health", is)
	}
	if was, is := lane(before.Lane), lane(p.Lane); was != is || first {
		note("lane", is+seen(p.Lane))
	} else if was, is := seen(before.Lane), seen(p.Lane); was != is {
		note("lane", lane(p.Lane)+is)
	}
	if was, is := lamps(before.Lamps), lamps(p.Lamps); was != is || first {
		note("lamps", is)
	}
	for _, x := range ended(before.Last, p.Last) {
		note("passage", fmt.Sprintf("%s %s, %s, %d cards, plate %s, decided in %d us", x.ID, x.End, advice(x.Advice), x.Cards, x.Plate, x.DecisionUS))
	}
	for i, d := range p.Devices {
		if first || i >= len(before.Devices) || before.Devices[i].Online != d.Online {
			note("device", device(d))
		}
	}
	for i, l := range p.Lists {
		if first || i >= len(before.Lists) || before.Lists[i].Generation != l.Generation || before.Lists[i].State != l.State {
			note("list", fmt.Sprintf("%s generation %d, %d rows, %s", l.Kind, l.Generation, l.Rows, l.State))
		}
	}
	if first || before.Outbox.Link != p.Outbox.Link {
		note("link", outbox(p.Outbox, p.At))
	}
	return out
}

func health(p status.Picture) string {
	s := string(p.Health)
	for _, r := range p.Why {
		s += fmt.Sprintf(", %d %s", r.Code, r.Name)
	}
	return s
}

// seen tells what was read of the vehicle that is there.
func seen(l status.Lane) string {
	if l.Cards == 0 && (l.Plate == "" || l.Plate == status.PlateNone) {
		return ""
	}
	return fmt.Sprintf(" (%d cards, plate %s)", l.Cards, l.Plate)
}

func device(d status.Device) string {
	if d.Online {
		return d.Name + " online"
	}
	return strings.TrimSuffix(d.Name+" offline: "+d.Reason, ": ")
}

// ended gives the passages that the list before did not have, oldest first.
func ended(before, now []status.Passage) (out []status.Passage) {
	had := make(map[string]bool, len(before))
	for _, x := range before {
		had[x.ID] = true
	}
	for _, x := range now {
		if !had[x.ID] {
			out = append([]status.Passage{x}, out...)
		}
	}
	return out
}
