package fieldbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// machine is the other side of NBD, written apart from the server's.
type machine struct {
	*testing.T
	net.Conn
	handle uint64
}

// boot connects to a disk as QEMU does.
func boot(t *testing.T, socket string) *machine {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	m := &machine{T: t, Conn: c}
	if greeting := m.take(18); string(greeting[:16]) != "NBDMAGICIHAVEOPT" {
		t.Fatalf("greeting %q", greeting)
	}
	m.put([]byte{0, 0, 0, 3}) // fixed newstyle, no zeroes
	m.put([]byte("IHAVEOPT"), []byte{0, 0, 0, 7}, []byte{0, 0, 0, 6}, make([]byte, 6))
	for {
		h := m.take(20)
		kind, n := binary.BigEndian.Uint32(h[12:]), binary.BigEndian.Uint32(h[16:])
		m.take(int(n))
		if kind == 1 {
			return m
		}
	}
}

func (m *machine) put(parts ...[]byte) {
	m.Helper()
	if _, err := m.Write(bytes.Join(parts, nil)); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) take(n int) []byte {
	m.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(m, b); err != nil {
		m.Fatal(err)
	}
	return b
}

// ask sends a request and returns the answer's data, of n bytes; the disk must
// not fail.
func (m *machine) ask(flags, cmd uint16, off uint64, size uint32, data []byte, n int) []byte {
	m.Helper()
	m.handle++
	h := binary.BigEndian.AppendUint32(nil, 0x25609513)
	h = binary.BigEndian.AppendUint16(h, flags)
	h = binary.BigEndian.AppendUint16(h, cmd)
	h = binary.BigEndian.AppendUint64(h, m.handle)
	h = binary.BigEndian.AppendUint64(h, off)
	h = binary.BigEndian.AppendUint32(h, size)
	m.put(h, data)
	a := m.take(16)
	if binary.BigEndian.Uint32(a) != 0x67446698 || binary.BigEndian.Uint32(a[4:]) != 0 || binary.BigEndian.Uint64(a[8:]) != m.handle {
		m.Fatalf("command %d is answered %x", cmd, a)
	}
	return m.take(n)
}

func (m *machine) write(off uint64, text string) {
	m.Helper()
	m.ask(0, 1, off, uint32(len(text)), []byte(text), 0)
}

// What was flushed stays, what was not is lost by a cut, whole blocks at a
// time; before the cut the machine sees all of it.
func TestDiskLosesWhatWasNotFlushed(t *testing.T) {
	for _, tt := range []struct {
		name     string
		survives func() bool
		second   string // in the second block, after the cut
		kept     int
	}{
		{"all lost", func() bool { return false }, "....", 0},
		{"all kept", func() bool { return true }, "late", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			image := filepath.Join(dir, "image")
			if err := os.WriteFile(image, bytes.Repeat([]byte{'.'}, 4*blockSize), 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := ServeDisk(filepath.Join(dir, "socket"), image)
			if err != nil {
				t.Fatal(err)
			}
			m := boot(t, filepath.Join(dir, "socket"))
			m.write(10, "early")
			m.ask(0, 3, 0, 0, nil, 0)                          // flush
			m.ask(1, 1, 3*blockSize, 5, []byte("force"), 0)    // with FUA
			m.write(2*blockSize-2, "a late write over blocks") // 2 bytes of the first
			m.ask(0, 6, 2*blockSize, 8, nil, 0)                // zeroes
			m.write(2*blockSize, "late")
			if got := m.ask(0, 0, 2*blockSize, 8, nil, 8); string(got) != "late\x00\x00\x00\x00" {
				t.Errorf("reads %q before the cut", got)
			}
			kept, lost, err := d.Cut(tt.survives)
			if err != nil || kept != 2*tt.kept || kept+lost != 2 {
				t.Errorf("kept %d, lost %d: %v", kept, lost, err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			b, err := os.ReadFile(image)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%s %s %s", b[10:15], b[2*blockSize:2*blockSize+4], b[3*blockSize:3*blockSize+5])
			if want := "early " + tt.second + " force"; got != want || len(b) != 4*blockSize {
				t.Errorf("the disk holds %q, want %q", got, want)
			}
		})
	}
}

// A machine that is switched off in order loses nothing.
func TestDiskClosedKeepsAll(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	if err := os.WriteFile(image, make([]byte, 5000), 0o600); err != nil { // no whole number of blocks
		t.Fatal(err)
	}
	d, err := ServeDisk(filepath.Join(dir, "socket"), image)
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t, filepath.Join(dir, "socket"))
	m.write(4990, "the end...")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(image)
	if err != nil || len(b) != 5000 || string(b[4990:]) != "the end..." {
		t.Errorf("the disk holds %d bytes, the last %q: %v", len(b), b[len(b)-10:], err)
	}
}
