package llrp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "have tshark read the messages of testdata/dissected.txt again")

// spoken is every kind of message that the driver and the simulated reader put
// on the wire, and what is only read.
func spoken(t *testing.T) (names []string, messages [][]byte) {
	add := func(name string, b []byte) { names, messages = append(names, name), append(messages, b) }
	for i, m := range []struct {
		name string
		typ  uint16
		body []byte
	}{
		{"ask for capabilities", msgGetCapabilities, askCapabilities()},
		{"set the keep-alive", msgSetConfig, setKeepalive(10 * time.Second)},
		{"set the events", msgSetConfig, setEvents()},
		{"delete all ROSpecs", msgDeleteROSpec, deleteAll()},
		{"delete all AccessSpecs", msgDeleteAccessSpec, deleteAll()},
		{"add a ROSpec for all antennas", msgAddROSpec, addROSpec(nil, nil)},
		{"add a ROSpec for two antennas and a power", msgAddROSpec, addROSpec([]int{1, 3}, &transmitter{1, 1, 81})},
		{"add an AccessSpec", msgAddAccessSpec, addAccessSpec()},
		{"enable the AccessSpec", msgEnableAccessSpec, u32(accessSpec)},
		{"enable the ROSpec", msgEnableROSpec, u32(roSpec)},
		{"disable the ROSpec", msgDisableROSpec, u32(roSpec)},
		{"close", msgClose, nil},
		{"acknowledge a keep-alive", msgKeepaliveAck, nil},
	} {
		add("driver: "+m.name, appendMessage(nil, m.typ, uint32(i+1), m.body))
	}
	for _, e := range derivedEvents {
		add("event "+e.data, appendMessage(nil, msgEvent, 1, tlv(nil, parEventData, unhexed(t, e.data))))
	}
	for _, r := range reportVectors {
		add("report: "+r.name, unhexed(t, r.wire))
	}
	add("reader: keep-alive", simMessage(62, 7, nil))
	add("reader: capabilities", simMessage(11, 7, append(simTLV(287, 0, 0, 0, 0), new(Sim).capabilities()...)))
	add("reader: refusal", simMessage(30, 7, simTLV(287, 0, 100, 0, 2, 'n', 'o')))
	add("capture: event", simMessage(63, 7, capture(t, "event-impinj.bin")))
	return names, messages
}

// Wireshark's dissector is the second opinion. What it said of each message is
// kept, for it is not on every machine: go test -update asks it again. The
// messages must be those that it has read, it must not have found a fault in
// them, and of the tags it must have read what the driver reads.
func TestWiresharkAgrees(t *testing.T) {
	path := filepath.Join("testdata", "dissected.txt")
	names, messages := spoken(t)
	if *update {
		var out strings.Builder
		for i, text := range dissect(t, messages) {
			fmt.Fprintf(&out, "== %s\n%x\n%s\n", names[i], messages[i], strings.TrimSpace(text))
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(golden), "== ")[1:]
	if len(sections) != len(messages) {
		t.Fatalf("%d messages were read by tshark, want %d", len(sections), len(messages))
	}
	for i, section := range sections {
		name, rest, _ := strings.Cut(section, "\n")
		wire, text, _ := strings.Cut(rest, "\n")
		if name != names[i] || wire != hex.EncodeToString(messages[i]) {
			t.Errorf("%s\n%x\nis not what tshark has read:\n%s\n%s", names[i], messages[i], name, wire)
			continue
		}
		for _, fault := range []string{"Expert Info", "Malformed", "Incorrect", "Type: Unknown"} {
			if strings.Contains(text, fault) {
				t.Errorf("%s: tshark found a fault:\n%s", name, text)
			}
		}
		m := one(t, messages[i])
		if m.typ != msgReport {
			continue
		}
		reports, err := all(m.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, r := range reports {
			for _, want := range facts(r) {
				before, after, found := strings.Cut(text, want)
				if !found {
					t.Errorf("%s: tshark did not read %q here:\n%s", name, want, text)
				}
				text = before + after
			}
		}
	}
}

// facts are what tshark must have said of a tag, in its words.
func facts(r report) (out []string) {
	say := func(told bool, format string, args ...any) {
		if told {
			out = append(out, fmt.Sprintf(format, args...)+"\n")
		}
	}
	say(r.bits == 96, "EPC: %x", r.epc)
	say(r.antenna > 0, "Antenna ID: %d", r.antenna)
	say(r.rssi != 0, "Peak RSSI: %d", uint8(r.rssi))
	say(r.seen > 0, "Tag count: %d", r.seen)
	say(r.utc > 0, "Microseconds: %d", r.utc)
	say(len(r.tid) > 0, "Read data: %x", r.tid)
	return out
}

// dissect has tshark read messages, each as a packet of its own.
func dissect(t *testing.T, messages [][]byte) []string {
	t.Helper()
	le := binary.LittleEndian
	file := le.AppendUint32(nil, 0xA1B2C3D4)
	file = le.AppendUint16(le.AppendUint16(file, 2), 4)
	for _, v := range []uint32{0, 0, 65535, 101} { // raw IP
		file = le.AppendUint32(file, v)
	}
	seq := uint32(1)
	for _, m := range messages {
		ip := []byte{0x45, 0, byte((40 + len(m)) >> 8), byte(40 + len(m)), 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
		tcp := []byte{0x9C, 0x40, 0x13, 0xDC, byte(seq >> 24), byte(seq >> 16), byte(seq >> 8), byte(seq), 0, 0, 0, 0, 0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0}
		seq += uint32(len(m))
		n := uint32(len(ip) + len(tcp) + len(m))
		file = le.AppendUint32(le.AppendUint32(append(file, make([]byte, 8)...), n), n)
		file = append(append(append(file, ip...), tcp...), m...)
	}
	name := filepath.Join(t.TempDir(), "llrp.pcap")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), "tshark", "-r", name, "-O", "llrp", "-d", "tcp.port==5084,llrp").Output()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, packet := range bytes.Split(said, []byte("\nFrame ")) {
		_, text, found := bytes.Cut(packet, []byte("Low Level Reader Protocol\n"))
		if !found {
			t.Fatalf("tshark read no LLRP: %s", packet)
		}
		out = append(out, string(text))
	}
	if len(out) != len(messages) {
		t.Fatalf("tshark read %d messages of %d", len(out), len(messages))
	}
	return out
}
