//go:build fieldbox

package fieldbox

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/status"
	"boothd/devices/mercury"
)

// install follows docs/install.md to the letter, on a box that has never seen
// a booth.
func (f *field) install() {
	f.trace()
	f.run("cp -r " + Shared + " /root/kit && mkdir -p /media/stick && cp -r " + Shared + "/lists /media/stick/lists")
	f.run("chmod 755 /root/kit/bin/*")
	out := f.run("cd /root/kit && set -e\nexport SUDO_USER=root\n" + handbook(f.T))
	f.Logf("%s", out)
	f.shows("lists are in force", func(p status.Picture) bool {
		return p.Lane.Open && !slices.ContainsFunc(p.Lists, func(l status.List) bool { return l.State == status.Stale })
	})
	f.saw("docs/install.md, step by step", "%s", f.run("systemctl show -P ActiveState boothd")+"; "+f.run("boothctl check >/root/check 2>&1; grep -c ✓ /root/check")+" checks in order")
	exposure := f.run("systemd-analyze security boothd.service | tail -1")
	f.saw("systemd-analyze security, running", "%s", strings.TrimLeft(exposure, "→ "))
	f.online("gpio", "pre-read", "front", "keypad")
	f.saw("the box's lines", "%s", strings.Join(strings.Fields(f.run("gpiodetect")), " "))
}

// online waits until devices are there.
func (f *field) online(names ...string) {
	f.Helper()
	f.shows(fmt.Sprint(names, " online"), func(p status.Picture) bool {
		for _, name := range names {
			if d := device(p, name); d == nil || !d.Online {
				return false
			}
		}
		return true
	})
}

func device(p status.Picture, name string) *status.Device {
	for i := range p.Devices {
		if p.Devices[i].Name == name {
			return &p.Devices[i]
		}
	}
	return nil
}

// window is how long after a plate the same one is another vehicle's: the
// camera's, and a second.
const window = 11 * time.Second

// arrive brings a vehicle to the booth: loop, card, plate, booth loop, and the
// officer's count.
func (f *field) arrive(text string) {
	f.Helper()
	// The same plate again within the camera's window is the same read.
	f.shows("the camera's window over", func(p status.Picture) bool {
		last := device(p, "front").ReadAt
		return last.IsZero() || p.At.Sub(last).Abs() > window // also when the clock was stepped
	})
	f.stamps = append(f.stamps, f.pull("approach_loop", true))
	f.shows("a vehicle", func(p status.Picture) bool { return p.Lane.State == "approach" })
	f.reader.Present(mercury.SimTag{EPC: card, RSSIDBm: -52, Antenna: 1})
	if text != "" {
		if err := f.camera.Plate(text, "ON", 0.97); err != nil {
			f.Fatal(err)
		}
	}
	f.shows("card and plate", func(p status.Picture) bool {
		return p.Lane.Cards == 1 && (text == "" || p.Lane.Plate == status.PlateRead)
	})
	f.pull("booth_loop", true)
	f.pull("approach_loop", false)
	f.reader.Present()
	f.shows("advice", func(p status.Picture) bool { return p.Lane.Now != nil })
	f.press("count_1")
}

// advised waits for the advice that lets the officer release.
func (f *field) advised(outcome string) (p status.Picture) {
	f.Helper()
	return f.shows(outcome, func(p status.Picture) bool {
		return p.Lane.Now != nil && p.Lane.Now.Outcome == outcome && p.Lane.Durable
	})
}

// leave drives it away; the lane is at rest after it.
func (f *field) leave() {
	f.Helper()
	f.pull("exit_loop", true)
	f.pull("booth_loop", false)
	f.pull("exit_loop", false)
	f.shows("an empty lane", func(p status.Picture) bool { return p.Lane.State == "idle" })
	f.traveller("traveller_red")
}

