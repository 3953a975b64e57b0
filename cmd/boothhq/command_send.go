package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"boothd/agent/command"
	"boothd/agent/contract"
	"boothd/agent/uplink/line"
)

type commandSendCmd struct {
	Booth string        `arg:"" help:"Id of the booth."`
	Name  string        `arg:"" help:"list.refresh, outbox.resend, identify, lane.mode or bundle.upload."`
	Args  string        `help:"Arguments, a JSON object, such as {\"from\":17,\"to\":40}." default:"{}" placeholder:"JSON"`
	By    string        `help:"Who asks for it; goes into the booth's record. Default: the user's name here." placeholder:"NAME"`
	Valid time.Duration `help:"How long the booth may take it; at most 168h." default:"10m"`
	Wait  time.Duration `help:"How long to wait for the booth's answer; a booth that connects meanwhile is sent it again. 0: not at all." default:"30s"`
	signFlags
	brokerFlags
	ClientID string `name:"client-id" default:"HQ-control" help:"MQTT client id and, where no certificate gives it, user name."`
}

// sendPause is between two calls of brokers that do not answer.
const sendPause = time.Second

// Run sends one command and tells what became of it: exit 0 if it was done.
func (c *commandSendCmd) Run(t *tool) error {
	if !slices.Contains(command.Names(), c.Name) {
		return &failure{fmt.Errorf("there is no command %q", c.Name), "there are " + strings.Join(command.Names(), ", "), exitUsage}
	}
	cmd, message, err := c.message()
	if err != nil {
		return err
	}
	calls, err := c.brokerFlags.calls(c.ClientID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.ctx, max(c.Wait, line.AckTimeout))
	if c.Wait > 0 {
		cancel()
		ctx, cancel = context.WithTimeout(t.ctx, c.Wait)
	}
	defer cancel()
	result, err := c.deliver(ctx, calls, cmd.ID, message)
	switch {
	case err != nil && ctx.Err() != nil && t.ctx.Err() == nil:
		return &failure{fmt.Errorf("command %s: no answer within %v: %w", cmd.ID, c.Wait, err),
			"the booth may be away; send it anew when it is back, or with a longer --wait", exitFailure}
	case err != nil:
		return fmt.Errorf("command %s: %w", cmd.ID, err)
	}
	if t.json {
		if err := t.print(result); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(t.stdout, strings.TrimRight(fmt.Sprintf("%s %s %s %s", result.ID, result.Outcome, result.Reason, result.Detail), " "))
	}
	if c.Wait > 0 && result.Outcome != contract.CommandDone {
		return &failure{fmt.Errorf("command %s was %s: %s", cmd.ID, result.Outcome, cmp.Or(result.Reason, "no reason given")), result.Detail, exitFailure}
	}
	return nil
}

// message makes and signs the command.
func (c *commandSendCmd) message() (contract.Command, []byte, error) {
	key, err := c.key()
	if err != nil {
		return contract.Command{}, nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return contract.Command{}, nil, fmt.Errorf("naming the command: %w", err)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	cmd := contract.Command{ID: id.String(), Name: c.Name, Args: jsontext.Value(c.Args), Booth: c.Booth, NotBefore: now, NotAfter: now.Add(c.Valid),
		By: cmp.Or(c.By, os.Getenv("USER"), "boothhq")}
	payload, err := contract.EncodeCommand(cmd)
	if err != nil {
		return contract.Command{}, nil, &failure{err, "see boothhq command send --help", exitUsage}
	}
	e, err := key.Seal(contract.PayloadCommand, payload)
	if err != nil {
		return contract.Command{}, nil, err
	}
	b, err := contract.EncodeEnvelope(e)
	return cmd, b, err
}

// deliver calls one broker after the other until the booth has answered or ctx
// ends. Sending it again is harmless: a booth takes a command once.
func (c *commandSendCmd) deliver(ctx context.Context, calls []line.Config, id string, message []byte) (contract.CommandResult, error) {
	for n := 0; ; n++ {
		call := calls[n%len(calls)]
		result, err := c.over(ctx, call, id, message)
		if err == nil || ctx.Err() != nil {
			return result, err
		}
		err = fmt.Errorf("over %s: %w", call.Broker.Host, err)
		if c.Wait == 0 && n == len(calls)-1 {
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, err
		case <-time.After(sendPause):
		}
	}
}

// over sends the command over one broker, and again whenever the booth says
// that it has connected.
func (c *commandSendCmd) over(ctx context.Context, call line.Config, id string, message []byte) (contract.CommandResult, error) {
	heard := make(chan contract.Event, 64)
	call.Take = func(m mqtt.Message) {
		e, err := contract.Decode(m.Payload())
		if booth, _, topicErr := contract.EventSource(m.Topic()); err != nil || topicErr != nil || booth != c.Booth || e.Booth != c.Booth {
			return
		}
		select {
		case heard <- e:
		default: // the booth talks much; what is lost here is still in its journal
		}
	}
	l, err := line.Open(ctx, call)
	if err != nil {
		return contract.CommandResult{}, err
	}
	defer l.Close()
	if c.Wait > 0 {
		refused, err := l.Subscribe(ctx, contract.EventTopic(c.Booth, contract.ClassCmdResult), contract.EventTopic(c.Booth, contract.ClassDevice))
		if err != nil {
			return contract.CommandResult{}, err
		}
		if len(refused) > 0 {
			return contract.CommandResult{}, fmt.Errorf("the broker refuses the subscription %v", refused)
		}
	}
	send := func() error {
		return line.Await(ctx, l.Publish(contract.CommandTopic(c.Booth), false, message), line.AckTimeout, errors.New("no PUBACK in time"))
	}
	if err := send(); err != nil || c.Wait == 0 {
		return contract.CommandResult{ID: id, Name: c.Name, Outcome: "sent"}, err
	}
	for {
		select {
		case <-ctx.Done():
			return contract.CommandResult{}, ctx.Err()
		case err := <-l.Lost():
			return contract.CommandResult{}, fmt.Errorf("connection lost: %w", err)
		case e := <-heard:
			if e.Type == contract.TypeHello {
				if err := send(); err != nil {
					return contract.CommandResult{}, err
				}
			}
			if r, err := contract.As[contract.CommandResult](e); err == nil && r.ID == id && r.Reason != string(command.Replayed) {
				return r, nil
			}
		}
	}
}
