//go:build fieldbox

package fieldbox

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"boothd/agent/signal"
)

// tracing is where the kernel tells of every level that is driven on a line,
// not only of those that somebody looked at.
const tracing = "/sys/kernel/tracing"

// trace has the kernel write down what is done to outputs from now on.
func (f *field) trace() {
	f.Helper()
	f.run("mount -t tracefs tracefs " + tracing + " && cd " + tracing + ` && echo mono >trace_clock && echo 8192 >buffer_size_kb &&
echo 'get == 0' >events/gpio/gpio_value/filter && echo 'in == 0' >events/gpio/gpio_direction/filter && echo 1 >events/gpio/enable`)
}

// driven is one thing that was done to a lamp: it was claimed as an output, or
// driven.
type driven struct {
	lamp    string
	claimed bool
	lit     bool // when not claimed
}

var traced = regexp.MustCompile(`: (gpio_value|gpio_direction): (\d+) +(.*)$`)

// outputs reads the trace.
func (f *field) outputs() (all []driven) {
	f.Helper()
	base, err := strconv.Atoi(f.run("cat /sys/class/gpio/gpiochip*/label /sys/class/gpio/gpiochip*/base | grep -A1 -x " + Chip + " | tail -1"))
	if err != nil {
		f.Fatal(err)
	}
	names := map[int]string{}
	points := slices.Sorted(maps.Keys(f.cfg.GPIO.Out))
	for i, point := range points { // rows of gpio.conf, after the inputs
		names[base+len(f.cfg.GPIO.In)+i] = point
	}
	for line := range strings.Lines(f.run("cat " + tracing + "/trace")) {
		m := traced.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[2])
		lamp, ours := names[n]
		switch {
		case err != nil || !ours:
		case m[1] == "gpio_direction" && strings.HasPrefix(m[3], "out"):
			all = append(all, driven{lamp: lamp, claimed: true})
		case m[1] == "gpio_value":
			all = append(all, driven{lamp: lamp, lit: strings.HasSuffix(m[3], "1") != f.cfg.GPIO.Out[lamp].ActiveLow})
		}
	}
	return all
}

// firstLevels looks at what the kernel has written of the first start: the
// level that a line gets is the claim's own, and it is the safe one.
func (f *field) firstLevels() {
	trace := f.outputs()
	claims := f.claims(trace)
	// More than once is no fault: where many want the machine, an emulated boothd
	// may be too slow for its watchdog.
	if claims == 0 || claims%len(f.cfg.GPIO.Out) != 0 {
		f.Errorf("%d claims of %d outputs", claims, len(f.cfg.GPIO.Out))
	}
	f.saw("first levels at the claim (kernel trace)", "%d claims of %d outputs, each with its safe level: red lit, all else dark", claims, len(f.cfg.GPIO.Out))
}

// claims holds every claim of a trace against the safe level: the value comes
// with the claim, and nothing was driven before it since the last claim was
// lost. It tells how many there were.
func (f *field) claims(trace []driven) (n int) {
	f.Helper()
	for i, d := range trace {
		if !d.claimed {
			continue
		}
		n++
		// The kernel tells of the value first and of the direction then; both are
		// of one call.
		if i == 0 || trace[i-1].lamp != d.lamp || trace[i-1].claimed || trace[i-1].lit != signal.Safe(signal.Lamp(d.lamp)) {
			f.Errorf("I9: %s is claimed after %+v", d.lamp, trace[max(0, i-1)])
		}
	}
	return n
}

// neverUnsafe goes through the whole trace: no two lamps of a head are lit at
// once, so that green comes only when red is off.
func (f *field) neverUnsafe() {
	trace := f.outputs()
	claims := f.claims(trace)
	steps, greens, lives := 0, 0, 1
	lit, held := map[string]bool{}, map[string]bool{}
	for i, d := range trace {
		if d.claimed {
			continue
		}
		if i+1 < len(trace) && trace[i+1].claimed && trace[i+1].lamp == d.lamp {
			if held[d.lamp] { // by a boothd that is dead: all lines have fallen back to their pulls
				clear(lit)
				clear(held)
				lives++
			}
			held[d.lamp] = true
		}
		steps++
		lit[d.lamp] = d.lit
		if d.lamp == "traveller_green" && d.lit {
			greens++
		}
		for _, who := range []string{"traveller", "officer"} {
			on := slices.DeleteFunc([]string{who + "_red", who + "_amber", who + "_green"}, func(lamp string) bool { return !lit[lamp] })
			if len(on) > 1 {
				f.Errorf("I9: lit at once: %v", on)
			}
		}
	}
	if greens < 3 || lives < 3 || claims != lives*len(f.cfg.GPIO.Out) {
		f.Errorf("the trace has %d greens, %d claims of %d lives", greens, claims, lives)
	}
	f.saw("lamps in all that (kernel trace)", "%d levels driven by %d processes, %d greens for travellers: none unsafe", steps, lives, greens)
}
