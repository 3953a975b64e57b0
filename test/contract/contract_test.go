// Package contract has others judge the contract's documents: AsyncAPI's own
// parser and ajv, run by node as check.mjs says. .ci/setup installs both.
package contract

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const documents = "../../agent/contract"

// check runs check.mjs on documents and gives what it says of messages and of faults.
func check(t *testing.T, dir string) (said, faults string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "check.mjs", dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if strings.Contains(stderr.String(), "ERR_MODULE_NOT_FOUND") {
		t.Fatalf("node's packages are missing: run .ci/setup\n%s", stderr.String())
	}
	return stdout.String(), stderr.String(), err
}

// Everything in the documents stands up to a second opinion: no fault in
// asyncapi.yaml, every schema is one, every golden message is valid, and none
// is any more with one member broken.
func TestDocuments(t *testing.T) {
	said, faults, err := check(t, documents)
	if err != nil {
		t.Fatalf("%v\n%s", err, faults)
	}
	var count map[string]int
	if err := json.Unmarshal([]byte(said), &count); err != nil || len(count) < 30 {
		t.Errorf("%d golden messages were looked at: %v", len(count), err)
	}
}

// The check can fail: each of these faults is told, with its place.
func TestFaultsInAsyncAPIAreTold(t *testing.T) {
	t.Parallel()
	dir := copied(t)
	edit(t, dir, "asyncapi.yaml", "action: receive", "action: recieve")
	edit(t, dir, "asyncapi.yaml", "      class:\n        description: Class of the event.", "      clazz:\n        description: Class of the event.")
	edit(t, dir, "asyncapi.yaml", "schemas/receipt.json", "schemas/reciept.json")
	_, faults, err := check(t, dir)
	if err == nil {
		t.Error("exit code 0")
	}
	tells(t, faults, "operations.receiveReceipt.action", "channels.event.parameters", "reciept.json")
}

func TestFaultsInMessagesAreTold(t *testing.T) {
	t.Parallel()
	dir := copied(t)
	edit(t, dir, "schemas/want.list.json", `"maxItems"`, `"maxItemz"`)                // a word that no draft has
	edit(t, dir, "schemas/status.json", `"integer"`, `"intejer"`)                     // a type that is none
	edit(t, dir, "schemas/defs.json", `"anti_passback": {`, `"anti_passbach": {`)     // a member that nothing describes
	edit(t, dir, "golden/state.health.json", `"level":"degraded"`, `"level":"so-so"`) // no such level
	golden, err := os.ReadFile(filepath.Join(documents, "golden", "audit.stopped.v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	const booth = "booth/v1/pac-hwy-nexus-03/"
	sent := sentMessages(t, []message{
		{booth + "evt/audit", golden},
		{booth + "evt/gossip", golden},
		{"booth/v1/Pac-Hwy/evt/audit", golden},
		{booth + "rcpt", golden},
		{booth + "evt/audit", bytes.Replace(golden, []byte("org.boothd.audit.stopped"), []byte("org.boothd.audit.slept"), 1)},
		{booth + "evt/audit", golden[:100]},
		{booth + "want/list", []byte(`{"list":"cards"}`)},
		{"list/v1/cards/part/" + strings.Repeat("0", 64), []byte("other bytes")},
	})
	// One run is asked about both files, and says nothing of the one in its answer on the other.
	good := sentMessages(t, []message{{booth + "evt/audit", golden}})
	cmd := exec.CommandContext(t.Context(), "node", "check.mjs", dir, "-")
	cmd.Stdin = strings.NewReader(sent + "\n" + good + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers [2]struct {
		Problems []string
		Count    map[string]int
	}
	for d, i := json.NewDecoder(bytes.NewReader(out)), 0; i < len(answers); i++ {
		if err := d.Decode(&answers[i]); err != nil {
			t.Fatal(err)
		}
	}
	faults := strings.Join(answers[0].Problems, "\n")
	tells(t, faults, "schemas/want.list.json: strict mode", "schemas/status.json: ", "does not notice that /data/policy/anti_passback is broken",
		"golden/state.health.json: /level", sent+":2: no channel", sent+":3: no channel", sent+":4: receipt: ", sent+":5: "+booth+"evt/audit may not carry org.boothd.audit.slept.v1",
		sent+":6: ", sent+":7: ", sent+":8: list/v1/cards/part/")
	if strings.Contains(faults, sent+":1:") || answers[0].Count["org.boothd.audit.stopped.v1"] != 1 {
		t.Errorf("a message without fault is not taken: %v\n%s", answers[0].Count, faults)
	}
	if a := answers[1]; len(a.Count) != 1 || a.Count["org.boothd.audit.stopped.v1"] != 1 || strings.Contains(strings.Join(a.Problems, "\n"), ".ndjson:") {
		t.Errorf("of a file without a fault: %+v", a)
	}
}

func tells(t *testing.T, faults string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(faults, w) {
			t.Errorf("%q is not told:\n%s", w, faults)
		}
	}
}

// copied is a copy of the documents to spoil.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, pattern := range []string{"asyncapi.yaml", "schemas/*.json", "golden/*.json"} {
		names, err := filepath.Glob(filepath.Join(documents, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			rel, _ := filepath.Rel(documents, name)
			b, err := os.ReadFile(name)
			if err == nil {
				err = os.MkdirAll(filepath.Dir(filepath.Join(dir, rel)), 0o700)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, rel), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func edit(t *testing.T, dir, name, old, fresh string) {
	t.Helper()
	name = filepath.Join(dir, name)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := bytes.Replace(b, []byte(old), []byte(fresh), 1)
	if bytes.Equal(b, spoiled) {
		t.Fatalf("%s does not hold %q", name, old)
	}
	if err := os.WriteFile(name, spoiled, 0o600); err != nil {
		t.Fatal(err)
	}
}

type message struct {
	topic   string
	payload []byte
}

// sentMessages writes messages as a recorder does.
func sentMessages(t *testing.T, all []message) string {
	t.Helper()
	var out bytes.Buffer
	for _, m := range all {
		fmt.Fprintf(&out, "{\"topic\":%q,\"payload\":%q}\n", m.topic, base64.StdEncoding.EncodeToString(m.payload))
	}
	name := filepath.Join(t.TempDir(), "sent.ndjson")
	if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
