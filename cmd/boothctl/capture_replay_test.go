package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent"
	"boothd/agent/glimpse"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/gpio"
	"boothd/devices/port"
	"boothd/devices/relay"
	"boothd/devices/sim"
	"boothd/devices/wiegand"
)

// deck plays a tape to a driver, in its own time: what the device sent comes
// when it came, counted from what came before it; and what the driver had sent
// must be sent again first, however much else it says.
type deck struct {
	wrote  chan int // bytes that the driver writes
	closed chan struct{}
	once   sync.Once

	// What is below belongs to the goroutine that reads.
	left    []happening
	last    time.Duration // on the tape, of what was played last
	at      time.Time     // and when that was
	written int           // that the tape has not asked for yet
	rest    []byte        // of a chunk that a Read did not take whole
}

// deckTail is how long the line is silent after the tape's end, so that what
// ends by silence ends, before it is gone.
const deckTail = 3 * time.Second

func newDeck(all []happening) *deck {
	return &deck{wrote: make(chan int, 1<<12), closed: make(chan struct{}), left: all, at: time.Now()}
}

// Read gives what the device sent, or 0, nil after 100 ms as a port does.
func (d *deck) Read(b []byte) (int, error) {
	silence := time.After(100 * time.Millisecond)
	for len(d.rest) == 0 {
		var due <-chan time.Time // of what comes next; nil: when enough was written
		if len(d.left) == 0 {
			due = time.After(time.Until(d.at.Add(deckTail)))
		} else if next := d.left[0]; next.kind != '>' || d.written >= len(next.data) {
			due = time.After(time.Until(d.at.Add(next.at - d.last)))
		}
		select {
		case <-d.closed:
			return 0, net.ErrClosed
		case n := <-d.wrote:
			d.written += n
		case <-due:
			if len(d.left) == 0 {
				return 0, io.EOF
			}
			d.play()
		case <-silence:
			return 0, nil
		}
	}
	n := copy(b, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func (d *deck) play() {
	next := d.left[0]
	d.left, d.last, d.at = d.left[1:], next.at, time.Now()
	switch next.kind {
	case '<':
		d.rest = next.data
	case '>':
		d.written -= len(next.data)
	}
}

func (d *deck) Write(b []byte) (int, error) {
	select {
	case d.wrote <- len(b):
		return len(b), nil
	case <-d.closed:
		return 0, net.ErrClosed
	}
}

func (d *deck) SetBaud(int) error { return nil }

func (d *deck) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// errBehind says that the driver did not say what the tape has it say.
var errBehind = errors.New("the driver no longer says what it said")

// replay opens a tape's device through the daemon's switch and gives what is
// read of it, in virtual time.
func replay(ctx context.Context, rec recording) (reads []glimpse.Read, err error) {
	d := rec.device
	d.Path = configs.Port("/dev/tape")
	tape := newDeck(rec.all)
	world := agent.World{OpenPort: func(context.Context, port.Spec) (port.Port, error) { return tape, nil },
		Secret: func(configs.Ref) ([]byte, error) { return nil, errors.New("a capture has no keys") }}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*captureLongest, errBehind)
	defer cancel()
	if d.Driver == "wiegand" {
		tape = newDeck(nil)
		world.OpenChip = func(ctx context.Context, _ string) (*gpio.Chip, error) { return pulsed(ctx, d, rec.all) }
	}
	begun := time.Now()
	r, err := agent.OpenDevice(ctx, world, d, agent.Place{}, func(error) {})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	also := keep(w, true, begun)
	for read, err := range r.Reads(ctx) {
		if err != nil {
			break // the tape's end
		}
		if err := also(read); err != nil {
			return nil, err
		}
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	if len(tape.left) > 0 {
		return nil, errBehind
	}
	return readReads(&out)
}

// pulsed is a chip on whose two lines a tape's words are sent, each in its time.
func pulsed(ctx context.Context, d configs.Device, all []happening) (*gpio.Chip, error) {
	lines := [2]string{d.Data0, d.Data1}
	far := sim.NewChip(sim.ChipLine{Name: lines[0], Pull: true}, sim.ChipLine{Name: lines[1], Pull: true})
	here, there := net.Pipe()
	go func() { _ = far.Serve(there) }() // ends with the pipe
	chip, err := gpio.OpenWire(ctx, here)
	if err != nil {
		return nil, err
	}
	s := wiegand.Sim{Pulse: func(p []devices.Pulse) error { return far.Pulse(lines, p) }}
	go func() {
		defer far.Break()
		begun := time.Now()
		for _, h := range all {
			time.Sleep(time.Until(begun.Add(h.at)))
			word, spoiled := strings.CutSuffix(string(h.data), "?")
			if spoiled && len(word) >= 4 { // shorter it is none anyway
				word += "x"
			}
			if s.Raw(word) != nil {
				return
			}
		}
		time.Sleep(deckTail)
	}()
	return chip, nil
}

// replayBoard gives the levels of a tape's board, in virtual time.
func replayBoard(ctx context.Context, rec recording) (levels []glimpse.Read, err error) {
	tape := newDeck(rec.all)
	again := make(chan struct{}, 1)
	b, err := relay.Open(ctx, tape, agent.BoardConfig(*rec.board, redriven(again)))
	if err != nil {
		return nil, err
	}
	defer b.Close()
	for x, err := range points(ctx, b, *rec.board, again, time.Now()) {
		if err != nil {
			break // the tape's end
		}
		levels = append(levels, x)
	}
	err = b.Close() // it is over, and errBehind says more
	synctest.Wait() // nobody plays any more
	if len(tape.left) > 0 {
		return nil, errors.Join(errBehind, err)
	}
	return levels, nil
}

// inOrder puts what was told of each point in its order, since of two points it
// may come in either, and leaves out what is told of it beyond what is wanted.
func inOrder(got, want []glimpse.Read) (_, _ []glimpse.Read) {
	point := func(x glimpse.Read) string { return x.What + " " + x.Point }
	left := map[string]int{}
	for _, x := range want {
		left[point(x)]++
	}
	got = slices.DeleteFunc(got, func(x glimpse.Read) bool {
		left[point(x)]--
		return left[point(x)] < 0
	})
	for _, all := range [][]glimpse.Read{got, want} {
		slices.SortStableFunc(all, func(a, b glimpse.Read) int { return strings.Compare(point(a), point(b)) })
	}
	return got, want
}

func readReads(in io.Reader) (reads []glimpse.Read, err error) {
	for dec := json.NewDecoder(in); ; {
		var x glimpse.Read
		if err := dec.Decode(&x); errors.Is(err, io.EOF) {
			return reads, nil
		} else if err != nil {
			return nil, err
		}
		reads = append(reads, x)
	}
}

// replays replays one capture and compares.
func replays(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rec, err := readTape(f)
	if err != nil {
		t.Fatal(err)
	}
	expected, err := os.ReadFile(path + readsSuffix)
	if err != nil {
		t.Fatal(err)
	}
	want, err := readReads(bytes.NewReader(expected))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		play := replay
		if rec.board != nil {
			play = replayBoard
		}
		got, err := play(t.Context(), rec)
		if rec.board != nil {
			got, want = inOrder(got, want)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < len(want) { // a capture that was ended may have more on its tape than was told
			t.Fatalf("%d reads, want %d", len(got), len(want))
		}
		for i := range want {
			got[i].At, want[i].At = 0, 0 // the tape tells times by the chunk
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("read %d is %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

// TestCapturesReplay plays every capture in the drivers' testdata/captures
// through the driver that it names: the reads that were expected when it was
// made must come again.
func TestCapturesReplay(t *testing.T) {
	all, err := filepath.Glob("../../devices/*/testdata/captures/*.capture")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d captures, %v", len(all), err)
	}
	for _, path := range all {
		name := strings.TrimPrefix(path, "../../devices/")
		t.Run(strings.ReplaceAll(name, "/testdata/captures", ""), func(t *testing.T) { replays(t, path) })
	}
}
