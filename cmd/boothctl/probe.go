package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"boothd/agent"
	"boothd/agent/glimpse"
	"boothd/configs"
	"boothd/devices/port"
)

// probeCmd finds out what is on a port. It listens first, at each speed, and
// says nothing; only when nothing is heard does it ask, and never a question
// that changes anything.
type probeCmd struct {
	Port    string        `arg:"" help:"Port (/dev/serial/by-id/..., tcp://host:port), or name of a device of the configuration."`
	Listen  time.Duration `help:"Listen this long before asking. Cameras, scanners and keypads speak only when they see something: present something." default:"8s"`
	Quiet   bool          `help:"Listen only, ask nothing."`
	Baud    []int         `help:"Try these speeds only." placeholder:"9600"`
	Unit    []int         `help:"Modbus units to ask." default:"1"`
	Address []int         `help:"OSDP addresses to ask besides all at once." default:"0"`
	LCUS    bool          `name:"ask-lcus" help:"Ask for the state of an LCUS relay, too. A board that does not know the question might switch relay 1: disconnect what it drives."`
}

// Limits of a probe.
const (
	listenMost  = 10 * time.Minute
	listenSlice = time.Second            // at one speed, before the next has its turn
	pauseEnds   = 300 * time.Millisecond // of silence end what is heard
	heardMost   = 4 << 10                // bytes that are kept of it: five documents
	asksMost    = 16                     // units or addresses
)

// listenBauds are the speeds at which devices speak by themselves, the likeliest
// first.
var listenBauds = [...]int{9600, 115200, 19200, 38400, 57600, 4800, 2400, 1200}

// probed is what a probe says, as JSON.
type probed struct {
	Port  string  `json:"port"`
	Baud  int     `json:"baud,omitempty"` // 0: over TCP
	How   string  `json:"how"`            // heard, or the question that was answered
	Fits  []match `json:"fits"`           // the likeliest first
	Heard []heard `json:"heard,omitempty"`
}

// heard is what fitted nothing, without its letters and digits (I7).
type heard struct {
	Baud  int    `json:"baud,omitempty"`
	Shape string `json:"shape"`
}

// Run exits 0 when something of ours was found.
func (c *probeCmd) Run(t *tool) error {
	if c.Listen < 0 || c.Listen > listenMost || len(c.Unit) > asksMost || len(c.Address) > asksMost ||
		slices.ContainsFunc(c.Unit, func(n int) bool { return n < 1 || n > 247 }) ||
		slices.ContainsFunc(c.Address, func(n int) bool { return n < 0 || n >= osdpAll }) {
		return &failure{fmt.Errorf("--listen is at most %v, --unit 1 to 247, --address 0 to 126, %d of each at most", listenMost, asksMost), "boothctl probe --help", exitUsage}
	}
	path, socket := c.where(t)
	if err := free(path); err != nil {
		return err
	}
	ctx, stop := interruptible(0)
	defer stop()
	locks := portLocks(socket)
	first := append(slices.Clone(c.Baud), listenBauds[0])[0]
	p, err := port.Open(ctx, port.Spec{Path: path, Baud: first, LockDir: locks})
	giveBack(locks)
	if err != nil {
		return unopened(path, err)
	}
	defer p.Close()
	s := &search{ctx: ctx, port: p, cmd: c, out: probed{Port: path, Fits: []match{}}}
	_, s.tcp = configs.Port(path).Network()
	s.say = func(text string) {
		if !t.json {
			fmt.Fprintln(t.stdout, text)
		}
	}
	yes, err := s.run()
	switch {
	case ctx.Err() != nil:
		return &failure{errors.New("ended before its end"), "", exitFix}
	case err != nil:
		return unopened(path, err)
	}
	if err := s.out.tell(t, yes); err != nil {
		return err
	}
	if !yes {
		return s.out.nothing(c.Quiet)
	}
	return nil
}

