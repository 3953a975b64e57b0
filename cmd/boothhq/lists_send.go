package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/renameio/v2"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
	"boothd/cmd/boothhq/internal/authority"
)

// clientFlag is the name under which the list office calls brokers.
type clientFlag struct {
	ClientID string `name:"client-id" default:"HQ-lists" help:"MQTT client id and, where no certificate gives it, user name."`
}

type listsSendCmd struct {
	Dir string `arg:"" help:"Folder of the authority." type:"existingdir"`
	brokerFlags
	clientFlag
	Parts   bool `help:"Send the parts of deltas again that were sent before: the broker has lost them." xor:"parts"`
	NoParts bool `help:"Send the metadata alone." xor:"parts"`
}

// Run publishes the parts of the last deltas and then the metadata, all as
// retained messages, the timestamp last.
func (c *listsSendCmd) Run(t *tool) error {
	if _, err := metadataFiles(filepath.Join(c.Dir, "repository")); err != nil {
		return &failure{err, "boothhq lists publish signs built lists", exitFailure}
	}
	return send(t, &c.brokerFlags, c.ClientID, post{dir: c.Dir, again: c.Parts, alone: c.NoParts})
}

// send brings one broker in step with what is published, the first that answers.
func send(t *tool, c *brokerFlags, client string, what post) error {
	tls, password, err := c.secrets()
	if err != nil {
		return err
	}
	var failed error
	for _, broker := range c.Broker {
		at, err := line.ParseBroker(broker, tls)
		if err != nil {
			return err
		}
		p := what
		p.broker = at.Host
		p.line, err = line.Open(t.ctx, line.Config{Broker: at, ClientID: client, Username: client, Password: password, TLS: tls,
			Dial: new(net.Dialer).DialContext, Take: func(mqtt.Message) {}})
		if err == nil {
			err = p.send(t.ctx)
			p.line.Close()
		}
		if err == nil {
			fmt.Fprintf(t.stderr, "sent %d pieces of metadata and %d parts of deltas to %s\n", p.pieces, p.parts, at.Host)
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("sending to %s: %w", at.Host, err))
	}
	return failed
}

// post brings one broker in step with what is published.
type post struct {
	dir    string
	broker string // host:port
	line   *line.Line
	again  bool // send retained parts although they were sent before
	alone  bool // send no parts

	pieces, parts int // sent
}

// send publishes every piece after the PUBACK of the one before: a booth must
// not see a name before the thing.
func (p *post) send(ctx context.Context) error {
	names, err := metadataFiles(filepath.Join(p.dir, "repository"))
	if err != nil {
		return err
	}
	var old []string
	if !p.alone {
		if old, err = p.deltas(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(p.dir, "repository", name))
		if err != nil {
			return err
		}
		topic := metadataTopic(name)
		if len(b) > contract.MaxPacket-contract.MaxTopic-16 {
			return fmt.Errorf("%s has %d bytes, over what a message may hold", name, len(b))
		}
		if err := p.publish(ctx, topic, true, b); err != nil {
			return err
		}
		p.pieces++
	}
	for _, topic := range old { // named no more
		if err := p.publish(ctx, topic, true, nil); err != nil {
			return err
		}
	}
	if len(old) == 0 {
		return nil
	}
	return p.cleared(old)
}

func (p *post) publish(ctx context.Context, topic string, retain bool, b []byte) error {
	if err := line.Await(ctx, p.line.Publish(topic, retain, b), line.AckTimeout, errors.New("no PUBACK in time")); err != nil {
		return fmt.Errorf("%s: %w", topic, err)
	}
	return nil
}

// deltas sends what the broker has not yet of the last deltas; it gives the
// topics that are to be cleared. All of it is noted, also after an error: what is
// forgotten the broker would keep for good.
func (p *post) deltas(ctx context.Context) (old []string, err error) {
	all, err := authority.Parts(p.dir)
	if err != nil {
		return nil, err
	}
	kept, err := p.kept()
	if err != nil {
		return nil, err
	}
	had := kept[p.broker]
	has, now := slices.Clone(had), []string{}
	defer func() {
		kept[p.broker] = has
		err = errors.Join(err, p.keep(kept))
	}()
	for _, part := range all {
		topic := contract.PartTopic(part.Kind, part.Digest)
		if !part.Retained || slices.Contains(now, topic) {
			continue
		}
		now = append(now, topic)
		if slices.Contains(had, topic) && !p.again {
			continue
		}
		b, err := part.Bytes()
		if err != nil {
			return nil, err
		}
		if err := p.publish(ctx, topic, true, b); err != nil {
			return nil, err
		}
		p.parts++
		if !slices.Contains(has, topic) {
			has = append(has, topic)
		}
	}
	for _, topic := range had {
		if !slices.Contains(now, topic) {
			old = append(old, topic)
		}
	}
	return old, nil
}

// cleared notes that the broker has these topics no more.
func (p *post) cleared(old []string) error {
	kept, err := p.kept()
	if err != nil {
		return err
	}
	kept[p.broker] = slices.DeleteFunc(kept[p.broker], func(topic string) bool { return slices.Contains(old, topic) })
	return p.keep(kept)
}

// kept tells which parts each broker has been given to keep, by topic.
func (p *post) kept() (map[string][]string, error) {
	out := map[string][]string{}
	b, err := os.ReadFile(filepath.Join(p.dir, "retained.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		return nil, &failure{fmt.Errorf("reading retained.json: %w", err), "remove it; parts of deltas are sent anew then", exitFailure}
	}
	return out, nil
}

func (p *post) keep(all map[string][]string) error {
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(p.dir, "retained.json"), b, 0o600)
}

// metadataTopic is root/1.root.json as list/v1/tuf/root/1, and timestamp.json
// as list/v1/tuf/timestamp.
func metadataTopic(name string) string {
	short := strings.TrimSuffix(strings.TrimSuffix(filepath.ToSlash(name), ".json"), ".root")
	return strings.Replace(contract.TopicListMeta, "{metadata}", short, 1)
}

// metadataFiles lists roots from the oldest, then what each names behind it.
func metadataFiles(repository string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(repository, "root"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join("root", e.Name()))
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(rootNumber(a), rootNumber(b)) })
	for _, name := range []string{"targets.json", "snapshot.json", "timestamp.json"} {
		if _, err := os.Stat(filepath.Join(repository, name)); err != nil {
			return nil, fmt.Errorf("nothing is published: %w", err)
		}
		names = append(names, name)
	}
	return names, nil
}

func rootNumber(name string) int {
	word, _, _ := strings.Cut(filepath.Base(name), ".")
	n, err := strconv.Atoi(word)
	if err != nil {
		return 0 // no root; booths ask for numbers
	}
	return n
}
