package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
)

// noticeCmd has every booth show a text, or nothing any more. It is retained:
// booths that are away show it when they come back.
type noticeCmd struct {
	Text     string        `arg:"" optional:"" help:"What is shown, at most 160 bytes; it replaces what was shown before."`
	Clear    bool          `help:"Nothing is shown any more."`
	Valid    time.Duration `help:"How long it is shown; at most 9600h." default:"720h"`
	By       string        `help:"Who says it; goes into each booth's record. Default: the user's name here." placeholder:"NAME"`
	ClientID string        `name:"client-id" default:"HQ-control" help:"MQTT client id and, where no certificate gives it, user name."`
	signFlags
	brokerFlags
}

// clearFor is how long a cleared notice stays retained: as long as the one that
// it ends may have been meant to be shown.
const clearFor = contract.MaxNoticeSpan

// Run publishes it on every broker that is named: they may not be joined.
func (c *noticeCmd) Run(t *tool) error {
	if (c.Text == "") != c.Clear {
		return &failure{errors.New("either a text, or --clear"), "boothhq notice --help", exitUsage}
	}
	n, message, err := c.message(time.Now())
	if err != nil {
		return err
	}
	calls, err := c.brokerFlags.calls(c.ClientID)
	if err != nil {
		return err
	}
	for _, call := range calls {
		if err := publish(t.ctx, call, message); err != nil {
			return fmt.Errorf("notice %s over %s: %w", n.ID, call.Broker.Host, err)
		}
	}
	if t.json {
		return t.print(n)
	}
	if c.Clear {
		_, err = fmt.Fprintf(t.stdout, "%s: nothing is shown any more\n", n.ID)
	} else {
		_, err = fmt.Fprintf(t.stdout, "%s is shown until %s\n", n.ID, n.NotAfter.Format(time.RFC3339))
	}
	return err
}

// message makes and signs the notice.
func (c *noticeCmd) message(now time.Time) (contract.FleetNotice, []byte, error) {
	key, err := c.key()
	if err != nil {
		return contract.FleetNotice{}, nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return contract.FleetNotice{}, nil, fmt.Errorf("naming the notice: %w", err)
	}
	now = now.UTC().Truncate(time.Millisecond)
	valid := c.Valid
	if c.Clear {
		valid = clearFor
	}
	n := contract.FleetNotice{ID: id.String(), Text: c.Text, NotBefore: now, NotAfter: now.Add(valid), By: cmp.Or(c.By, os.Getenv("USER"), "boothhq")}
	payload, err := contract.EncodeFleetNotice(n)
	if err != nil {
		return contract.FleetNotice{}, nil, &failure{err, "see boothhq notice --help", exitUsage}
	}
	e, err := key.Seal(contract.PayloadNotice, payload)
	if err != nil {
		return contract.FleetNotice{}, nil, err
	}
	b, err := contract.EncodeEnvelope(e)
	return n, b, err
}

// publish leaves a notice at a broker.
func publish(ctx context.Context, call line.Config, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 2*line.AckTimeout)
	defer cancel()
	l, err := line.Open(ctx, call)
	if err != nil {
		return err
	}
	defer l.Close()
	return line.Await(ctx, l.Publish(contract.TopicNotice, true, message), line.AckTimeout, errors.New("no PUBACK in time"))
}
