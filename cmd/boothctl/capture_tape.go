package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"

	"boothd/agent"
	"boothd/agent/glimpse"
	"boothd/configs"
	"boothd/devices/port"
)

// A tape is what went over one line, as text that a person can read and edit:
//
//	boothctl capture 1, raw, at 2026-11-23T19:20:00Z
//	driver = "line"
//	...
//	---
//	    0.103214 < 02 32 30 32 36
//	    0.204000 > FF 00 03 1D 0C
//	    0.205000 = 115200
//	    9.000000 ! line gone
//
// First the device or board as the configuration has it, then what happened: seconds
// since it was opened, what the device sent (<), what the driver sent (>), the
// speed that was set (=) and what the line ended with (!). A masked tape has
// the number of bytes instead of the bytes, and of text its shape.
const tapeHead = "boothctl capture 1"

// tapeMost bounds a tape's bytes on the wire: three minutes of a line that is
// busy all the time at 921,600 baud.
const tapeMost = 16 << 20

// Limits of a tape that is read back. A driver takes 4 KiB off its port at most,
// and a byte is three characters.
const (
	lineMost   = 16 << 10 // bytes
	deviceMost = 4 << 10  // bytes of a device's settings
)

var errTapeFull = fmt.Errorf("capture is full at %d MiB", tapeMost>>20)

// happening is one line of a tape.
type happening struct {
	at   time.Duration // since the line was opened
	kind byte          // one of < > = !
	data []byte        // of < and >
	text string        // of = and !
}

// tape writes down what goes over a line. Drivers read, write and close from
// several goroutines.
type tape struct {
	raw   bool
	texts bool // the protocol is text, so that a masked tape may tell its shape

	mu    sync.Mutex
	out   *bufio.Writer
	begun time.Time
	size  int
	err   error // why nothing more was written
	over  bool  // nothing more is wanted
}

// newTape writes the head of a device's tape.
func newTape(out io.Writer, d configs.Device, raw bool, begun time.Time) (*tape, error) {
	d.Path = ""
	text, err := d.TOML()
	if err != nil {
		return nil, err
	}
	return (&tape{raw: raw, texts: agent.Textual(d), out: bufio.NewWriter(out), begun: begun}).head(text)
}

// boardSettings are those of a board, as on its tape.
type boardSettings struct {
	Board configs.Board `toml:"board"`
}

// boardHead begins them.
const boardHead = "[board]\n"

// newBoardTape writes the head of a board's tape, which is raw.
func newBoardTape(out io.Writer, b configs.Board, begun time.Time) (*tape, error) {
	b.Path = ""
	text, err := toml.Marshal(boardSettings{b})
	if err != nil {
		return nil, fmt.Errorf("writing the settings: %w", err)
	}
	return (&tape{raw: true, out: bufio.NewWriter(out), begun: begun}).head(text)
}

func (t *tape) head(settings []byte) (*tape, error) {
	kind := "masked"
	if t.raw {
		kind = "raw"
	}
	if _, err := fmt.Fprintf(t.out, "%s, %s, at %s\n%s---\n", tapeHead, kind, t.begun.UTC().Format(time.RFC3339), settings); err != nil {
		return nil, fmt.Errorf("writing the capture: %w", err)
	}
	return t, nil
}

// note writes one happening. Its first error is kept for end.
func (t *tape) note(h happening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil || t.over {
		return
	}
	if t.size += len(h.data); t.size > tapeMost {
		t.err = errTapeFull
		return
	}
	if len(h.data) > 0 {
		h.text = glimpse.Hexes(h.data)
		if !t.raw {
			h.text = glimpse.Masked(h.data, t.texts)
		}
	}
	if _, err := fmt.Fprintf(t.out, "%12.6f %c %s\n", time.Since(t.begun).Seconds(), h.kind, h.text); err != nil {
		t.err = fmt.Errorf("writing the capture: %w", err)
	}
}

