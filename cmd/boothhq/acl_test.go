package main

import (
	"slices"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
)

const other = "pac-hwy-nexus-04"

// The real broker with the real access list. It answers what it refuses as if
// it were done, so only what is heard tells.
func TestBrokerLetsEachSpeakForItselfAlone(t *testing.T) {
	m := newMosquitto(t)
	receivers := []string{"HQ-receiver", "HQ-receiver-2", "HQ-receiver-3"}
	all := []string{"HQ-control", "HQ-lists", "HQ-lists-serve", "HQ-receiver", "HQ-receiver-2", "HQ-receiver-3", booth, other}
	tests := []struct {
		from, topic string
		heard       []string
	}{
		{booth, contract.EventTopic(booth, contract.ClassCrossing), receivers},
		{booth, contract.EventTopic(booth, contract.ClassCmdResult), append([]string{"HQ-control"}, receivers...)},
		{booth, contract.EventTopic(booth, contract.ClassDevice), append([]string{"HQ-control"}, receivers...)},
		{booth, contract.StatusTopic(booth), append([]string{"HQ-control"}, receivers...)},
		{booth, contract.HealthTopic(booth), append([]string{"HQ-control"}, receivers...)},
		{booth, contract.ListsTopic(booth), append([]string{"HQ-control", "HQ-lists"}, receivers...)},
		{booth, contract.WantListTopic(booth), []string{"HQ-lists", "HQ-lists-serve"}},
		{booth, contract.EventTopic(other, contract.ClassCrossing), nil},
		{booth, contract.StatusTopic(other), nil},
		{booth, contract.ReceiptTopic(booth), nil},
		{booth, contract.ReceiptTopic(other), nil},
		{booth, contract.CommandTopic(booth), nil},
		{booth, contract.CommandTopic(other), nil},
		{booth, "list/v1/tuf/timestamp", nil},
		{booth, contract.TopicNotice, nil},
		{booth, "elsewhere", nil},
		{"+", contract.EventTopic(booth, contract.ClassCrossing), nil}, // a name that is a wildcard

		{"HQ-receiver", contract.ReceiptTopic(booth), []string{booth}},
		{"HQ-receiver-3", contract.ReceiptTopic(booth), []string{booth}},
		{"HQ-receiver-3", contract.CommandTopic(booth), nil},
		{"HQ-receiver", contract.CommandTopic(booth), nil},
		{"HQ-receiver", contract.EventTopic(booth, contract.ClassCrossing), nil},
		{"HQ-receiver", "list/v1/tuf/timestamp", nil},
		{"HQ-lists", "list/v1/tuf/timestamp", all},
		{"HQ-lists", contract.ReceiptTopic(booth), nil},
		{"HQ-lists-serve", contract.PartTopic(contract.ListCards, contract.PartDigest{}), all},
		{"HQ-lists-serve", contract.ReceiptTopic(booth), nil},
		{"HQ-lists", contract.CommandTopic(booth), nil},
		{"HQ-control", contract.CommandTopic(booth), []string{booth}},
		{"HQ-control", contract.TopicNotice, all},
		{"HQ-control", contract.ReceiptTopic(booth), nil},
	}
	clients, heard := map[string]mqtt.Client{}, map[string]chan mqtt.Message{}
	for _, name := range append([]string{"+"}, all...) {
		clients[name], heard[name] = m.connect(name, name)
		wait(t, clients[name].Subscribe("#", contract.QoS, nil))
	}
	for _, tt := range tests {
		wait(t, clients[tt.from].Publish(tt.topic, contract.QoS, false, tt.from))
	}
	// All is with the broker; what follows tells each that it has heard all.
	wait(t, clients["HQ-lists"].Publish("list/v1/tuf/end", contract.QoS, false, "end"))
	got := map[string][]string{} // names by "from topic"
	for _, name := range all {
		for msg := range heard[name] {
			if string(msg.Payload()) == "end" {
				break
			}
			key := string(msg.Payload()) + " " + msg.Topic()
			got[key] = append(got[key], name)
		}
	}
	for _, tt := range tests {
		if names := got[tt.from+" "+tt.topic]; !slices.Equal(names, tt.heard) {
			t.Errorf("%s to %s: heard by [%s], want [%s]", tt.from, tt.topic, strings.Join(names, " "), strings.Join(tt.heard, " "))
		}
	}
}

func TestBrokerTakesTheNameFromTheCertificate(t *testing.T) {
	m := newMosquitto(t)
	first, heard := m.connect(booth, booth)
	wait(t, first.Subscribe(contract.ReceiptTopic(booth), contract.QoS, nil))
	second, stolen := m.connect(other, booth) // claims the other's client id
	wait(t, second.Subscribe("#", contract.QoS, nil))
	wait(t, first.Subscribe(contract.TopicNotice, contract.QoS, nil)) // fails on a line that was thrown out
	hq, _ := m.connect("HQ-receiver", "HQ-receiver")
	wait(t, hq.Publish(contract.ReceiptTopic(booth), contract.QoS, false, "receipt"))
	if msg := <-heard; string(msg.Payload()) != "receipt" {
		t.Errorf("the first connection heard %q", msg.Payload())
	}
	office, _ := m.connect("HQ-lists", "HQ-lists")
	wait(t, office.Publish("list/v1/tuf/timestamp", contract.QoS, false, "list"))
	if msg := <-stolen; string(msg.Payload()) != "list" {
		t.Errorf("another booth hears %q first", msg.Payload())
	}

	// Without a certificate of our authority nobody connects.
	elsewhere := newCA(t, t.TempDir())
	foreign := elsewhere.client(t, booth)
	foreign.RootCAs = m.ca.client(t, booth).RootCAs
	bare := foreign.Clone()
	bare.Certificates = nil
	for name, cfg := range map[string]*mqtt.ClientOptions{
		"foreign": mqtt.NewClientOptions().SetTLSConfig(foreign),
		"bare":    mqtt.NewClientOptions().SetTLSConfig(bare),
	} {
		c := mqtt.NewClient(cfg.AddBroker(m.url).SetClientID(booth).SetProtocolVersion(4))
		if tok := c.Connect(); tok.Wait() && tok.Error() == nil {
			t.Errorf("a client with a %s certificate connected", name)
			c.Disconnect(0)
		}
	}
}
