package agent

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/buffer/eligibility"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/port"
	"boothd/devices/sim"
)

// benchCards is how many cards the list holds; BOOTHD_BENCH_CARDS says another
// number (2300000 is the country's).
func benchCards(b *testing.B) int {
	b.Helper()
	s := os.Getenv("BOOTHD_BENCH_CARDS")
	if s == "" {
		return 200_000
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// bystanders are rows of cards that never come.
func bystanders(b *testing.B, n int) []eligibility.Row {
	b.Helper()
	value, err := contract.CardRow{Status: passage.Issued, Member: contract.TokenHex([16]byte{1})}.Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]eligibility.Row, n)
	for i := range rows {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		rows[i] = eligibility.Row{Token: eligibility.Token(sum[:16]), Value: value}
	}
	return rows
}

// bare is the least that any lane computer does: it reads the line and sets a
// pin; with a log it makes a record durable before.
type bare struct {
	far *sim.PTY
	out *gpio.Out
	pin *lamp
	log *os.File
	at  int64
}

// logRoom is preallocated, so that an append changes no file size.
const (
	logRoom  = 64 << 20
	logEntry = 4096
)

func newBare(b *testing.B) *bare {
	b.Helper()
	far, path, err := sim.OpenPTY()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	chip, err := sim.ServeChip(b.Context(), filepath.Join(dir, "c"), []sim.ChipLine{{Name: "PIN"}})
	if err != nil {
		b.Fatal(err)
	}
	c, err := gpio.OpenChip(b.Context(), "sim:"+filepath.Join(dir, "c"))
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.Out(gpio.OutConfig{Point: "pin", Line: "PIN"})
	if err != nil {
		b.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err == nil {
		err = unix.Fallocate(int(log.Fd()), 0, 0, logRoom)
	}
	if err == nil { // written once, so that no extent is left to be converted
		_, err = log.Write(make([]byte, logRoom))
	}
	if err == nil {
		err = log.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	p, err := port.Open(b.Context(), port.Spec{Path: path, Baud: 115200})
	if err != nil {
		b.Fatal(err)
	}
	r := &bare{far: far, out: out, pin: watchLamp(b, chip, "PIN"), log: log}
	go r.serve(p)
	b.Cleanup(func() { _, _ = far.Close(), log.Close() })
	return r
}

// serve answers each line: 'l' logs before it sets the pin.
func (r *bare) serve(p io.ReadWriteCloser) {
	defer p.Close()
	var buf [512]byte
	entry := make([]byte, logEntry)
	for {
		n, err := p.Read(buf[:])
		if err != nil {
			return
		}
		if n == 0 || buf[n-1] != '\n' {
			continue
		}
		if buf[0] == 'l' {
			if _, err := r.log.WriteAt(entry, r.at%(logRoom-logEntry)); err != nil {
				return
			}
			r.at += logEntry
			if err := unix.Fdatasync(int(r.log.Fd())); err != nil {
				return
			}
		}
		if err := r.out.Set(true); err != nil {
			return
		}
	}
}

// once measures one round.
func (r *bare) once(b *testing.B, line string) time.Duration {
	b.Helper()
	r.pin.drain()
	began := time.Now()
	if _, err := io.WriteString(r.far, line); err != nil {
		b.Fatal(err)
	}
	took := r.pin.lit(b).Sub(began)
	if err := r.out.Set(false); err != nil {
		b.Fatal(err)
	}
	return took
}

// lamp waits for one output to be lit.
type lamp struct{ on chan time.Time }

func watchLamp(b *testing.B, chip *sim.Chip, line string) *lamp {
	l := &lamp{on: make(chan time.Time, 1024)}
	go func() {
		for c := range chip.Watch(b.Context()) {
			if c.Line == line && c.Level {
				l.on <- c.At
			}
		}
	}()
	return l
}

func (l *lamp) drain() {
	for {
		select {
		case <-l.on:
		default:
			return
		}
	}
}

func (l *lamp) lit(b *testing.B) time.Time {
	b.Helper()
	select {
	case at := <-l.on:
		return at
	case <-time.After(5 * time.Second):
		b.Fatal("lamp never lit")
		return time.Time{}
	}
}

// frameOf is a reader's report of a card.
func frameOf(b *testing.B, epc string) []byte {
	b.Helper()
	f, err := sim.Report(sim.Tag{EPC: epc, RSSIDBm: -50, Antenna: 1})
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// times of one case.
type times struct {
	name string
	took []time.Duration
}

func (t *times) at(q float64) time.Duration {
	s := slices.Sorted(slices.Values(t.took))
	return s[min(int(float64(len(s))*q), len(s)-1)]
}

func (t *times) String() string {
	return fmt.Sprintf("%-38s %9v %9v %9v", t.name, t.at(0.5).Round(time.Microsecond), t.at(0.99).Round(time.Microsecond), t.at(0.999).Round(time.Microsecond))
}

// BenchmarkDecision measures, alternating in one run: the last byte of the
// deciding card written to the pty until the officer's lamp is commanded (a
// revoked card, red at once), the same until the durable green (a good card),
// and beside them the bare round trips (product design, section 9: P1, P2).
// Ratios are medians over rounds.
func BenchmarkDecision(b *testing.B) {
	const rounds, each = 5, 60
	r := newRig(b)
	for name, in := range r.cfg.GPIO.In {
		in.Debounce = configs.Duration{Duration: time.Millisecond}
		r.cfg.GPIO.In[name] = in
	}
	r.cfg.Policy.AntiPassback = false
	// Amber is not wired here: both sides then write one pin between card and
	// lamp. On a simulated chip a pin costs a round trip over a socket.
	delete(r.cfg.GPIO.Out, string(signal.OfficerAmber))
	r.more = bystanders(b, benchCards(b))
	r.listed()
	r.run()
	r.up()
	red := watchLamp(b, r.chip, r.cfg.GPIO.Out[string(signal.OfficerRed)].Line)
	green := watchLamp(b, r.chip, r.cfg.GPIO.Out[string(signal.OfficerGreen)].Line)
	peer := newBare(b)
	good, bad := frameOf(b, annaCard), frameOf(b, borisCard)
	var ratios [2][]float64
	var all [4]times
	for i, name := range []string{"card -> officer's red (decision)", "bare pty read -> pin", "card -> durable green", "bare pty read -> log, fdatasync -> pin"} {
		all[i].name = name
	}
	for b.Loop() {
		for range rounds {
			var now [4]times
			for range each {
				now[0].took = append(now[0].took, r.sample(b, bad, red))
				now[1].took = append(now[1].took, peer.once(b, "x card\n"))
				now[2].took = append(now[2].took, r.sample(b, good, green))
				now[3].took = append(now[3].took, peer.once(b, "l card\n"))
			}
			for i := range ratios {
				ratios[i] = append(ratios[i], float64(now[2*i].at(0.5))/float64(now[2*i+1].at(0.5)))
			}
			for i := range all {
				all[i].took = append(all[i].took, now[i].took...)
			}
		}
	}
	b.Logf("%d cards, %d samples each\n%-38s %9s %9s %9s", benchCards(b), len(all[0].took), "", "p50", "p99", "p99.9")
	for i := range all {
		b.Log(all[i].String())
	}
	for i, name := range []string{"P1", "P2"} {
		slices.Sort(ratios[i])
		p99 := float64(all[2*i].at(0.99)) / float64(all[2*i+1].at(0.99))
		b.Logf("%s: %.2f x bare at p50 (median of %d rounds, %.2f to %.2f), %.2f x at p99", name, ratios[i][len(ratios[i])/2], len(ratios[i]), ratios[i][0], ratios[i][len(ratios[i])-1], p99)
		b.ReportMetric(ratios[i][len(ratios[i])/2], name+"-p50-ratio")
		b.ReportMetric(p99, name+"-p99-ratio")
	}
	b.ReportMetric(0, "ns/op") // the time of an operation means nothing here
}

// sample brings a vehicle whose card alone is missing and measures from the
// card to the lamp.
func (r *rig) sample(b *testing.B, frame []byte, l *lamp) time.Duration {
	b.Helper()
	step := func() { time.Sleep(4 * time.Millisecond) } // over the debounce of 1 ms
	r.came++                                            // a plate of its own: the same one again would be the same report
	r.set("approach_loop", true)
	step()
	if err := r.camera.Plate(fmt.Sprintf("BX%05d", r.came), "ON", 0.97); err != nil {
		b.Fatal(err)
	}
	step()
	r.set("approach_loop", false)
	step()
	r.set("booth_loop", true)
	step()
	r.set("count_1", true)
	step()
	r.set("count_1", false)
	step()
	l.drain()
	began := time.Now()
	if _, err := r.far.Write(frame); err != nil {
		b.Fatal(err)
	}
	took := l.lit(b).Sub(began)
	step()
	for range 2 { // over REFER it takes two
		r.set("release", true)
		step()
		r.set("release", false)
		step()
	}
	r.set("exit_loop", true)
	step()
	r.set("booth_loop", false)
	step()
	r.set("exit_loop", false)
	step()
	return took
}
