package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rabbitPrograms is where Debian has RabbitMQ's own scripts; those on the path
// change to a user who cannot read here.
const rabbitPrograms = "/usr/lib/rabbitmq/bin/"

// rabbitMQ is RabbitMQ with its MQTT plugin, in a folder of its own.
type rabbitMQ struct {
	t       *testing.T
	dir     string
	addr    string
	env     []string
	process *exec.Cmd
}

// newRabbitMQ starts a broker that lets booths speak for themselves alone, by
// their certificates.
func newRabbitMQ(t *testing.T, booths []string) engine {
	t.Helper()
	r := &rabbitMQ{t: t, dir: t.TempDir()}
	ca := newCA(t, r.dir)
	ca.issue(t, "broker")
	r.addr = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	r.conf()
	r.definitions(booths)
	r.names()
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if text, err := os.ReadFile(r.log()); t.Failed() && err == nil {
			t.Logf("rabbitmq:\n%s", text[max(0, len(text)-20_000):])
		}
		if err := r.kill(); err != nil {
			t.Error(err)
		}
	})
	return engine{ca: ca, mqtt: []string{r.addr}, blows: []blow{{"rabbitmq", r.forget, r.start}}}
}

func (r *rabbitMQ) write(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// conf writes the broker's configuration. Its plugin gives a consumer ten
// messages until it is told otherwise.
func (r *rabbitMQ) conf() {
	r.t.Helper()
	r.write("enabled_plugins", "[rabbitmq_mqtt].\n")
	r.write("rabbitmq.conf", strings.ReplaceAll(`listeners.tcp = none
mqtt.listeners.tcp = none
mqtt.listeners.ssl.1 = `+r.addr+`
ssl_options.cacertfile = DIR/ca.pem
ssl_options.certfile = DIR/broker.pem
ssl_options.keyfile = DIR/broker.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_cert_login_from = common_name
mqtt.ssl_cert_login = true
mqtt.allow_anonymous = false
mqtt.prefetch = 1000
mqtt.exchange = amq.topic
load_definitions = DIR/definitions.json
log.console = true
log.console.level = warning
log.file = false
`, "DIR", r.dir))
}

// definitions writes users and what topics they have. RabbitMQ has dots for
// slashes.
func (r *rabbitMQ) definitions(booths []string) {
	r.t.Helper()
	type object map[string]string
	var users []map[string]any
	var permissions, topics []object
	for _, name := range append([]string{"HQ-receiver"}, booths...) {
		users = append(users, map[string]any{"name": name, "password_hash": "", "tags": []string{}})
		permissions = append(permissions, object{"user": name, "vhost": "/", "configure": "^mqtt-subscription-.*$", "write": "^(mqtt-subscription-.*|amq.topic)$", "read": "^(mqtt-subscription-.*|amq.topic)$"})
		may := object{"user": name, "vhost": "/", "exchange": "amq.topic", "write": `^booth\.v1\.{username}\.(status|state\..*|evt\..*|want\..*)$`, "read": `^booth\.v1\.{username}\.(rcpt|cmd)$`}
		if name == "HQ-receiver" {
			may["write"], may["read"] = `^booth\.v1\.[^.]+\.rcpt$`, `^booth\.v1\..*$`
		}
		topics = append(topics, may)
	}
	b, err := json.Marshal(map[string]any{"rabbit_version": "3.10.8", "users": users, "vhosts": []object{{"name": "/"}}, "permissions": permissions, "topic_permissions": topics})
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("definitions.json", string(b))
}

// names gives the node a name and a register of names of its own: what this
// machine may run beside it does not know of it.
func (r *rabbitMQ) names() {
	r.t.Helper()
	r.env = append(os.Environ(), "HOME="+r.dir, "LC_ALL=C.UTF-8", "ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprint("ERL_EPMD_PORT=", freePort(r.t)), "RABBITMQ_NODENAME=test@localhost",
		fmt.Sprint("RABBITMQ_DIST_PORT=", freePort(r.t)), "RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_CONFIG_FILE="+filepath.Join(r.dir, "rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(r.dir, "enabled_plugins"), "RABBITMQ_MNESIA_BASE="+filepath.Join(r.dir, "mnesia"),
		"RABBITMQ_LOG_BASE="+r.dir, "RABBITMQ_PID_FILE="+filepath.Join(r.dir, "pid"),
		"RUNNING_UNDER_SYSTEMD=true") // its script becomes the server, and is no parent of it
	register := exec.Command("epmd")
	register.Env, register.SysProcAttr = r.env, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := register.Start(); err != nil {
		r.t.Fatalf("%v; .ci/setup installs rabbitmq-server", err)
	}
	r.t.Cleanup(func() {
		_ = register.Process.Kill() // it has ended, else
		_ = register.Wait()
	})
}

func (r *rabbitMQ) log() string { return filepath.Join(r.dir, "log") }

// start starts the broker and waits until it answers.
func (r *rabbitMQ) start() error {
	log, err := os.OpenFile(r.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r.process = exec.Command(rabbitPrograms + "rabbitmq-server")
	r.process.Env, r.process.Stdout, r.process.Stderr = r.env, log, log
	r.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // its group: the server has helpers
	if err := r.process.Start(); err != nil {
		return fmt.Errorf("%w; .ci/setup installs rabbitmq-server", err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("rabbitmq does not answer: %w", err)
		}
	}
}

// kill ends the broker as a power cut would.
func (r *rabbitMQ) kill() error {
	if err := syscall.Kill(-r.process.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	_ = r.process.Wait() // killed: no exit code to ask for
	return nil
}

// forget kills the broker with all it has kept.
func (r *rabbitMQ) forget() error {
	return errors.Join(r.kill(), os.RemoveAll(filepath.Join(r.dir, "mnesia")))
}
