package agent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"boothd/agent/command"
	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/agent/uplink/uplinktest"
	"boothd/configs"
)

// headOffice is headquarters around a booth of a rig: a broker, the keys, and
// what the booth has said.
type headOffice struct {
	r      *rig
	broker *uplinktest.Broker

	mu     sync.Mutex // the broker's goroutines write
	events []contract.Event
	times  map[uint64]int
}

// headquarters gives the rig a broker, a signing key and the office's key.
func (r *rig) headquarters() *headOffice {
	r.t.Helper()
	h := &headOffice{r: r, broker: uplinktest.NewBroker(r.t), times: make(map[uint64]int)}
	r.t.Cleanup(h.broker.Close)
	r.world.Dial = h.broker.Dial
	private, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{keyOfBooth}, ed25519.SeedSize)))
	if err != nil {
		r.t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(testKey(r.t, keyOfOffice).Public())
	if err != nil {
		r.t.Fatal(err)
	}
	key, keys := filepath.Join(r.dir, "booth.pem"), filepath.Join(r.dir, "commands.pem")
	secretFile(r.t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	secretFile(r.t, keys, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	r.cfg.Booth.SigningKey, r.cfg.Commands.Keys = configs.Ref(key), configs.Path(keys)
	h.broker.Listen(contract.FilterEvents, func(_ string, payload []byte) {
		e, err := contract.Decode(payload)
		if err != nil {
			panic(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.times[e.Seq]++; h.times[e.Seq] == 1 {
			h.events = append(h.events, e)
		}
	})
	return h
}

func (h *headOffice) send(message []byte) {
	h.r.t.Helper()
	h.broker.Publish(contract.CommandTopic(testBooth), false, message)
}

// came waits for an event that suits, and gives the n-th such.
func came[D contract.Data](h *headOffice, what string, n int, ok func(D) bool) D {
	h.r.t.Helper()
	var none D
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		events := append([]contract.Event(nil), h.events...)
		h.mu.Unlock()
		found := 0
		for _, e := range events {
			if e.Type != none.Type() {
				continue
			}
			d, err := contract.As[D](e)
			if err != nil {
				h.r.t.Fatal(err)
			}
			if ok(d) {
				if found++; found == n {
					return d
				}
			}
		}
	}
	h.r.t.Fatalf("never came: %s\n%s", what, h.r.log.String())
	return none
}

// answer sends a message and waits for the n-th result of its command.
func (h *headOffice) answer(c contract.Command, n int) contract.CommandResult {
	h.r.t.Helper()
	h.send(signed(h.r.t, keyOfOffice, c))
	return came(h, "result of "+c.Name, n, func(r contract.CommandResult) bool { return r.ID == c.ID })
}

// again reads the rig's configuration anew, with a piece of text changed.
func (r *rig) again(old, fresh string) {
	r.t.Helper()
	text, err := r.cfg.TOML()
	if err != nil {
		r.t.Fatal(err)
	}
	changed := strings.Replace(string(text), old, fresh, 1)
	if changed == string(text) {
		r.t.Fatalf("%q is not in\n%s", old, text)
	}
	if r.cfg, err = Drivers.Parse("booth.toml", []byte(changed)); err != nil {
		r.t.Fatal(err)
	}
}

// Headquarters commands a booth over a broker: what the booth may do it does
// once, also over a restart, and it says why it does not do the rest.
func TestHeadquartersCommandsABooth(t *testing.T) {
	r := newRig(t)
	h := r.headquarters()
	stop := r.run()
	hello := came(h, "the hello", 1, func(contract.Hello) bool { return true })
	if hello.Conn != 1 || hello.Command != "" || hello.KeyID != testKey(t, keyOfBooth).ID() || len(hello.Trusts) != 1 {
		t.Errorf("hello %+v", hello)
	}
	point := came(h, "a checkpoint", 1, func(contract.Checkpoint) bool { return true })
	resend := asked(t, command.OutboxResend, `{"from":1,"to":2}`)
	if got := h.answer(resend, 1); got.Outcome != contract.CommandDone {
		t.Errorf("outbox.resend: %+v", got)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		n := min(h.times[1], h.times[2])
		h.mu.Unlock()
		if n >= 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("events 1 and 2 came %d times", n)
		}
	}
	if got := h.answer(resend, 2); got.Outcome != contract.CommandRefused || got.Reason != string(command.Replayed) {
		t.Errorf("the same again: %+v", got)
	}
	if got := h.answer(asked(t, command.ListRefresh, `{}`), 1); got.Outcome != contract.CommandFailed || got.Reason != reasonNoSource {
		t.Errorf("list.refresh without a server: %+v", got)
	}
	if got := h.answer(asked(t, command.Identify, `{}`), 1); got.Outcome != contract.CommandDone {
		t.Errorf("identify: %+v", got)
	}
	r.await("blinking", func(p status.Picture) bool {
		return slices.ContainsFunc(p.Lamps, func(l status.Lamp) bool {
			return l.Name == "officer_health" && l.Shows == status.Blinks && l.Count == 3
		})
	})
	if got := h.answer(asked(t, command.LaneMode, `{"type":"general"}`), 1); got.Reason != string(command.NotAllowed) {
		t.Errorf("lane.mode: %+v", got)
	}
	h.send(signed(t, keyOfStranger, asked(t, command.ListRefresh, `{}`)))
	came(h, "the stranger's refusal", 1, func(r contract.CommandResult) bool { return r.Reason == string(command.Untrusted) && r.ID == "" })
	_ = stop()

	stop = r.run()
	if got := came(h, "the hello of the second run", 1, func(d contract.Hello) bool { return d.Conn == 2 }); got.Command == "" {
		t.Errorf("hello %+v", got)
	}
	if got := h.answer(resend, 3); got.Reason != string(command.Replayed) {
		t.Errorf("the same after a restart: %+v", got)
	}
	r.snapshots(h)
	_ = stop()

	// What was taken stands before what was done, and the checkpoint is the
	// booth's own word.
	seen := map[string]bool{}
	for _, e := range r.events() {
		switch e.Type {
		case contract.TypeCommand:
			d, err := contract.As[contract.CommandTaken](e)
			if err != nil || seen[d.ID] {
				t.Errorf("%+v taken again, %v", d, err)
			}
			seen[d.ID] = true
		case contract.TypeCommandResult:
			d, err := contract.As[contract.CommandResult](e)
			if err != nil || d.Outcome != contract.CommandRefused && !seen[d.ID] {
				t.Errorf("event %d: %+v before it was taken, %v", e.Seq, d, err)
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d commands taken, want 3", len(seen))
	}
	trust, err := contract.Trust(testKey(t, keyOfBooth).Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := trust.Open(point.Seal, contract.PayloadCheckpoint); err != nil {
		t.Errorf("checkpoint: %v", err)
	}
}

// snapshots looks at what is retained of the booth.
func (r *rig) snapshots(h *headOffice) {
	r.t.Helper()
	var info contract.StateInfo
	var health contract.StateHealth
	for topic, v := range map[string]any{contract.InfoTopic(testBooth): &info, contract.HealthTopic(testBooth): &health} {
		if err := json.Unmarshal(h.broker.Retained(topic), v); err != nil {
			r.t.Errorf("%s: %v", topic, err)
		}
	}
	if info.Key != testKey(r.t, keyOfBooth).ID() || len(health.Warnings) != 0 {
		r.t.Errorf("state: key %q, warnings %v", info.Key, health.Warnings)
	}
}

// I1: a command makes a lane slower where the technician allows it, and never
// faster: back to NEXUS is the officer's alone.
func TestI1_ACommandNeverMakesTheLaneFaster(t *testing.T) {
	r := newRig(t)
	h := r.headquarters()
	r.again("type = 'nexus'\n", "type = 'nexus'\nothers = ['general']\n")
	r.again("allow = ['list.refresh', 'outbox.resend', 'identify']", "allow = ['lane.mode']")
	r.run()
	r.up()
	if got := h.answer(asked(t, command.LaneMode, `{"type":"general"}`), 1); got.Outcome != contract.CommandDone {
		t.Fatalf("lane.mode general: %+v", got)
	}
	r.await("general", func(p status.Picture) bool { return p.Lane.Type == string(passage.General) })
	if got := h.answer(asked(t, command.LaneMode, `{"type":"nexus"}`), 1); got.Reason != string(command.Faster) {
		t.Errorf("lane.mode nexus: %+v", got)
	}
	if p := r.await("its picture", func(status.Picture) bool { return true }); p.Lane.Type != string(passage.General) || p.Lane.Next != "" {
		t.Errorf("the lane is %s, next %q", p.Lane.Type, p.Lane.Next)
	}
}