// where gives the port's path, and the socket beside which boothd keeps its
// locks. A box without a configuration can be probed too.
func (c *probeCmd) where(t *tool) (path, socket string) {
	path, socket = c.Port, defaultSocket
	if cfg, err := agent.Drivers.Load(t.place.Config); err == nil {
		socket = string(cfg.Socket)
		if i := slices.IndexFunc(cfg.Devices, func(d configs.Device) bool { return d.Name == c.Port }); i >= 0 {
			path = string(cfg.Devices[i].Path)
		}
	}
	if t.place.Socket != "" {
		socket = t.place.Socket
	}
	return path, socket
}

// search is a probe under way. It belongs to one goroutine.
type search struct {
	ctx  context.Context
	port port.Port
	tcp  bool // has no speed
	cmd  *probeCmd
	say  func(text string)
	out  probed
}

func (s *search) run() (bool, error) {
	if yes, err := s.listen(); yes || err != nil || s.cmd.Quiet {
		return yes, err
	}
	return s.ask()
}

// speeds are those to try: of a TCP port one, which is none.
func (s *search) speeds(usual []int) []int {
	switch {
	case s.tcp:
		return []int{0}
	case len(s.cmd.Baud) > 0:
		return s.cmd.Baud
	}
	return usual
}

// listen goes round the speeds until something is understood or the time is
// over. A speed at which only noise was heard is not tried again.
func (s *search) listen() (bool, error) {
	end := time.Now().Add(s.cmd.Listen)
	left := slices.Clone(s.speeds(listenBauds[:]))
	s.say(fmt.Sprintf("listening for %v; present a test plate, a bar code, a document or a key now", s.cmd.Listen))
	for len(left) > 0 && time.Now().Before(end) {
		baud := left[0]
		left = append(left[1:], baud)
		if err := s.speed(baud); err != nil {
			return false, err
		}
		b, err := s.hear(min(listenSlice, time.Until(end)))
		if err != nil || len(b) == 0 {
			if err != nil {
				return false, err
			}
			continue
		}
		if fits := understood(b); len(fits) > 0 {
			s.out.Baud, s.out.How, s.out.Fits = baud, "heard", fits
			return true, nil
		}
		left = left[:len(left)-1]
		s.noise(baud, b)
	}
	return false, nil
}

// understood tries bytes as they are, and without their highest bits.
func understood(b []byte) []match {
	if fits := recognise(b); len(fits) > 0 {
		return fits
	}
	return sevenBits(b)
}

// noise keeps what was not understood for the end.
func (s *search) noise(baud int, b []byte) {
	shape := glimpse.Masked(b[:min(len(b), shapeMost)], true)
	_, shape, _ = strings.Cut(shape, " bytes ")
	s.out.Heard = append(s.out.Heard, heard{baud, fmt.Sprintf("%d bytes %s", len(b), shape)})
	s.say(fmt.Sprintf("heard %d bytes%s that fit nothing", len(b), at(baud)))
}

func at(baud int) string {
	if baud == 0 {
		return ""
	}
	return fmt.Sprintf(" at %d baud", baud)
}

