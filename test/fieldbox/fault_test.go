//go:build fieldbox

package fieldbox

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/status"
)

// unplug pulls the USB adapter with the officer's keypad on it: the booth says
// so, the lane goes on, and the keypad is back once it is plugged in.
func (f *field) unplug() {
	const timer = "cat /sys/bus/usb-serial/devices/ttyUSB*/latency_timer"
	if ms := f.run(timer); ms != "1" {
		f.Errorf("the adapter's latency timer is %s ms, 61-boothd.rules says 1", ms)
	}
	if err := f.box.Unplug(); err != nil {
		f.Fatal(err)
	}
	f.shows("keypad offline", func(p status.Picture) bool { return !device(p, "keypad").Online })
	gone := f.told("keypad", false) - f.said("USB disconnect")
	f.arrive(plate)
	f.advised("EXPEDITE")
	f.press("release")
	f.traveller("traveller_green")
	f.leave()
	if err := f.box.Plug(); err != nil {
		f.Fatal(err)
	}
	f.online("keypad")
	back := f.told("keypad", true) - f.said("now attached to ttyUSB")
	f.until("quick again", func() (bool, error) { ms := f.run(timer); return ms == "1", errors.New(ms) })
	pad, err := f.box.Dial("usb0")
	if err != nil {
		f.Fatal(err)
	}
	f.arrive("")
	if _, err := fmt.Fprintf(pad, "ON-%s\r", keyed); err != nil {
		f.Fatal(err)
	}
	f.shows("the keyed plate", func(p status.Picture) bool { return p.Lane.Plate == status.PlateKeyed })
	p := f.advised("EXPEDITE")
	f.press("release")
	f.traveller("traveller_green")
	f.leave()
	if err := pad.Close(); err != nil {
		f.Error(err)
	}
	if gone > offlineMost || back > onlineMost {
		f.Errorf("keypad told offline %v after the kernel lost it, online %v after the kernel had it", gone, back)
	}
	f.saw("USB adapter unplugged", "keypad told offline %v after the kernel lost it; a vehicle meanwhile: EXPEDITE, green", gone)
	f.saw("USB adapter plugged in again", "told online %v after the kernel had it; a plate keyed on it: %s", back, p.Lane.Now.Outcome)
}

// Bounds of an adapter that goes and comes, those of a real box (1 s and 3 s)
// as often as this one may be slower.
const (
	offlineMost = 8 * time.Second
	onlineMost  = 24 * time.Second
)

// told is when the journal's last change of a device was, by the box's
// monotonic clock.
func (f *field) told(device string, online bool) time.Duration {
	f.Helper()
	all, _ := f.events()
	for _, e := range slices.Backward(all) {
		if e.Type != contract.TypeDeviceChanged {
			continue
		}
		c, err := contract.As[contract.DeviceChanged](e)
		if err != nil {
			f.Fatal(err)
		}
		if c.Device == device && c.Online == online {
			return time.Duration(c.Clock.MonoUS) * time.Microsecond
		}
	}
	f.Fatalf("the journal does not tell that %s is online %t", device, online)
	return 0
}

