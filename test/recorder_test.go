package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
)

// recorder hears everything that goes over a broker. When its test ends, every
// message is judged by the contract's documents, as test/contract/check.mjs
// does: a message that they do not describe fails the test.
type recorder struct {
	mu   sync.Mutex // paho's goroutines and the test's
	file *os.File
	err  error
}

// record starts to listen. The name has to be one that may hear all.
func record(t *testing.T, broker, name string) *recorder {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "sent.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{file: file}
	lost := func(_ mqtt.Client, err error) { r.note(nil, err) }
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID(name).SetUsername(name).
		SetAutoReconnect(false).SetConnectionLostHandler(lost))
	hear := func(_ mqtt.Client, m mqtt.Message) { r.note(m, nil) }
	for _, token := range []func() mqtt.Token{c.Connect, func() mqtt.Token { return c.Subscribe("#", contract.QoS, hear) }} {
		if k := token(); !k.WaitTimeout(10*time.Second) || k.Error() != nil {
			t.Fatalf("recording: %v", k.Error())
		}
	}
	t.Cleanup(func() {
		c.Disconnect(250) // ms
		r.judge(t)
		_ = file.Close()
	})
	return r
}

func (r *recorder) note(m mqtt.Message, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || r.err != nil {
		r.err = errors.Join(r.err, err)
		return
	}
	r.err = json.NewEncoder(r.file).Encode(map[string]string{
		"topic": m.Topic(), "payload": base64.StdEncoding.EncodeToString(m.Payload()),
	})
}

// judge gives how many messages there were so far, by name.
func (r *recorder) judge(t *testing.T) map[string]int {
	t.Helper()
	r.mu.Lock() // nothing is half written
	defer r.mu.Unlock()
	if r.err != nil {
		t.Fatalf("recording: %v", r.err)
	}
	said, err := judges()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := said.ask(r.file.Name())
	if err != nil {
		t.Fatalf("check.mjs: %v", err)
	}
	if len(answer.Problems) > 0 {
		t.Errorf("what was sent is not what the contract says:\n%s", strings.Join(answer.Problems, "\n"))
	}
	return answer.Count
}

// judge is check.mjs, which is asked about one file after another: to read the
// documents takes it seconds.
type judge struct {
	mu  sync.Mutex // tests that run beside one another ask in turn
	in  io.Writer
	out *json.Decoder
}

// judges starts it once; it goes when stdin ends with this process.
var judges = sync.OnceValues(func() (*judge, error) {
	cmd := exec.Command("node", "contract/check.mjs", "../agent/contract", "-")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &judge{in: in, out: json.NewDecoder(out)}, cmd.Start()
})

// opinion is what check.mjs says of one file.
type opinion struct {
	Problems []string       `json:"problems"`
	Count    map[string]int `json:"count"` // of messages, by name
}

func (j *judge) ask(file string) (o opinion, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := fmt.Fprintln(j.in, file); err != nil {
		return opinion{}, err
	}
	err = j.out.Decode(&o)
	if err == nil && o.Count == nil {
		err = errors.New("no count in its answer")
	}
	return o, err
}

// heard fails the test unless messages of all these names were heard.
func (r *recorder) heard(t *testing.T, names ...string) {
	t.Helper()
	count := r.judge(t)
	for _, name := range names {
		if count[name] == 0 {
			t.Errorf("no %s was sent: %v", name, slices.Sorted(maps.Keys(count)))
		}
	}
}

// last gives the last message on topics that end so; nil if there was none.
func (r *recorder) last(t *testing.T, suffix string) (payload []byte) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	b, err := os.ReadFile(r.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var m struct {
			Topic   string `json:"topic"`
			Payload []byte `json:"payload"`
		}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(m.Topic, suffix) {
			payload = m.Payload
		}
	}
	return payload
}
