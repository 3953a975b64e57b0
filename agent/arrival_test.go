package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"boothd/agent/uplink"
)

// Whatever a broker sends, only metadata is kept, only so much of it, and only
// below its folder.
func TestI6_ArrivalKeepsMetadataWithinBounds(t *testing.T) {
	dir := t.TempDir()
	a := newArrival(slog.New(slog.DiscardHandler), "pac-hwy-nexus-03", dir, 0, nil)
	good := map[string]string{"timestamp": "timestamp.json", "snapshot": "snapshot.json", "targets": "targets.json", "root/2": "root/2.root.json"}
	for topic, file := range good {
		m := uplink.Message{Topic: metaFilter + topic, Payload: []byte("{}")}
		if !a.keep(m) || a.keep(m) {
			t.Errorf("%s: taken never, or twice", topic)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "arrival", file)); err != nil || string(b) != "{}" {
			t.Errorf("%s: %q %v", file, b, err)
		}
	}
	for _, m := range []uplink.Message{
		{Topic: metaFilter + "../timestamp", Payload: []byte("x")},
		{Topic: metaFilter + "root/../../x", Payload: []byte("x")},
		{Topic: metaFilter + "root/0", Payload: []byte("x")},
		{Topic: metaFilter + "mirrors", Payload: []byte("x")},
		{Topic: "list/v1/cards/part/00", Payload: []byte("x")},
		{Topic: metaFilter + "timestamp"}, // a retained message that was cleared
		{Topic: metaFilter + "timestamp", Payload: bytes.Repeat([]byte("x"), metaMost+1)},
	} {
		if a.keep(m) {
			t.Errorf("%s of %d bytes was taken", m.Topic, len(m.Payload))
		}
	}
	for i := range 200 {
		a.keep(uplink.Message{Topic: fmt.Sprintf("%sroot/%d", metaFilter, i+3), Payload: []byte("{}")})
	}
	if len(a.files) != metaFiles {
		t.Errorf("%d files are kept", len(a.files))
	}
}
