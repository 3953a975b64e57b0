package main

import (
	"os"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// What the demo's broker allows is what configs/hq/acl allows the same names.
func TestAccessIsThatOfThePorts(t *testing.T) {
	b, err := os.ReadFile("../../configs/hq/acl")
	if err != nil {
		t.Fatal(err)
	}
	file := map[rule]bool{}
	user := ""
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "user":
			user = f[1]
		case len(f) == 3 && f[0] == "topic" && user == "HQ-receiver":
			file[rule{user, f[1] == "write", f[2]}] = true
		case len(f) == 3 && f[0] == "pattern":
			file[rule{"", f[1] == "write", f[2]}] = true
		}
	}
	for _, r := range access {
		if !file[r] {
			t.Errorf("%+v is not in configs/hq/acl", r)
		}
		delete(file, r)
	}
	for r := range file {
		t.Errorf("%+v is only in configs/hq/acl", r)
	}
}

func TestAllowed(t *testing.T) {
	tests := []struct {
		user, topic string
		write, want bool
	}{
		{"lane-1", "booth/v1/lane-1/evt/crossing", true, true},
		{"lane-1", "booth/v1/lane-1/status", true, true},
		{"lane-1", "booth/v1/lane-2/status", true, false},
		{"lane-1", "booth/v1/lane-1/rcpt", true, false},
		{"lane-1", "booth/v1/lane-1/rcpt", false, true},
		{"lane-1", "booth/v1/+/rcpt", false, false},
		{"lane-1", "booth/v1/#", false, false},
		{"lane-1", "#", false, false},
		{"lane-1", "list/v1/#", false, true},
		{"lane-1", "list/v1/cards", true, false},
		{"HQ-receiver", "booth/v1/+/evt/#", false, true},
		{"HQ-receiver", "booth/v1/+/#", false, false},
		{"HQ-receiver", "booth/v1/lane-1/rcpt", true, true},
		{"HQ-receiver", "booth/v1/lane-1/cmd", true, false},
		{"", "list/v1/#", false, false},
		{"+", "booth/v1/lane-1/status", true, false},
		{"#", "booth/v1/#", false, false},
	}
	for _, tt := range tests {
		if got := allowed(tt.user, tt.topic, tt.write); got != tt.want {
			t.Errorf("allowed(%q, %q, write %t) = %t, want %t", tt.user, tt.topic, tt.write, got, tt.want)
		}
	}
}

// client connects under a name; the error is the broker's answer.
func client(t *testing.T, addr, name string) (paho.Client, error) {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("c" + name).SetUsername(name).
		SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(5 * time.Second))
	token := c.Connect()
	if !token.WaitTimeout(10 * time.Second) {
		t.Fatal("no answer from the broker")
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c, token.Error()
}

// The rules are the broker's, not only the function's.
func TestBrokerHoldsABoothToItsName(t *testing.T) {
	addr, stop, err := startBroker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	hq, err := client(t, addr, "HQ-receiver")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 8)
	if token := hq.Subscribe("booth/v1/+/evt/#", 1, func(_ paho.Client, m paho.Message) { heard <- m.Topic() }); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	booth, err := client(t, addr, "lane-1")
	if err != nil {
		t.Fatal(err)
	}
	// The forged one is sent first: it would be heard first.
	for _, topic := range []string{"booth/v1/lane-2/evt/crossing", "booth/v1/lane-1/evt/crossing"} {
		booth.Publish(topic, 1, false, "x").WaitTimeout(10 * time.Second)
		if !booth.IsConnectionOpen() {
			if booth, err = client(t, addr, "lane-1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	select {
	case got := <-heard:
		if got != "booth/v1/lane-1/evt/crossing" {
			t.Errorf("heard %s", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was heard")
	}
	if _, err := client(t, addr, ""); err == nil {
		t.Error("someone without a name was let in")
	}
}

func TestBrokerAddress(t *testing.T) {
	for _, s := range []string{"127.0.0.1:1883", "tcp://127.0.0.1:1883"} {
		if got, err := brokerAddress(s); err != nil || got != "127.0.0.1:1883" {
			t.Errorf("brokerAddress(%q) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "host", "ssl://host:8883", "tcp://host"} {
		if got, err := brokerAddress(s); err == nil {
			t.Errorf("brokerAddress(%q) = %q, want an error", s, got)
		}
	}
}
