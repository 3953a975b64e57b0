package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"boothd/agent"
	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/uplink/uplinktest"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/port"
	"boothd/devices/sim"
)

// overTCP lets programs call a broker that is in this process.
func overTCP(t *testing.T, b *uplinktest.Broker) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := b.Dial(t.Context(), "", "")
			if err != nil {
				_ = near.Close()
				continue
			}
			// Either end may hang up first; the other is told by the close.
			go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
			go func() { _, _ = io.Copy(near, far); _ = near.Close() }()
		}
	}()
	return "tcp://" + l.Addr().String()
}

// wholeBooth is a real boothd with no hardware but a simulated chip.
func wholeBooth(t *testing.T, b *uplinktest.Broker, keys string) (start func() (stop func())) {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("../../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := agent.Drivers.Parse("booth.toml", []byte(strings.NewReplacer(
		`# socket = "/run/boothd/boothd.sock"`, `socket = "`+dir+`/boothd.sock"`,
		`# dir = "/var/lib/boothd"`, `dir = "`+dir+`/store"`,
		`"pinctrl-bcm2711"`, `"sim:`+dir+`/chip.sock"`,
		`["ssl://hq-a:8883", "ssl://hq-b:8883"]`, `["tcp://127.0.0.1:1"]`,
		`# keys = "/etc/boothd/trust/command-keys.pem"`, `keys = "`+keys+`"`,
		`# listen = "127.0.0.1:7080"`, `listen = "127.0.0.1:1"`,
		"\nca = ", "\n# ca = ", "\ncert = ", "\n# cert = ", "\nkey = \"credential:mqtt-key\"", "\n# key").Replace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	board, pull := context.WithCancel(context.Background())
	t.Cleanup(pull)
	var lines []sim.ChipLine
	for _, in := range cfg.GPIO.In {
		lines = append(lines, sim.ChipLine{Name: in.Line, Pull: in.ActiveLow})
	}
	for name, out := range cfg.GPIO.Out {
		lines = append(lines, sim.ChipLine{Name: out.Line, Pull: name == "traveller_red"})
	}
	if _, err := sim.ServeChip(board, filepath.Join(dir, "chip.sock"), lines); err != nil {
		t.Fatal(err)
	}
	began, away := time.Now(), errors.New("not in this test")
	return func() func() {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			err := agent.Run(ctx, cfg, agent.World{
				OpenPort: func(context.Context, port.Spec) (port.Port, error) { return nil, away },
				OpenChip: gpio.OpenChip, Dial: b.Dial,
				Clock: func() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 },
				Mono:  func() time.Duration { return time.Since(began) },
				Secret: func(ref configs.Ref) ([]byte, error) {
					path, err := ref.File("")
					if err != nil {
						return nil, err
					}
					return os.ReadFile(path)
				},
				Notify: func(string) {}, Log: slog.New(slog.DiscardHandler), Version: "test", Boot: "boot",
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("boothd: %v", err)
			}
		}()
		stop := sync.OnceFunc(func() {
			cancel()
			<-done
		})
		t.Cleanup(stop)
		return stop
	}
}

// hellosOf tells of each hello of the booth.
func hellosOf(b *uplinktest.Broker) <-chan struct{} {
	hellos := make(chan struct{}, 256)
	b.Listen(contract.EventTopic(booth, contract.ClassDevice), func(_ string, payload []byte) {
		if e, err := contract.Decode(payload); err == nil && e.Type == contract.TypeHello {
			hellos <- struct{}{}
		}
	})
	return hellos
}

// desk is a folder of keys with its passphrase, and a broker.
type desk struct {
	t          *testing.T
	keys, pass string
	url        string
}

func newDesk(t *testing.T, url string) *desk {
	t.Helper()
	d := &desk{t: t, keys: t.TempDir(), pass: filepath.Join(t.TempDir(), "pass"), url: url}
	if err := os.WriteFile(d.pass, []byte("correct horse battery staple"), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// key makes a key and the file that booths trust.
func (d *desk) key(name string) (file string) {
	d.t.Helper()
	file = filepath.Join(d.keys, "command-keys.pem")
	must(d.t, "command", "keys", d.keys, "--new", name, "--out", file, "--passphrase-file", d.pass)
	return file
}

// send runs boothhq command send; r is the zero result if it printed none.
func (d *desk) send(args ...string) (r contract.CommandResult, code int, said string) {
	d.t.Helper()
	var out, log bytes.Buffer
	code = run(d.t.Context(), append([]string{"command", "send", "--json", "--keys", d.keys, "--passphrase-file", d.pass, "--broker", d.url}, args...), &out, &log)
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			d.t.Fatalf("%v: %s", err, &out)
		}
	}
	return r, code, log.String()
}

