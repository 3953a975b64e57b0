package main

import (
	"net"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// rule lets a name say or hear what a filter covers.
type rule struct {
	user  string // "" for every booth, under its own name: %u
	write bool
	topic string
}

// access is who may say and hear what. It is the list that brokers of ports
// have, configs/hq/acl, for the names that a demo needs; a test compares them.
//
// Source: mqtt contract, sections 1 and 10.
var access = []rule{
	{"HQ-receiver", false, "booth/v1/+/evt/#"},
	{"HQ-receiver", false, "booth/v1/+/status"},
	{"HQ-receiver", false, "booth/v1/+/state/#"},
	{"HQ-receiver", true, "booth/v1/+/rcpt"},
	{"", true, "booth/v1/%u/status"},
	{"", true, "booth/v1/%u/state/#"},
	{"", true, "booth/v1/%u/evt/#"},
	{"", true, "booth/v1/%u/want/#"},
	{"", false, "booth/v1/%u/rcpt"},
	{"", false, "booth/v1/%u/cmd"},
	{"", false, "list/v1/#"},
	{"", false, "fleet/v1/#"},
}

// allowed tells whether a name may publish to a topic or subscribe to a filter.
// A name that a filter or a level could be taken for may nothing.
func allowed(user, topic string, write bool) bool {
	if user == "" || strings.ContainsAny(user, "+#/%") {
		return false
	}
	for _, r := range access {
		if r.write == write && (r.user == "" || r.user == user) && covers(strings.ReplaceAll(r.topic, "%u", user), topic) {
			return true
		}
	}
	return false
}

// covers tells whether everything that a topic or filter means is in a rule.
func covers(rule, topic string) bool {
	have, want := strings.Split(rule, "/"), strings.Split(topic, "/")
	for i, level := range have {
		switch {
		case level == "#":
			return true
		case i >= len(want) || want[i] == "#":
			return false
		case level != "+" && level != want[i]:
			return false
		}
	}
	return len(have) == len(want)
}

// door lets in whoever is on this machine and has a name, and holds it to the
// rules. Names need no proof here: the brokers of ports ask for certificates.
type door struct{ mqtt.HookBase }

// ID names the hook.
func (*door) ID() string { return "door" }

// Provides tells what the hook answers.
func (*door) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}

// OnConnectAuthenticate lets in who has a name.
func (*door) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	return len(pk.Connect.Username) > 0
}

// OnACLCheck holds everyone to the rules.
func (*door) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	return allowed(string(cl.Properties.Username), topic, write)
}

// brokerAddress reads "host:port" or "tcp://host:port".
func brokerAddress(s string) (string, error) {
	addr := strings.TrimPrefix(s, "tcp://")
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return "", err
	}
	return addr, nil
}
