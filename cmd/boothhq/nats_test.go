package main

import (
	"fmt"
	"slices"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats.go"

	"boothd/agent/contract"
	"boothd/cmd/boothhq/internal/receiver/receivertest"
)

// newNATS starts nodes under configs/hq. The mosquitto in the answer is how to
// connect to each by MQTT, and has no process.
func newNATS(t *testing.T, n int, booths ...string) (*receivertest.NATS, []*mosquitto) {
	t.Helper()
	dir := t.TempDir()
	ca := newCA(t, dir)
	ca.issue(t, "node")
	c, err := receivertest.StartNATS("../../configs/hq", dir, n, booths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for i := range n {
				t.Logf("node %d:\n%s", i+1, c.Log(i))
			}
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	var ways []*mosquitto
	for _, url := range c.Brokers() {
		ways = append(ways, &mosquitto{t: t, dir: dir, url: url, ca: ca})
	}
	return c, ways
}

// ask subscribes and gives the broker's answer.
func ask(t *testing.T, c mqtt.Client, filter string) byte {
	t.Helper()
	tok := c.Subscribe(filter, contract.QoS, nil)
	<-tok.Done()
	return tok.(*mqtt.SubscribeToken).Result()[filter]
}

const refused = 0x80

// The real nats-server with the users that nats-users.sh writes. Who publishes
// what is not his is answered as if it were done, so only what is heard tells.
func TestNATSLetsEachSpeakForItselfAlone(t *testing.T) {
	t.Parallel()
	nodes, ways := newNATS(t, 1, booth, other)
	m := ways[0]
	filters := map[string][]string{
		"HQ-receiver":    {contract.FilterEvents, contract.FilterStatus, "booth/v1/+/state/#"},
		"HQ-receiver-3":  {contract.FilterEvents, contract.FilterStatus, "booth/v1/+/state/#"},
		"HQ-lists":       {contract.WantListTopic("+"), contract.ListsTopic("+")},
		"HQ-lists-serve": {contract.WantListTopic("+")},
		"HQ-control":     {contract.EventTopic("+", contract.ClassCmdResult), contract.EventTopic("+", contract.ClassDevice), contract.FilterStatus, "booth/v1/+/state/#"},
		booth:            {contract.ReceiptTopic(booth), contract.CommandTopic(booth), "list/v1/#", contract.TopicNotice},
		other:            {contract.ReceiptTopic(other), contract.CommandTopic(other), "list/v1/#", contract.TopicNotice},
	}
	clients, heard := map[string]mqtt.Client{}, map[string]chan mqtt.Message{}
	for name, own := range filters {
		clients[name], heard[name] = m.connect(name, name)
		for _, filter := range own {
			if got := ask(t, clients[name], filter); got != contract.QoS {
				t.Errorf("%s subscribes to %s: %#x", name, filter, got)
			}
		}
	}
	for i, tt := range [][2]string{
		{booth, "#"}, {booth, contract.FilterEvents}, {booth, contract.ReceiptTopic(other)}, {booth, contract.CommandTopic("+")}, {booth, contract.StatusTopic(other)},
		{booth, "$MQTT/sub/#"}, {booth, "$MQTT/#"}, {booth, "$JS/#"}, {booth, "$SYS/#"}, {booth, "_INBOX/#"},
		{"HQ-lists", contract.FilterEvents}, {"HQ-control", contract.EventTopic("+", contract.ClassCrossing)},
	} {
		c, _ := m.connect(tt[0], fmt.Sprint("try-", i))
		tok := c.Subscribe(tt[1], contract.QoS, nil)
		<-tok.Done()
		if got := tok.(*mqtt.SubscribeToken).Result()[tt[1]]; got != refused {
			t.Errorf("%s subscribes to %s: %#x, %v", tt[0], tt[1], got, tok.Error())
		}
	}
	// Beside MQTT a booth's certificate opens nothing.
	if c, err := nats.Connect(nodes.URLs()[0], nats.Secure(m.ca.client(t, booth)), nats.NoReconnect()); err == nil {
		t.Error("a booth connects as a NATS client")
		c.Close()
	}
	publish := []struct {
		from, topic string
		heard       []string
	}{
		{booth, contract.EventTopic(booth, contract.ClassCrossing), []string{"HQ-receiver", "HQ-receiver-3"}},
		{booth, contract.EventTopic(booth, contract.ClassCmdResult), []string{"HQ-control", "HQ-receiver", "HQ-receiver-3"}},
		{booth, contract.StatusTopic(booth), []string{"HQ-control", "HQ-receiver", "HQ-receiver-3"}},
		{booth, contract.HealthTopic(booth), []string{"HQ-control", "HQ-receiver", "HQ-receiver-3"}},
		{booth, contract.ListsTopic(booth), []string{"HQ-control", "HQ-lists", "HQ-receiver", "HQ-receiver-3"}},
		{booth, contract.WantListTopic(booth), []string{"HQ-lists", "HQ-lists-serve"}},
		{booth, contract.EventTopic(other, contract.ClassCrossing), nil},
		{booth, contract.StatusTopic(other), nil},
		{booth, contract.ReceiptTopic(other), nil},
		{booth, contract.ReceiptTopic(booth), nil},
		{booth, contract.CommandTopic(other), nil},
		{booth, "list/v1/tuf/timestamp", nil},
		{booth, contract.TopicNotice, nil},
		{"HQ-receiver", contract.ReceiptTopic(booth), []string{booth}},
		{"HQ-receiver", contract.CommandTopic(booth), nil},
		{"HQ-receiver", contract.EventTopic(booth, contract.ClassCrossing), nil},
		{"HQ-lists", contract.ReceiptTopic(booth), nil},
		{"HQ-lists-serve", contract.PartTopic(contract.ListCards, contract.PartDigest{}), []string{booth, other}},
		{"HQ-control", contract.CommandTopic(booth), []string{booth}},
		{"HQ-control", contract.ReceiptTopic(booth), nil},
	}
	for _, tt := range publish {
		wait(t, clients[tt.from].Publish(tt.topic, contract.QoS, false, tt.from))
	}
	// Each of these reaches everybody after what came before.
	wait(t, clients[booth].Publish(contract.ListsTopic(booth), contract.QoS, false, "end"))
	wait(t, clients[booth].Publish(contract.WantListTopic(booth), contract.QoS, false, "end"))
	wait(t, clients["HQ-lists"].Publish("list/v1/tuf/end", contract.QoS, false, "end"))
	got := map[string][]string{}
	for name := range filters {
		for msg := range heard[name] {
			if string(msg.Payload()) == "end" {
				break
			}
			key := string(msg.Payload()) + " " + msg.Topic()
			got[key] = append(got[key], name)
		}
	}
	for _, tt := range publish {
		names := got[tt.from+" "+tt.topic]
		slices.Sort(names)
		if !slices.Equal(names, tt.heard) {
			t.Errorf("%s to %s: heard by %v, want %v", tt.from, tt.topic, names, tt.heard)
		}
	}
}

// I4: three nodes, two receivers and one database. A node dies, a receiver
// dies, another node dies; each event is kept once and every booth knows.
func TestI4_NodesAndReceiversDieInTurn(t *testing.T) {
	t.Parallel()
	const booths, events = 3, 450 // events of each booth
	_, url := newPostgres(t)
	names := []string{"lane-0", "lane-1", "lane-2"}
	nodes, ways := newNATS(t, 3, names...)
	args := []string{"--db", url}
	for i := range ways {
		args = append(args, "--broker", ways[i].url, "--nats", nodes.URLs()[i])
	}
	all := newReplicas(t, args...)
	ca := ways[0].ca
	killFirst := all.start(ca, "HQ-receiver")
	all.start(ca, "HQ-receiver-2")
	var journals []*told
	for i, name := range names {
		brokers := nodes.Brokers() // each begins at another node
		journal, end := startBooth(t, ca, name, events, append(brokers[i:len(brokers):len(brokers)], brokers[:i]...)...)
		t.Cleanup(end)
		journals = append(journals, journal)
	}
	third := func() {
		for i, j := range journals {
			j.Append(contract.ClassAudit, events/3, auditOf(names[i]))
		}
	}
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	third()
	all.await(booths * events / 9)
	fatal(nodes.Kill(0))
	third()
	all.await(booths * events / 9)
	fatal(nodes.Restart(0))
	fatal(nodes.Ready())
	killFirst()
	third()
	fatal(nodes.Kill(1))
	for _, j := range journals {
		<-j.all
	}
	h := &headquarters{t: t, db: url}
	if s := h.report(); s.Missing != 0 || s.Doubled != 0 || s.Conflicts != 0 || s.Events != booths*events || len(s.Booths) != booths {
		t.Errorf("headquarters holds %+v", s)
	}
}

// I4: what a booth says while no receiver runs waits in the stream, and is there
// without the booth saying it again.
func TestI4_WhatNobodyReceivesWaitsInTheStream(t *testing.T) {
	t.Parallel()
	const events = 300
	_, url := newPostgres(t)
	nodes, ways := newNATS(t, 1, booth)
	m := ways[0]
	all := newReplicas(t, "--db", url, "--broker", m.url, "--nats", nodes.URLs()[0], "--nats-replicas", "1")
	say := func(from, to uint64) {
		t.Helper()
		c, _ := m.connect(booth, booth)
		for seq := from; seq <= to; seq++ {
			wait(t, c.Publish(contract.EventTopic(booth, contract.ClassAudit), contract.QoS, false, audited(seq, true)))
		}
		c.Disconnect(100)
	}
	// The first receiver makes the stream, after it has heard of the server.
	kill := all.start(m.ca, "HQ-receiver")
	c, _ := m.connect(booth, booth)
	for len(all.kept) == 0 {
		wait(t, c.Publish(contract.EventTopic(booth, contract.ClassAudit), contract.QoS, false, audited(1, true)))
	}
	c.Disconnect(100)
	kill()
	say(2, events)
	kill = all.start(m.ca, "HQ-receiver-2")
	all.await(events)
	kill()
	s := (&headquarters{t: t, db: url}).report()
	if e := s.Booths[0].Epochs[0]; e.Events != events || e.Upto != events || e.Missing != 0 {
		t.Errorf("kept %+v, want %d", e, events)
	}
}