// The office makes a key, the booth trusts it, and does what it is told; it
// tells why not, where it does not.
func TestCommandsReachABooth(t *testing.T) {
	t.Parallel()
	b := uplinktest.NewBroker(t)
	t.Cleanup(b.Close)
	d := newDesk(t, overTCP(t, b))
	hellos, sent := hellosOf(b), make(chan struct{}, 256)
	b.Listen(contract.CommandTopic(booth), func(string, []byte) { sent <- struct{}{} })
	start := wholeBooth(t, b, d.key("duty-1"))
	stop := start() // a journal takes no command that is older than itself
	<-hellos
	stop()

	// The booth is away: the command waits for its hello.
	type answer struct {
		r    contract.CommandResult
		code int
		said string
	}
	first := make(chan answer, 1)
	go func() {
		r, code, said := d.send(booth, "outbox.resend", "--wait", "40s", "--by", "k.lee")
		first <- answer{r, code, said}
	}()
	<-sent
	stop = start()
	a := <-first
	if a.code != 0 || a.r.Outcome != contract.CommandDone || a.r.Name != "outbox.resend" {
		t.Fatalf("exit %d, %+v: %s", a.code, a.r, a.said)
	}
	for _, tt := range []struct {
		args   []string
		code   int
		reason string
		said   string
	}{
		{[]string{booth, "outbox.resend", "--args", `{"from":1,"to":1}`}, 0, "", ""},
		{[]string{booth, "outbox.resend", "--args", `{"from":2,"to":1}`}, exitFailure, "bad_args", "was refused: bad_args"},
		{[]string{booth, "list.refresh"}, exitFailure, "no_source", "was failed: no_source"},
		{[]string{booth, "lane.mode", "--args", `{"type":"general"}`}, exitFailure, "not_allowed", "commands.allow"},
		{[]string{booth, "gate.open"}, exitUsage, "", "there are list.refresh, outbox.resend, identify, lane.mode, bundle.upload"},
		{[]string{booth, "list.refresh", "--valid", "200h"}, exitUsage, "", "valid for more than 168h"},
		{[]string{booth, "list.refresh", "--args", "[]"}, exitUsage, "", "not an object"},
		{[]string{"Pac", "list.refresh"}, exitUsage, "", "booth id"},
		{[]string{booth, "list.refresh", "--sign", "nobody"}, exitFailure, "", "no such key"},
		{[]string{booth, "list.refresh", "--wait", "0"}, 0, "", ""},
		{[]string{other, "list.refresh", "--wait", "200ms"}, exitFailure, "", "no answer within 200ms"},
	} {
		r, code, said := d.send(tt.args...)
		if code != tt.code || r.Reason != tt.reason || !strings.Contains(said, tt.said) {
			t.Errorf("%v: exit %d, %+v, %q; want %d, %q, %q", tt.args, code, r, said, tt.code, tt.reason, tt.said)
		}
	}
	stop()
}

// A booth that trusts the old key alone takes nothing of the new one.
func TestABoothTakesCommandsOfItsKeysAlone(t *testing.T) {
	t.Parallel()
	b := uplinktest.NewBroker(t)
	t.Cleanup(b.Close)
	d := newDesk(t, overTCP(t, b))
	file := filepath.Join(t.TempDir(), "booth.pem")
	old, err := os.ReadFile(d.key("old"))
	if err == nil {
		err = os.WriteFile(file, old, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.key("new")
	results := make(chan contract.CommandResult, 256)
	b.Listen(contract.FilterEvents, func(_ string, payload []byte) {
		if e, err := contract.Decode(payload); err == nil {
			// The hello of a booth has a command sent once more.
			if r, err := contract.As[contract.CommandResult](e); err == nil && r.Reason != "replayed" {
				results <- r
			}
		}
	})
	hellos := hellosOf(b)
	wholeBooth(t, b, file)()
	<-hellos
	if _, code, said := d.send(booth, "outbox.resend"); code != exitUsage || !strings.Contains(said, "2 keys") {
		t.Errorf("without --sign: exit %d, %s", code, said)
	}
	if r, code, said := d.send(booth, "outbox.resend", "--sign", "old", "--wait", "40s"); code != 0 {
		t.Fatalf("the old key: exit %d, %+v, %s", code, r, said)
	}
	if r := <-results; r.Outcome != contract.CommandDone {
		t.Errorf("%+v", r)
	}
	if _, code, said := d.send(booth, "outbox.resend", "--sign", "new", "--wait", "0"); code != 0 {
		t.Errorf("sending: exit %d, %s", code, said)
	}
	if r := <-results; r.Reason != "untrusted" || r.ID != "" {
		t.Errorf("the new key: %+v", r)
	}
}

func TestCommandKeys(t *testing.T) {
	d := newDesk(t, "")
	var out, log bytes.Buffer
	if code := run(t.Context(), []string{"command", "keys", d.keys, "--passphrase-file", d.pass}, &out, &log); code != exitFailure || !strings.Contains(log.String(), "--new NAME") {
		t.Errorf("an empty folder: exit %d, %s", code, &log)
	}
	file := d.key("b")
	d.key("a")
	if code := run(t.Context(), []string{"command", "keys", d.keys, "--json", "--passphrase-file", d.pass}, &out, &log); code != 0 {
		t.Fatalf("exit %d, %s", code, &log)
	}
	var keys []commandKey
	if err := json.Unmarshal(out.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := contract.ParseKeys(b)
	if err != nil || len(keys) != 2 || keys[0].Name != "a" || keys[0].ID != trust.IDs()[0] || keys[1].ID != trust.IDs()[1] {
		t.Errorf("keys %+v, file %v, %v", keys, trust.IDs(), err)
	}
	for _, tt := range []struct{ args, want string }{
		{"--new a", "a key is made once"},
		{"--new A/b", "1 to 32 of a-z"},
	} {
		log.Reset()
		if code := run(t.Context(), append([]string{"command", "keys", d.keys, "--passphrase-file", d.pass}, strings.Fields(tt.args)...), &out, &log); code != exitFailure || !strings.Contains(log.String(), tt.want) {
			t.Errorf("%s: exit %d, %s", tt.args, code, &log)
		}
	}
	if err := os.WriteFile(d.pass, []byte("another horse battery staple"), 0o600); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	if code := run(t.Context(), []string{"command", "keys", d.keys, "--passphrase-file", d.pass}, &out, &log); code != exitFailure || !strings.Contains(log.String(), "wrong passphrase") {
		t.Errorf("another passphrase: exit %d, %s", code, &log)
	}
}