// end writes out what is held and tells what went wrong.
func (t *tape) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if err := t.out.Flush(); err != nil && t.err == nil {
		t.err = fmt.Errorf("writing the capture: %w", err)
	}
	return t.err
}

// failed tells whether the tape takes no more.
func (t *tape) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// open opens ports that are taped.
func (t *tape) open(ctx context.Context, s port.Spec) (port.Port, error) {
	p, err := port.Open(ctx, s)
	if err != nil {
		return nil, err
	}
	return &tapped{p, t}, nil
}

// tapped is a port whose bytes are written down.
type tapped struct {
	port.Port
	tape *tape
}

func (p *tapped) Read(b []byte) (int, error) {
	n, err := p.Port.Read(b)
	if n > 0 {
		p.tape.note(happening{kind: '<', data: b[:n]})
	}
	if err != nil && errors.Is(err, port.ErrGone) {
		p.tape.note(happening{kind: '!', text: "line gone"})
	}
	if full := p.tape.failed(); full != nil {
		return n, full
	}
	return n, err
}

func (p *tapped) Write(b []byte) (int, error) {
	p.tape.note(happening{kind: '>', data: b}) // before it goes, so that its answer comes after it
	return p.Port.Write(b)
}

func (p *tapped) SetBaud(baud int) error {
	p.tape.note(happening{kind: '=', text: strconv.Itoa(baud)})
	return p.Port.SetBaud(baud)
}

// recording is a raw tape that was read back.
type recording struct {
	device configs.Device
	board  *configs.Board // instead
	all    []happening
}

// readTape reads a raw tape; a masked one has nothing to replay.
func readTape(in io.Reader) (recording, error) {
	lines := bufio.NewScanner(io.LimitReader(in, 8*tapeMost))
	lines.Buffer(make([]byte, 0, lineMost), lineMost)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), tapeHead+", raw,") {
		return recording{}, fmt.Errorf("not a raw capture: the first line is not %q", tapeHead+", raw, at ...")
	}
	var device strings.Builder
	for lines.Scan() && lines.Text() != "---" {
		if device.Len()+len(lines.Bytes()) >= deviceMost {
			return recording{}, fmt.Errorf("the device's settings have more than %d bytes", deviceMost)
		}
		device.WriteString(lines.Text() + "\n")
	}
	var s recording
	var err error
	if strings.HasPrefix(device.String(), boardHead) {
		var b boardSettings
		err = toml.NewDecoder(strings.NewReader(device.String())).DisallowUnknownFields().Decode(&b)
		s.board = &b.Board
	} else {
		s.device, err = agent.Drivers.ParseDevice([]byte(device.String()))
	}
	if err != nil {
		return recording{}, fmt.Errorf("the device's settings: %w", err)
	}
	for lines.Scan() {
		h, err := readHappening(lines.Text())
		if err != nil {
			return recording{}, err
		}
		s.all = append(s.all, h)
	}
	if err := lines.Err(); err != nil {
		return recording{}, fmt.Errorf("reading the capture: %w", err)
	}
	return s, nil
}

// readHappening reads one line of a raw tape.
func readHappening(line string) (happening, error) {
	at, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	kind, rest, _ := strings.Cut(rest, " ")
	if len(kind) != 1 {
		return happening{}, fmt.Errorf("line %.60q of the capture is none", line)
	}
	seconds, err := strconv.ParseFloat(at, 64)
	if err != nil || !(seconds >= 0 && seconds <= (24*time.Hour).Seconds()) {
		return happening{}, fmt.Errorf("line %.60q of the capture has no time", line)
	}
	h := happening{at: time.Duration(seconds * float64(time.Second)), kind: kind[0]}
	switch h.kind {
	case '<', '>':
		if h.data, err = hex.DecodeString(strings.ReplaceAll(rest, " ", "")); err != nil || len(h.data) == 0 {
			return happening{}, fmt.Errorf("line %.60q of the capture has no bytes", line)
		}
	case '=', '!':
		h.text = rest
	default:
		return happening{}, fmt.Errorf("line %.60q of the capture is of no known kind", line)
	}
	return h, nil
}
