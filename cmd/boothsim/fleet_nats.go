package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// natsNodes is how many nodes a cluster has: one may go.
const natsNodes = 3

// natsWell is how long a node may take until it is up to date with the others.
const natsWell = 2 * time.Minute

// natsNode is one server of the cluster. Its addresses stay its own.
type natsNode struct {
	*child
	mqtt, client, route, monitor string
}

// startNATS runs a cluster as children, in clear and on this machine alone. Its
// nodes are killed in turn, each only when all are well: that one of three may
// go is what a cluster promises. Each starts again with what is on its disk.
func (c *fleetCmd) startNATS(ctx context.Context) error {
	bin, err := exec.LookPath("nats-server")
	if err != nil {
		if bin, err = program(c.Bin, "nats-server"); err != nil {
			return fmt.Errorf("--broker nats: %w, or go install github.com/nats-io/nats-server/v2", err)
		}
	}
	nodes := make([]*natsNode, natsNodes)
	for i := range nodes {
		n := new(natsNode)
		for _, addr := range []*string{&n.mqtt, &n.client, &n.route, &n.monitor} {
			if *addr, err = freeAddress(); err != nil {
				return err
			}
		}
		nodes[i] = n
	}
	for i, n := range nodes {
		name := fmt.Sprintf("hq-%d", i+1)
		conf := filepath.Join(c.dir, name+".conf")
		if err := os.WriteFile(conf, []byte(natsText(name, filepath.Join(c.dir, name), n, nodes)), 0o600); err != nil {
			return err
		}
		n.child = &child{name: "nats-server " + name, log: filepath.Join(c.dir, name+".log"), make: func() *exec.Cmd { return exec.Command(bin, "-c", conf) }}
		if err := n.start(); err != nil {
			return err
		}
		c.later(n.stop)
		c.urls, c.pull = append(c.urls, "tcp://"+n.mqtt), append(c.pull, "nats://"+n.client)
	}
	turn := 0
	c.killed = func(ctx context.Context) error {
		if err := allWell(ctx, nodes); err != nil || ctx.Err() != nil {
			return err
		}
		turn++
		return nodes[turn%natsNodes].kill()
	}
	return allWell(ctx, nodes)
}

// natsText is a node's configuration. Its limits are those of
// configs/hq/nats-common.conf.
func natsText(name, dir string, n *natsNode, all []*natsNode) string {
	var routes []string
	for _, other := range all {
		routes = append(routes, `"nats://`+other.route+`"`)
	}
	return fmt.Sprintf(`server_name: %s
listen: "%s"
http: "%s"
max_payload: 256KB
max_connections: 20000
ping_interval: 20s
write_deadline: 10s
jetstream { store_dir: "%s", max_mem: 256MB, max_file: 20GB, limits: { default_max_consumers: -1 } }
mqtt { listen: "%s", stream_replicas: %d, ack_wait: 30s, max_ack_pending: 1000, consumer_inactive_threshold: 5m }
cluster { name: hq, listen: "%s", routes: [%s] }
`, name, n.client, n.monitor, dir, n.mqtt, len(all), n.route, strings.Join(routes, ", "))
}

// allWell waits until every node knows the leader of its streams and has what
// that has. It is no error that ctx ends: the run is over.
func allWell(ctx context.Context, nodes []*natsNode) error {
	limit, cancel := context.WithTimeoutCause(ctx, natsWell, errors.New("not well in time"))
	defer cancel()
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for _, n := range nodes {
		for !n.well(limit) {
			select {
			case <-every.C:
			case <-limit.Done():
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("%s: %w%s", n.name, context.Cause(limit), tail(n.log))
			}
			if err := n.dead(); err != nil {
				return err
			}
		}
	}
	return nil
}

// well asks a node how it is.
func (n *natsNode) well(ctx context.Context) bool {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.monitor+"/healthz", nil)
	if err != nil {
		return false
	}
	client := http.Client{Transport: &http.Transport{DialContext: new(net.Dialer).DialContext, DisableKeepAlives: true}} // no proxy: it is on this machine
	r, err := client.Do(q)
	if err != nil {
		return false
	}
	_ = r.Body.Close() // its status is all
	return r.StatusCode == http.StatusOK
}