// passage is one vehicle from the loop to the red behind it.
func (f *field) passage() {
	f.traveller("traveller_red")
	f.arrive(plate)
	f.advised("EXPEDITE")
	f.traveller("traveller_red") // the officer has not acted
	f.press("release")
	f.traveller("traveller_green")
	f.leave()
	p, err := f.picture()
	if err != nil || len(p.Last) == 0 || p.Last[0].End != "cleared" || !p.Last[0].Released || p.Last[0].Advice.Outcome != "EXPEDITE" {
		f.Fatalf("the passage is %+v: %v", p.Last, err)
	}
	reader, camera := device(p, "pre-read").Counts, device(p, "front").Counts
	f.saw("passage: loop, card, plate, count, release, green, red", "%s led by %d, cleared; decided in %.1f ms", p.Last[0].Advice.Outcome, p.Last[0].Advice.Lead.Code, float64(p.Last[0].DecisionUS)/1000)
	f.saw("Mercury on a 16550 UART", "%d bytes, %d frames, %d check errors, %d reopens", reader.Bytes, reader.Frames, reader.CheckErrors, reader.Reopens)
	f.saw("plate camera on a 16550 UART", "%d bytes, %d frames, %d check errors, %d reopens", camera.Bytes, camera.Frames, camera.CheckErrors, camera.Reopens)
	if 50*(reader.CheckErrors+camera.CheckErrors) > reader.Frames+camera.Frames { // an emulated UART loses a byte when its machine is busy
		f.Error("bytes were damaged on the way")
	}
}

// begun are the times at which passages began, as the journal has them.
func (f *field) begun() (at []time.Time) {
	f.Helper()
	all, _ := f.events()
	for _, e := range all {
		if e.Type != contract.TypeCrossingEnded {
			continue
		}
		c, err := contract.As[contract.CrossingEnded](e)
		if err != nil {
			f.Fatal(err)
		}
		at = append(at, c.StartedAt)
	}
	return at
}

// stampsOfEdges shows that an edge has the kernel's time and not that of its
// arrival: boothd is stopped while a loop is pulled.
func (f *field) stampsOfEdges() {
	in := f.cfg.GPIO.In["approach_loop"]
	out := strings.Fields(f.run("/usr/lib/fieldbox/agent late $(systemctl show -P MainPID boothd) " + in.Line + " " + pull(!in.ActiveLow)))
	if len(out) != 3 {
		f.Fatalf("%q", out)
	}
	pulled := f.stamped(strings.Join(out[:2], " "))
	arrived := f.stamped(out[2] + " " + out[2]).before // it could not be taken sooner
	f.stamps = append(f.stamps, pulled)
	f.shows("a vehicle", func(p status.Picture) bool { return p.Lane.State == "approach" })
	f.pull("booth_loop", true)
	f.pull("approach_loop", false)
	f.shows("advice", func(p status.Picture) bool { return p.Lane.Now != nil })
	f.press("release")
	f.leave()
	begun, debounce := f.begun(), in.Debounce.Duration
	if len(begun) != len(f.stamps) {
		f.Fatalf("%d passages of %d vehicles", len(begun), len(f.stamps))
	}
	// The kernel itself debounces, and stamps what has held.
	var behind []time.Duration
	for i, at := range begun {
		behind = append(behind, at.Sub(f.stamps[i].before).Round(time.Millisecond))
		if at.Before(f.stamps[i].before.Add(debounce - time.Millisecond)) {
			f.Errorf("the edge of %v, debounced by %v, is stamped %v", f.stamps[i].before, debounce, at)
		}
	}
	last := begun[len(begun)-1]
	if !last.Before(arrived.Add(-200 * time.Millisecond)) {
		f.Errorf("the edge of %v is stamped %v; it arrived at %v", pulled.after, last, arrived)
	}
	f.saw("edges: kernel's stamp after the pull, debounce "+debounce.String(), "%v", behind)
	f.saw("edge while boothd was stopped", "stamped %v after the pull, taken %v after it at the soonest", behind[len(behind)-1], arrived.Sub(pulled.before).Round(time.Millisecond))
}
