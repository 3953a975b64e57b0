package receivertest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"boothd/test/freeport"
)

// NATS is a cluster of nats-server nodes under the configuration that we ship.
type NATS struct {
	dir   string
	nodes []*node
}

// node is one server; its ports stay its own from one start to the next.
type node struct {
	dir                          string
	mqtt, client, route, monitor int
	process                      *exec.Cmd
}

// StartNATS starts n nodes, one or three, each from the files in configs with
// nothing changed but ports, folders and addresses. tls holds ca.pem, node.pem
// and node.key; booths are who may come beside headquarters' programs.
func StartNATS(configs, tls string, n int, booths ...string) (c *NATS, err error) {
	c = new(NATS)
	if c.dir, err = os.MkdirTemp("", "booth-nats-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	users := exec.Command(filepath.Join(configs, "nats-users.sh"))
	users.Stdin = strings.NewReader(strings.Join(booths, "\n") + "\n")
	list, err := users.Output()
	if err != nil {
		return nil, fmt.Errorf("nats-users.sh: %w", err)
	}
	for i := range n {
		d := &node{dir: filepath.Join(c.dir, fmt.Sprint(i+1))}
		if err := os.Mkdir(d.dir, 0o700); err != nil {
			return nil, err
		}
		for _, p := range []*int{&d.mqtt, &d.client, &d.route, &d.monitor} {
			if *p, err = freeport.Take(); err != nil {
				return nil, err
			}
		}
		if err := os.WriteFile(filepath.Join(d.dir, "users.conf"), list, 0o600); err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, d)
	}
	for i, d := range c.nodes {
		for _, name := range []string{"nats-common.conf", fmt.Sprintf("nats-%d.conf", i+1)} {
			if err := c.lay(d, configs, tls, name); err != nil {
				return nil, err
			}
		}
	}
	for i := range c.nodes {
		if err := c.start(i); err != nil {
			return nil, err
		}
	}
	return c, c.Ready()
}

// lay copies one file. What it means to change must be there.
func (c *NATS) lay(d *node, configs, tls, name string) error {
	b, err := os.ReadFile(filepath.Join(configs, name))
	if err != nil {
		return err
	}
	text := string(b)
	edits := map[string]string{
		"127.0.0.1:8883": fmt.Sprintf("127.0.0.1:%d", d.mqtt), "127.0.0.1:4222": fmt.Sprintf("127.0.0.1:%d", d.client),
		"127.0.0.1:8222": fmt.Sprintf("127.0.0.1:%d", d.monitor), "/var/lib/nats": d.dir, "/etc/nats/tls/": tls + "/",
		"max_file: 50GB": "max_file: 20GB",
	}
	if name != "nats-common.conf" {
		edits = map[string]string{"127.0.0.1:6222": fmt.Sprintf("127.0.0.1:%d", d.route), "/etc/nats/tls/": tls + "/"}
		for i, o := range c.nodes {
			edits[fmt.Sprintf("hq-%d.example:6222", i+1)] = fmt.Sprintf("127.0.0.1:%d", o.route)
		}
	}
	if len(c.nodes) == 1 { // the one node has no cluster, and keeps one of each
		text = regexp.MustCompile(`(?s)\ncluster \{.*\n\}\n`).ReplaceAllString(text, "\n")
		text = strings.Replace(text, "stream_replicas: 3", "stream_replicas: 1", 1)
		edits = keep(edits, text)
	}
	for from, to := range edits {
		if !strings.Contains(text, from) {
			return fmt.Errorf("%s has no %q", name, from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	return os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600)
}

// keep gives the edits that still have something to change.
func keep(edits map[string]string, text string) map[string]string {
	out := make(map[string]string)
	for from, to := range edits {
		if strings.Contains(text, from) {
			out[from] = to
		}
	}
	return out
}

func (c *NATS) start(i int) error {
	d := c.nodes[i]
	program, err := exec.LookPath("nats-server")
	if err != nil {
		// .ci/setup puts it beside the other tools of the project.
		root, rootErr := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
		program = filepath.Join(string(bytes.TrimSpace(root)), "bin", "nats-server")
		if _, missing := os.Stat(program); rootErr != nil || missing != nil {
			return fmt.Errorf("%w; .ci/setup installs nats-server", err)
		}
	}
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.process = exec.Command(program, "-c", filepath.Join(d.dir, fmt.Sprintf("nats-%d.conf", i+1)))
	d.process.Stdout, d.process.Stderr = log, log
	d.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return d.process.Start()
}

// Ready waits until every node that runs is well: it knows the leader of its
// streams and is up to date with it.
func (c *NATS) Ready() error {
	late := time.After(2 * time.Minute)
	for i, d := range c.nodes {
		for d.process != nil {
			if r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", d.monitor)); err == nil {
				r.Body.Close()
				if r.StatusCode == http.StatusOK {
					break
				}
			}
			select {
			case <-late:
				return fmt.Errorf("node %d is not well:\n%s", i+1, c.Log(i))
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

// Log is what node i, from 0, has said.
func (c *NATS) Log(i int) string {
	b, _ := os.ReadFile(filepath.Join(c.nodes[i].dir, "log")) // none is said if there is none
	return string(b)
}

// Brokers are the nodes as MQTT brokers.
func (c *NATS) Brokers() (urls []string) {
	for _, d := range c.nodes {
		urls = append(urls, fmt.Sprintf("ssl://127.0.0.1:%d", d.mqtt))
	}
	return urls
}

// URLs are the nodes for NATS clients.
func (c *NATS) URLs() (urls []string) {
	for _, d := range c.nodes {
		urls = append(urls, fmt.Sprintf("tls://127.0.0.1:%d", d.client))
	}
	return urls
}

// Kill ends node i as a power cut would, and Restart starts it with what it has
// on disk.
func (c *NATS) Kill(i int) error {
	d := c.nodes[i]
	if d.process == nil {
		return nil
	}
	if err := d.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = d.process.Wait() // killed: no exit code to ask for
	d.process = nil
	return nil
}

// Lose kills node i and deletes all that it has kept.
func (c *NATS) Lose(i int) error {
	return errors.Join(c.Kill(i), os.RemoveAll(filepath.Join(c.nodes[i].dir, "jetstream")))
}

// Restart starts a node that was killed. It does not wait until it is well.
func (c *NATS) Restart(i int) error { return c.start(i) }

// Stop ends all and removes their folders.
func (c *NATS) Stop() error {
	var errs []error
	for i := range c.nodes {
		errs = append(errs, c.Kill(i))
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