// said is when the kernel last said something, by the same clock.
func (f *field) said(what string) time.Duration {
	f.Helper()
	var seconds float64
	if _, err := fmt.Sscanf(f.run("dmesg | grep '"+what+"' | tail -1 | tr -d '['"), "%f]", &seconds); err != nil {
		f.Fatalf("the kernel does not say %q: %v", what, err)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}

// chipGone unbinds the GPIO chip under the running booth and brings it back.
func (f *field) chipGone() {
	f.run("/usr/lib/fieldbox/agent chip off")
	p := f.shows("chip offline", func(p status.Picture) bool { return !device(p, "gpio").Online })
	out := f.shows("out of service", func(p status.Picture) bool { return p.Health == status.Out })
	f.run("/usr/lib/fieldbox/agent chip on")
	f.online("gpio")
	f.traveller("traveller_red")
	f.saw("GPIO chip unbound and bound again", "booth %s: %s; then online, red", out.Health, device(p, "gpio").Reason)
}

// clock steps the box's wall clock back to 1970 under the running booth, as when
// its battery is empty: no vehicle is expedited on it. Then it is set and
// disciplined again, and the lane expedites; the lists have not aged by the steps,
// and the journal tells both.
func (f *field) clock() {
	quality := func(word string) {
		f.Helper()
		f.shows("clock "+word, func(p status.Picture) bool { return p.Clock.Quality == word })
	}
	quality("synced")
	began := time.Now()
	was := f.run("date +%s; date -s @86400 >/dev/null")
	quality("unset")
	time.Sleep(window) // arrive waits by the box's clock
	f.arrive(plate)
	p := f.advised("PRIMARY")
	if p.Lane.Now.Lead.Code != int(passage.ClockUntrusted) || slices.ContainsFunc(p.Lane.Now.Reasons, func(r status.Reason) bool { return r.Code == int(passage.ListStale) }) {
		f.Errorf("I1: with the clock in 1970 the advice is %+v", p.Lane.Now)
	}
	doubt := p.Lane.Now.Lead.Code
	f.press("release") // by hand; one that leaves without is in the way of the next (213)
	f.leave()
	from, err := strconv.ParseInt(was, 10, 64)
	if err != nil {
		f.Fatal(err)
	}
	f.run(fmt.Sprintf("date -s @%d >/dev/null && /usr/lib/fieldbox/agent synced", from+int64(time.Since(began).Seconds())))
	quality("synced")
	time.Sleep(window)
	f.arrive(plate)
	p = f.advised("EXPEDITE")
	f.press("release")
	f.traveller("traveller_green")
	f.leave()
	var steps []time.Duration
	all, _ := f.events()
	for _, e := range all {
		if e.Type != contract.TypeClockCorrected {
			continue
		}
		c, err := contract.As[contract.ClockCorrected](e)
		if err != nil {
			f.Fatal(err)
		}
		steps = append(steps, (time.Duration(c.OffsetUS) * time.Microsecond).Round(time.Hour))
	}
	if n := len(steps); n < 2 || steps[n-2] >= -40*365*24*time.Hour || steps[n-1] != -steps[n-2] {
		f.Errorf("the journal tells of steps of %v", steps)
	}
	f.saw("wall clock stepped to 1970 and back", "PRIMARY led by %d, then %s; %s", doubt, p.Lane.Now.Outcome, f.run("boothctl verify"))
}

// outOfMemory takes boothd's memory away, until the kernel kills it for that: the
// wiring shows red, and with its memory back it starts and works.
func (f *field) outOfMemory() {
	f.arrive(plate)
	f.advised("EXPEDITE")
	f.press("release")
	f.traveller("traveller_green")
	f.run("systemctl set-property --runtime boothd MemoryMax=2M")
	killed := "journalctl -q -b -o cat -u boothd | grep -c \"Failed with result 'oom-kill'\""
	f.until("killed for its memory", func() (bool, error) { n := f.run(killed + " || true"); return n != "0", errors.New(n) })
	f.traveller("traveller_red")
	kills := f.run(killed)
	f.run("systemctl set-property --runtime boothd MemoryMax=256M")
	f.online("gpio", "pre-read", "front", "keypad")
	f.traveller("traveller_red")
	f.leave()
	f.saw("memory taken away at a green", "the kernel killed boothd %s times, red; with its memory back: %s", kills, f.run("boothctl verify"))
	f.run("systemctl restart boothd") // or the next is in doubt: that vehicle came to a booth that knew nothing of it
	f.online("gpio", "pre-read", "front", "keypad")
}

// kill kills boothd at a green: the wiring shows red until the next one has
// claimed the lines, and that one begins safe.
func (f *field) kill() {
	f.arrive(plate)
	f.advised("EXPEDITE")
	f.press("release")
	f.traveller("traveller_green")
	before := f.run("systemctl show -P NRestarts boothd")
	// Every look is by the shell itself, which starts no process for it.
	look := f.levels(head...)
	out := f.run("pid=$(systemctl show -P MainPID boothd); kill -KILL $pid; while kill -0 $pid 2>/dev/null; do :; done; n=0; while [ $n -lt 200 ]; do " + look + "; n=$((n+1)); done")
	looks := map[string]int{}
	for line := range strings.Lines(out) {
		looks[strings.TrimSpace(line)]++
	}
	if len(looks) != 1 || looks["1 0 0"] != 200 { // red, amber, green
		f.Errorf("I9: after SIGKILL the traveller's red, amber and green were %v", looks)
	}
	f.until("started anew", func() (bool, error) {
		now := f.run("systemctl show -P NRestarts -P ActiveState boothd")
		return now != before+"\nactive" && strings.HasSuffix(now, "\nactive") || strings.HasPrefix(now, "active\n") && now != "active\n"+before, fmt.Errorf("%q", now)
	})
	f.online("gpio", "pre-read", "front", "keypad")
	f.traveller("traveller_red")
	f.leave()
	f.saw("SIGKILL at a green", "%d looks without a boothd: red 1, amber 0, green 0; started anew by systemd, red", looks["1 0 0"])
}

// watchdog stops boothd: systemd finds out and starts it anew.
func (f *field) watchdog() {
	out := f.run("pid=$(systemctl show -P MainPID boothd); kill -STOP $pid; from=$(cut -d' ' -f1 /proc/uptime); while [ \"$(systemctl show -P MainPID boothd)\" = $pid ] || [ \"$(systemctl is-active boothd)\" != active ]; do sleep 0.1; done; echo $from $(cut -d' ' -f1 /proc/uptime)")
	var from, to float64
	if _, err := fmt.Sscan(out, &from, &to); err != nil {
		f.Fatalf("%q: %v", out, err)
	}
	if why := f.run("journalctl -q -b -o cat -u boothd | grep -c 'Watchdog timeout'"); why != "1" {
		f.Errorf("systemd tells of %s watchdog timeouts", why)
	}
	var noticed float64
	if _, err := fmt.Sscanf(f.run("journalctl -q -b -o short-monotonic | grep 'boothd.service: Watchdog timeout' | tail -1 | tr -d '['"), "%f]", &noticed); err != nil {
		f.Fatal(err)
	}
	f.online("gpio", "pre-read", "front", "keypad")
	f.saw("boothd stopped (SIGSTOP)", "noticed by the watchdog after %.1f s, the next one READY after %.1f s", noticed-from, to-from)
}

// power cuts the power while a vehicle is released, with all of what was not
// flushed lost and with a random half of it lost: what the journal held before
// is there after, byte for byte, and the chain holds.
func (f *field) power() {
	for _, random := range []bool{false, true} {
		f.arrive(plate)
		f.advised("EXPEDITE")
		f.press("release")
		f.traveller("traveller_green")
		_, before := f.events()
		// The control: what nobody synced has to be lost, in the guest's memory
		// (unsynced) and in the disk's cache, where O_DIRECT brings it.
		f.run("head -c 1000000 /dev/zero >/var/unsynced; dd if=/dev/zero of=/var/direct bs=64k count=16 oflag=direct status=none")
		kept, lost, err := f.box.Cut(random)
		if err != nil {
			f.Fatal(err)
		}
		f.wires.Wait()
		f.on("switched on after a power cut")
		if n, err := strconv.Atoi(f.run("stat -c %s /var/unsynced 2>/dev/null || echo 0")); err != nil || n == 1_000_000 {
			f.Errorf("the cut lost nothing: %d bytes, %v", n, err)
		}
		f.online("gpio", "pre-read", "front", "keypad")
		f.traveller("traveller_red")
		verified, _, _ := strings.Cut(f.run("boothctl verify"), ", ") // "✓ 70 events"
		_, after := f.events()
		if !strings.HasPrefix(after, before) {
			f.Errorf("R1: the journal has changed:\n%s\nwas\n%s", after, before)
		}
		ready := f.run("systemctl show -P ActiveEnterTimestampMonotonic boothd")
		us, err := strconv.ParseInt(ready, 10, 64)
		if err != nil {
			f.Fatal(err)
		}
		f.leave()
		f.saw("power cut at a green", "%d unflushed blocks lost, %d written; all %d events there; verify %s; kernel to READY %.1f s", lost, kept,
			strings.Count(before, "\n")+1, verified, float64(us)/1e6)
	}
}
