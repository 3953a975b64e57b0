package agent

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/buffer/eligibility"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/mercury"
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

// frameOf is a reader's report of a card.
func frameOf(b *testing.B, epc string) []byte {
	b.Helper()
	f, err := mercury.SimTag{EPC: epc, RSSIDBm: -50, Antenna: 1}.Report()
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// times of one case.
type times struct {
	name string
	took []sample
}

func (t *times) at(q float64, of func(sample) time.Duration) time.Duration {
	all := make([]time.Duration, len(t.took))
	for i, s := range t.took {
		all[i] = of(s)
	}
	slices.Sort(all)
	return all[min(int(float64(len(all))*q), len(all)-1)]
}

func commanded(s sample) time.Duration { return s.commanded }
func seen(s sample) time.Duration      { return s.seen }

// row is p50, p99 and p99.9 of both moments, in microseconds.
func (t *times) row() string {
	line := fmt.Sprintf("%-26s", t.name)
	for _, of := range []func(sample) time.Duration{commanded, seen} {
		line += "  "
		for _, q := range []float64{0.5, 0.99, 0.999} {
			line += fmt.Sprintf(" %6d", t.at(q, of).Microseconds())
		}
	}
	return line
}

// ratio of two cases in every round.
func ratio(rounds [][4]times, ours, peer int, q float64, of func(sample) time.Duration) (median float64, all []float64) {
	for i := range rounds {
		all = append(all, float64(rounds[i][ours].at(q, of))/float64(rounds[i][peer].at(q, of)))
	}
	slices.Sort(all)
	return all[len(all)/2], all
}

// BenchmarkDecision measures, alternating in one run: the last byte of the
// deciding card written to the pty until the officer's lamp is commanded (a
// revoked card, red at once), the same until the durable green (a good card),
// and beside them the bare round trips (product design, section 9: P1, P2).
// Ratios are medians over rounds; -benchtime 3x makes three times as many.
func BenchmarkDecision(b *testing.B) {
	const rounds, each, unmeasured = 5, 120, 10
	r := newRig(b)
	for name, in := range r.cfg.GPIO.In {
		in.Debounce = configs.Duration{}
		r.cfg.GPIO.In[name] = in
	}
	r.cfg.Policy.AntiPassback = false
	// Amber is not wired here: both sides then write one pin between card and
	// lamp. On a simulated chip a pin costs a round trip over a socket.
	delete(r.cfg.GPIO.Out, string(signal.OfficerAmber))
	red, green := newLamp(r.cfg.GPIO.Out[string(signal.OfficerRed)].Line), newLamp(r.cfg.GPIO.Out[string(signal.OfficerGreen)].Line)
	r.world.OpenChip = func(ctx context.Context, name string) (*gpio.Chip, error) { return overheard(ctx, name, red, green) }
	r.more = bystanders(b, benchCards(b))
	r.listed()
	r.more = nil // a booth has no rows in memory, and its collector none to look at
	stop := r.run()
	r.up()
	go red.watch(b.Context(), r.chip)
	go green.watch(b.Context(), r.chip)
	peer := newBare(b)
	good, bad := frameOf(b, annaCard), frameOf(b, borisCard)
	turn := func() [4]sample {
		return [4]sample{r.sample(b, bad, red), peer.once(b, "x card\n"), r.sample(b, good, green), peer.once(b, "l card\n")}
	}
	for range unmeasured {
		turn()
	}
	var measured [][4]times
	for b.Loop() {
		for range rounds {
			var now [4]times
			for range each {
				for i, s := range turn() {
					now[i].took = append(now[i].took, s)
				}
			}
			measured = append(measured, now)
		}
	}
	b.StopTimer()
	if err := stop(); !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	r.alternated(b, 2*(unmeasured+len(measured)*each))
	report(b, measured)
}

// alternated checks that what was measured is what the booth decided.
func (r *rig) alternated(b *testing.B, passages int) {
	b.Helper()
	var ends []string
	for _, e := range r.events() {
		if e.Type == contract.TypeCrossingEnded {
			ended, err := contract.As[contract.CrossingEnded](e)
			if err != nil {
				b.Fatal(err)
			}
			ends = append(ends, ended.Outcome+" "+ended.End)
		}
	}
	if len(ends) != passages {
		b.Fatalf("%d passages are recorded, %d came", len(ends), passages)
	}
	for i, got := range ends {
		if want := []string{"REFER cleared", "EXPEDITE cleared"}[i%2]; got != want {
			b.Fatalf("passage %d ended as %s, want %s", i, got, want)
		}
	}
}

// report prints one table; a benchmark's log is cut after ten lines.
func report(b *testing.B, measured [][4]times) {
	b.Helper()
	all := [4]times{{name: "card -> officer's red"}, {name: "bare: pty -> pin"}, {name: "card -> durable green"}, {name: "bare: pty -> log -> pin"}}
	for _, now := range measured {
		for i := range all {
			all[i].took = append(all[i].took, now[i].took...)
		}
	}
	out := fmt.Sprintf("%d cards, %d samples of each (under 1,000 the last column is the worst one); microseconds from the last byte until the lamp is\n%-26s   commanded: p50 p99 p99.9; seen lit by the simulated chip: the same\n",
		benchCards(b), len(all[0].took), "")
	for i := range all {
		out += all[i].row() + "\n"
	}
	for i, name := range []string{"P1", "P2"} {
		p50, each := ratio(measured, 2*i, 2*i+1, 0.5, commanded)
		p99, _ := ratio(measured, 2*i, 2*i+1, 0.99, commanded)
		lit, _ := ratio(measured, 2*i, 2*i+1, 0.5, seen)
		out += fmt.Sprintf("%s: %.2f x bare at p50 (%.2f to %.2f in %d rounds), %.2f x at p99; seen lit %.2f x at p50\n",
			name, p50, each[0], each[len(each)-1], len(each), p99, lit)
		b.ReportMetric(p50, name+"-p50-ratio")
		b.ReportMetric(p99, name+"-p99-ratio")
	}
	b.Log(strings.TrimSuffix(out, "\n"))
	b.ReportMetric(0, "ns/op") // the time of an operation means nothing here
}

// sample brings a vehicle whose card alone is missing and measures from the
// card to the lamp.
func (r *rig) sample(b *testing.B, frame []byte, l *lamp) sample {
	b.Helper()
	step := func() { time.Sleep(2 * time.Millisecond) }
	r.came++ // a plate of its own: the same one again would be the same report
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
	step() // what was known before the card is recorded by now
	l.drain()
	began := time.Now()
	if _, err := r.far.Write(frame); err != nil {
		b.Fatal(err)
	}
	took, ok := l.await(began)
	if !ok && r.lost == r.losable {
		b.Fatalf("%s is never lit, the %d. time", l.line, r.lost+1)
	}
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
	if !ok {
		r.lost++
		return r.sample(b, frame, l)
	}
	return took
}