func (s *search) speed(baud int) error {
	if s.tcp {
		return s.ctx.Err()
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	return s.port.SetBaud(baud)
}

// hear waits for the first byte as long as it is told, and then until the
// device pauses.
func (s *search) hear(wait time.Duration) (b []byte, err error) {
	end := time.Now().Add(wait)
	buf := make([]byte, 512)
	for time.Now().Before(end) && len(b) < heardMost {
		n, err := s.port.Read(buf)
		if err != nil {
			return b, err
		}
		if err := s.ctx.Err(); err != nil {
			return b, err
		}
		if n > 0 {
			b = append(b, buf[:n]...)
			end = time.Now().Add(pauseEnds)
		}
	}
	return b, nil
}

// ask asks the questions, speed by speed, until one is answered.
func (s *search) ask() (bool, error) {
	all := s.cmd.questions()
	s.say(fmt.Sprintf("asking %d questions that change nothing, at every usual speed", len(all)))
	for _, baud := range s.speeds(askBauds[:]) {
		if err := s.speed(baud); err != nil {
			return false, err
		}
		for _, q := range all {
			if baud != 0 && len(s.cmd.Baud) == 0 && len(q.bauds) > 0 && !slices.Contains(q.bauds, baud) {
				continue
			}
			yes, err := s.put(q, baud)
			if yes || err != nil {
				return yes, err
			}
		}
	}
	return false, nil
}

// put asks one question. What comes meanwhile and is no answer may still be
// understood.
func (s *search) put(q question, baud int) (bool, error) {
	if _, err := s.port.Write(q.send); err != nil {
		return false, err
	}
	var b []byte
	buf := make([]byte, 512)
	for end := time.Now().Add(q.wait); time.Now().Before(end) && len(b) < heardMost; {
		n, err := s.port.Read(buf)
		if err != nil {
			return false, err
		}
		if err := s.ctx.Err(); err != nil {
			return false, err
		}
		b = append(b, buf[:n]...)
		if detail, settings, ok := q.is(q.answer(b)); ok {
			m := q.match
			m.Detail, m.Settings = detail, slices.Concat(m.Settings, settings)
			s.out.Baud, s.out.How, s.out.Fits = baud, q.name, []match{m}
			return true, nil
		}
	}
	if rest := q.answer(b); len(rest) > 0 {
		if fits := recognise(rest); len(fits) > 0 && fits[0].Driver != "barcode" {
			s.out.Baud, s.out.How, s.out.Fits = baud, "heard", fits
			return true, nil
		}
	}
	return false, nil
}

// tell writes what was found.
func (f probed) tell(t *tool, yes bool) error {
	if t.json {
		return t.print(f)
	}
	if !yes {
		return nil
	}
	m := f.Fits[0]
	detail := ""
	if m.Detail != "" {
		detail = ": " + m.Detail
	}
	if _, err := fmt.Fprintf(t.stdout, "%s: %s%s (%s)%s\n", f.Port, m.Driver, at(f.Baud), f.How, detail); err != nil {
		return err
	}
	for _, m := range f.Fits[1:] {
		fmt.Fprintf(t.stdout, "  it would fit %s too\n", strings.TrimSpace(m.Driver+" "+strings.Join(m.Settings, ", ")))
	}
	return f.snippet(t)
}

// snippet writes what to put into the configuration.
func (f probed) snippet(t *tool) error {
	m := f.Fits[0]
	_, known := agent.Drivers.Of(configs.Driver(m.Driver))
	lines := []string{"", "[[device]]", `name = "..."`, fmt.Sprintf("driver = %q", m.Driver), fmt.Sprintf("role = %q", roleFor(configs.Driver(m.Driver)))}
	switch {
	case m.Driver == board:
		lines = []string{"", "[[board]]", `name = "..."`}
	case !known:
		_, err := fmt.Fprintf(t.stdout, "  no [[device]] of this boothd has driver %q\n", m.Driver)
		return err
	}
	lines = append(lines, fmt.Sprintf("path = %q", stable(f.Port)))
	if f.Baud != 0 {
		lines = append(lines, fmt.Sprintf("baud = %d", f.Baud))
	}
	_, err := fmt.Fprintln(t.stdout, strings.Join(append(lines, m.Settings...), "\n"))
	return err
}

// stable is the name of a port that stays with its adapter, if it has one.
func stable(path string) string {
	for _, dir := range []string{"dev/serial/by-id", "dev/booth"} {
		if name, ok := links("/", dir)[path]; ok {
			return name
		}
	}
	return path
}

// nothing says that nothing was found, and what to do.
func (f probed) nothing(quiet bool) error {
	if len(f.Heard) > 0 {
		h := f.Heard[0]
		return &failure{fmt.Errorf("%s speaks, but not as one of ours: %s%s", f.Port, h.Shape, at(h.Baud)),
			"if the shape looks like a report, it is driver \"line\" with template \"custom\"; if not, listen longer: --listen 1m, and present something for each speed", exitFix}
	}
	hint := "look at power and cable (RS-232: 2 and 3 crossed; RS-485: A and B); a camera or scanner must see something: --listen 1m; other Modbus units: --unit, OSDP addresses: --address; an LCUS board without answers cannot be found"
	if quiet {
		hint = "present something to it; ask it without --quiet"
	}
	return &failure{fmt.Errorf("nothing of ours is heard on %s", f.Port), hint, exitFix}
}
