package opinions

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"boothd/devices/llrp"
	"boothd/devices/port"
)

// tap is what goes over one direction of a connection.
type tap struct {
	mu sync.Mutex // the connection writes, the test reads
	b  []byte
}

func (t *tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	return len(p), nil
}

// messages cuts what was heard into whole messages, by their length alone.
func (t *tap) messages() (out [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for b := t.b; len(b) >= 10; {
		n := int(binary.BigEndian.Uint32(b[2:]))
		if n < 10 || n > len(b) {
			break
		}
		out, b = append(out, slices.Clone(b[:n])), b[n:]
	}
	return out
}

// capture is a pcap file of TCP segments between a reader, port 5084, and a host.
func capture(t *testing.T, fromReader bool, messages [][]byte) string {
	t.Helper()
	src, dst := uint16(40000), uint16(5084)
	if fromReader {
		src, dst = dst, src
	}
	var f bytes.Buffer
	word := func(v ...any) {
		for _, x := range v {
			if err := binary.Write(&f, binary.BigEndian, x); err != nil {
				t.Fatal(err)
			}
		}
	}
	word(uint32(0xa1b2c3d4), uint16(2), uint16(4), uint32(0), uint32(0), uint32(1<<18), uint32(101)) // raw IP
	seq := uint32(1)
	for i, m := range messages {
		n := 40 + len(m)
		word(uint32(i), uint32(0), uint32(n), uint32(n))
		word(uint8(0x45), uint8(0), uint16(n), uint32(0), uint8(64), uint8(6), uint16(0), uint32(0x7f000001), uint32(0x7f000001))
		word(src, dst, seq, uint32(1), uint8(5<<4), uint8(0x18), uint16(65535), uint32(0))
		f.Write(m)
		seq += uint32(len(m))
	}
	path := filepath.Join(t.TempDir(), "llrp.pcap")
	if err := os.WriteFile(path, f.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// dissected is what tshark makes of a capture: a block of text for each message.
func dissected(t *testing.T, path string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tshark", "-r", path, "-d", "tcp.port==5084,llrp", "-O", "llrp")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C")
	var faults bytes.Buffer
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, faults.String())
	}
	return string(out)
}

// tshark's dissector understands every message of our driver, and every one of
// the simulated reader that it is tested with, down to the tag.
func TestLLRP(t *testing.T) {
	reader := &llrp.Sim{Every: 10 * time.Millisecond}
	reader.Present(llrp.SimTag{EPC: "3074257BF7194E4000001A85", TID: "E2801160200012345678ABCD", RSSIDBm: -47, Antenna: 2})
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	go func() { _ = reader.Accept(back) }() // ends with the listener
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	var ours, theirs tap
	go func() {
		host, err := front.Accept()
		if err != nil {
			return // the test is over
		}
		defer host.Close()
		field, err := net.Dial("tcp", back.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer field.Close()
		go func() { _, _ = io.Copy(io.MultiWriter(&ours, field), host) }()
		_, _ = io.Copy(io.MultiWriter(&theirs, host), field)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p, err := port.Open(ctx, port.Spec{Path: "tcp://" + front.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	r, err := llrp.Open(ctx, p, llrp.Config{Name: "gantry", Antennas: []int{1, 2}, Power: 2500, ReadTID: true, Keepalive: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for range r.Reads(ctx) {
		if slices.Contains(reader.Heard(), 72) { // a keep-alive was answered, too
			break
		}
	}
	_ = r.Close() // it may have ended already

	for name, heard := range map[string]*tap{"host": &ours, "reader": &theirs} {
		messages := heard.messages()
		text := dissected(t, capture(t, name == "reader", messages))
		if n := strings.Count(text, "Low Level Reader Protocol"); n < len(messages) || len(messages) < 8 {
			t.Errorf("%s: tshark finds %d of %d messages:\n%s", name, n, len(messages), text)
		}
		for _, bad := range []string{"Malformed", "Expert Info", "Unknown"} {
			if at := strings.Index(text, bad); at >= 0 {
				t.Errorf("%s: %s:\n%s", name, bad, text[max(0, at-1500):min(len(text), at+300)])
			}
		}
		// tshark writes -47 dBm without its sign.
		words := map[string][]string{
			"host":   {"Get reader capabilities", "Set reader config", "Delete ROSpec", "Add ROSpec", "Enable ROSpec", "Add AccessSpec", "Keepalive ack"},
			"reader": {"Reader event notification", "Get reader capabilities response", "RO access report", "Keepalive", "3074257bf7194e4000001a85", "Peak RSSI: 209"},
		}[name]
		for _, w := range words {
			if !strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
				t.Errorf("%s: tshark does not say %q", name, w)
			}
		}
	}
}
