package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"boothd/agent"
	"boothd/configs"
	"boothd/devices/osdp"
	"boothd/devices/port"
)

// Of a reader that was told to move: some start anew for it.
const (
	movedTries = 5
	movedPause = time.Second
)

// moveCmd brings an OSDP reader from where it is on its line to where the
// configuration has it: new readers all have one address and one speed.
type moveCmd struct {
	Device  string `arg:"" help:"The reader's name in the configuration."`
	Address int    `help:"Address that the reader has now." default:"0" placeholder:"0"`
	Baud    int    `help:"Speed that the reader has now." default:"9600" placeholder:"9600"`
}

// Run exits 0 when the reader answers where the configuration has it.
func (c *moveCmd) Run(t *tool) error {
	cfg, err := t.place.load("boothctl probe")
	if err != nil {
		return err
	}
	d, err := pick(cfg.Devices, "reader", c.Device, func(r configs.Role) bool { return r == configs.RoleCard })
	if err != nil {
		return err
	}
	now, to := osdp.Spot{Address: byte(c.Address), Baud: c.Baud}, osdp.Spot{Address: byte(d.Address), Baud: d.Baud}
	_, ok := d.Own.(*osdp.Settings)
	switch {
	case !ok:
		return &failure{fmt.Errorf("%s is a %s reader", d.Name, d.Driver), "only OSDP readers are moved so", exitUsage}
	case c.Address < 0 || c.Address > 0x7E:
		return &failure{fmt.Errorf("address %d is not 0 to 126", c.Address), "", exitUsage}
	case now == to:
		return &failure{fmt.Errorf("the configuration has %s at address %d, %d baud already", d.Name, to.Address, to.Baud),
			"say with --address and --baud where the reader is now: boothctl probe " + string(d.Path), exitUsage}
	}
	ctx, stop := interruptible(time.Minute)
	defer stop()
	m := mover{opener{socket: string(cfg.Socket), chip: cfg.GPIO.Chip, port: port.Open,
		again: fmt.Sprintf("boothctl move %s --address %d --baud %d", d.Name, now.Address, now.Baud)}, d}
	if t.place.Socket != "" {
		m.socket = t.place.Socket
	}
	if now.Address != to.Address {
		if err := m.vacant(ctx, osdp.Spot{Address: to.Address, Baud: now.Baud}); err != nil {
			return err
		}
	}
	if err := m.move(ctx, now, to); err != nil {
		return err
	}
	if t.json {
		return t.print(map[string]any{"device": d.Name, "address": to.Address, "baud": to.Baud})
	}
	_, err = fmt.Fprintf(t.stdout, "%s has address %d and %d baud now, as the configuration has it\n", d.Name, to.Address, to.Baud)
	return err
}

// mover moves one reader.
type mover struct {
	opener
	d configs.Device
}

// at opens the reader there: in its own channel, or in clear if it is still as it
// left the factory, since nothing that is a secret is said.
func (m mover) at(ctx context.Context, s osdp.Spot) (*osdp.Reader, error) {
	d := m.d
	d.Address, d.Baud = int(s.Address), s.Baud
	r, err := m.device(ctx, d, func(error) {})
	if !keyless(d) && (errors.Is(err, osdp.ErrWrongKey) || errors.Is(err, osdp.ErrInsecure)) {
		r, err = m.device(ctx, inClear(d), func(error) {})
	}
	return osdpReader(r, err)
}

func keyless(d configs.Device) bool { return d.Own.(*osdp.Settings).Clear }

// inClear is the reader as it left the factory.
func inClear(d configs.Device) configs.Device {
	d.Own = &osdp.Settings{Clear: true, Bits: d.Own.(*osdp.Settings).Bits}
	return d
}

func osdpReader(r agent.Reader, err error) (*osdp.Reader, error) {
	if err != nil {
		return nil, err
	}
	o, ok := r.(*osdp.Reader)
	if !ok {
		return nil, errors.Join(errors.New("it is no OSDP reader"), r.Close())
	}
	return o, nil
}

// vacant refuses an address that a reader answers at: two would talk at once.
func (m mover) vacant(ctx context.Context, s osdp.Spot) error {
	d := inClear(m.d)
	d.Address, d.Baud = int(s.Address), s.Baud
	r, err := m.device(ctx, d, func(error) {})
	switch refused := (osdp.NAK{}); {
	case errors.Is(err, osdp.ErrSilent):
		return nil
	case err == nil:
		_ = r.Close() // that it could be opened is enough
	case !errors.As(err, &refused):
		return err
	}
	return &failure{fmt.Errorf("another reader answers at address %d", s.Address),
		"give it another address, or take it off the line meanwhile", exitFix}
}

// move tells the reader and finds it again; one that did not answer may have
// moved all the same.
func (m mover) move(ctx context.Context, now, to osdp.Spot) error {
	r, err := m.at(ctx, now)
	if err != nil {
		return err
	}
	was := r.Identity()
	took, err := r.Move(ctx, to)
	_ = r.Close() // it is of no more use
	switch {
	case errors.Is(err, osdp.ErrUnknown):
		took = to
	case err != nil:
		return &failure{err, "set it as its maker says: switches, a card, or a program", exitFix}
	}
	for range movedTries {
		if r, err = m.at(ctx, took); err == nil || !errors.Is(err, osdp.ErrSilent) {
			break
		}
		select {
		case <-time.After(movedPause):
		case <-ctx.Done():
		}
	}
	if err != nil {
		return &failure{fmt.Errorf("%s was told to move to address %d, %d baud, and is not found there: %w", m.d.Name, took.Address, took.Baud, err),
			fmt.Sprintf("it may be where it was: boothctl probe %s looks at all speeds; add --address %d,%d", m.d.Path, now.Address, took.Address), exitFix}
	}
	is := r.Identity()
	if err := r.Close(); err != nil {
		return err
	}
	switch {
	case is != was:
		return &failure{fmt.Errorf("another reader answers at address %d, %d baud", took.Address, took.Baud), "take the others off the line and try again", exitFix}
	case took != to:
		return &failure{fmt.Errorf("%s chose address %d, %d baud, and not what it was told", m.d.Name, took.Address, took.Baud),
			fmt.Sprintf("write address = %d and baud = %d into the configuration", took.Address, took.Baud), exitFix}
	}
	return nil
}
