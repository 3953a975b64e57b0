package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"boothd/test/freeport"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// The brokers of a fleet that are not addresses.
const (
	embedded  = "embedded"
	mosquitto = "mosquitto"
	cluster   = "nats"
)

// startBroker starts the broker, or takes the ones that are there.
func (c *fleetCmd) startBroker(ctx context.Context) error {
	if len(c.Broker) == 1 && c.Broker[0] == embedded {
		return c.embed()
	}
	if len(c.Broker) == 1 && c.Broker[0] == mosquitto {
		return c.startMosquitto(ctx)
	}
	if len(c.Broker) == 1 && c.Broker[0] == cluster {
		return c.startNATS(ctx)
	}
	for _, b := range c.Broker {
		addr, err := brokerAddress(b)
		if err != nil {
			return fmt.Errorf("--broker %s: want embedded, mosquitto, nats or tcp://host:port: %w", b, err)
		}
		c.urls = append(c.urls, "tcp://"+addr)
	}
	return nil
}

// embed runs a broker in this process. It cannot be killed; all its
// connections are cut instead.
func (c *fleetCmd) embed() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("starting broker: %w", err)
	}
	s := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := errors.Join(s.AddHook(new(door), nil), s.AddListener(listeners.NewNet("tcp", l))); err != nil {
		return fmt.Errorf("starting broker: %w", err)
	}
	if err := s.Serve(); err != nil {
		return fmt.Errorf("starting broker: %w", err)
	}
	c.later(s.Close)
	c.urls = []string{"tcp://" + l.Addr().String()}
	c.killed = func(context.Context) error {
		for _, cl := range s.Clients.GetAll() {
			cl.Stop(errors.New("cut by the simulation"))
		}
		return nil
	}
	return nil
}

// startMosquitto runs the broker of small sites as a child that keeps nothing:
// a kill takes everything that it has acknowledged and not handed on.
func (c *fleetCmd) startMosquitto(ctx context.Context) error {
	bin, err := exec.LookPath("mosquitto")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil { // not on everybody's path
			return fmt.Errorf("--broker mosquitto: %w", err)
		}
	}
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	conf := filepath.Join(c.dir, "mosquitto.conf")
	if err := writeMosquitto(conf, addr); err != nil {
		return err
	}
	broker := &child{name: mosquitto, log: filepath.Join(c.dir, "mosquitto.log"), make: func() *exec.Cmd { return exec.Command(bin, "-c", conf) }}
	if err := broker.start(); err != nil {
		return err
	}
	c.later(broker.stop)
	c.urls = []string{"tcp://" + addr}
	c.killed = func(context.Context) error { return broker.kill() }
	return answers(ctx, broker, addr)
}

// freeAddress is a loopback port that was free a moment ago.
func freeAddress() (string, error) {
	port, err := freeport.Take()
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port), nil
}

// writeMosquitto writes the configuration and, beside it, the access list. The
// limits are those of configs/hq/mosquitto.conf.
func writeMosquitto(conf, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	var acl strings.Builder
	for _, patterns := range []bool{false, true} { // rules of a name stand before the patterns
		for _, r := range access {
			word := map[bool]string{false: "read", true: "write"}[r.write]
			switch {
			case patterns && r.user == "":
				fmt.Fprintf(&acl, "pattern %s %s\n", word, r.topic)
			case !patterns && r.user != "":
				fmt.Fprintf(&acl, "user %s\ntopic %s %s\n", r.user, word, r.topic)
			}
		}
	}
	list := filepath.Join(filepath.Dir(conf), "acl")
	text := "listener " + port + " " + host + "\nallow_anonymous true\nacl_file " + list + "\npersistence false\n" +
		"max_packet_size 262144\nmax_inflight_messages 1000\nmax_queued_messages 20000\nmax_queued_bytes 20971520\nset_tcp_nodelay true\n" +
		"log_dest stderr\nlog_type error\nlog_type warning\n"
	if os.Geteuid() == 0 {
		text += "user root\n" // it would give up root for one who cannot read here
	}
	return errors.Join(os.WriteFile(list, []byte(acl.String()), 0o600), os.WriteFile(conf, []byte(text), 0o600))
}

// answers waits until somebody listens at the address.
func answers(ctx context.Context, c *child, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w%s", c.name, err, tail(c.log))
		}
		if err := c.dead(); err != nil {
			return err
		}
	}
}
