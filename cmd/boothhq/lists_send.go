package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
)

type listsSendCmd struct {
	Dir string `arg:"" help:"Folder of the authority." type:"existingdir"`
	brokerFlags
	ClientID string `name:"client-id" default:"HQ-lists" help:"MQTT client id and, where no certificate gives it, user name."`
}

// Run publishes the metadata as retained messages, the timestamp last. Lists
// themselves travel by other ways; a heartbeat needs no more than this.
func (c *listsSendCmd) Run(t *tool) error {
	tls, password, err := c.secrets()
	if err != nil {
		return err
	}
	names, err := metadataFiles(filepath.Join(c.Dir, "repository"))
	if err != nil {
		return &failure{err, "boothhq lists publish signs built lists", exitFailure}
	}
	var failed error
	for _, broker := range c.Broker {
		at, err := line.ParseBroker(broker, tls)
		if err != nil {
			return err
		}
		err = c.send(t.ctx, line.Config{Broker: at, ClientID: c.ClientID, Username: c.ClientID, Password: password, TLS: tls,
			Dial: new(net.Dialer).DialContext, Take: func(mqtt.Message) {}}, names)
		if err == nil {
			fmt.Fprintf(t.stderr, "sent %d pieces of metadata to %s\n", len(names), at.Host)
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("sending to %s: %w", at.Host, err))
	}
	return failed
}

// send publishes every file, each after the PUBACK of the one before: a booth
// must not see a name before the thing.
func (c *listsSendCmd) send(ctx context.Context, cfg line.Config, names []string) error {
	l, err := line.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(c.Dir, "repository", name))
		if err != nil {
			return err
		}
		topic := metadataTopic(name)
		if len(b) > contract.MaxPacket-contract.MaxTopic-16 {
			return fmt.Errorf("%s has %d bytes, over what a message may hold", name, len(b))
		}
		if err := line.Await(ctx, l.Publish(topic, true, b), line.AckTimeout, errors.New("no PUBACK in time")); err != nil {
			return fmt.Errorf("%s: %w", topic, err)
		}
	}
	return nil
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
