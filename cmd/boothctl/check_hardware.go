package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"boothd/agent"
	"boothd/configs"
)

func (k *check) hardware() {
	k.part = "hardware"
	ports := map[string]string{} // device file behind the links → device
	for _, d := range k.cfg.Devices {
		k.device(d, ports)
	}
	k.gpio()
}

// device looks at a port from outside. It is never opened: that would steal
// bytes from a running boothd and reset some adapters.
func (k *check) device(d configs.Device, ports map[string]string) {
	name, path := "device "+d.Name, string(d.Path)
	if d.Pulses() {
		k.ok(name, fmt.Sprintf("lines %s and %s of the GPIO chip; whether it is there shows with the first card", d.Data0, d.Data1))
		return
	}
	addr, network := d.Path.Network()
	if _, web := d.Path.Web(); web || d.From != "" {
		k.listener(name, addr)
		return
	}
	if network {
		k.ok(name, addr+": on the network, not tried")
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		k.fix(name, describe(path, err), pluggedIn())
		return
	case info.Mode()&fs.ModeCharDevice == 0:
		k.fix(name, path+": not a device", pluggedIn())
		return
	case !k.who.may(info, 6):
		k.fix(name, fmt.Sprintf("%s: %s may not open it (%s)", path, k.who.name, owner(info)),
			"usermod -aG dialout boothd, or install the udev rules")
		return
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		k.fix(name, describe(path, err), "")
		return
	}
	if other, ok := ports[target]; ok && !k.shared(d, other) {
		k.fix(name, fmt.Sprintf("%s: is the same port as that of device %s (%s)", path, other, target), "correct one of the two")
		return
	}
	ports[target] = d.Name
	k.ok(name, fmt.Sprintf("%s: there (%s)", path, target))
}

// shared tells whether two OSDP readers hang on one line, as configured.
func (k *check) shared(d configs.Device, other string) bool {
	of, _ := agent.Drivers.Of(d.Driver)
	return of.Shares && slices.ContainsFunc(k.cfg.Devices, func(o configs.Device) bool {
		return o.Name == other && o.Driver == d.Driver && o.Path == d.Path
	})
}

// pluggedIn lists the stable names there are, from the directory alone.
func pluggedIn() string {
	names, err := filepath.Glob("/dev/serial/by-id/*")
	if err != nil || len(names) == 0 {
		return "nothing is plugged in: look at cable and power"
	}
	const most = 16
	return "plugged in: " + strings.Join(names[:min(len(names), most)], " ")
}

func owner(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.Mode().String()
	}
	return fmt.Sprintf("owner %d, group %d, mode %04o", st.Uid, st.Gid, info.Mode().Perm())
}

// chip is what can be known of a GPIO chip without touching a line.
type chip struct {
	path, label string
	lines       map[string]chipLine
	twice       []string // names that several lines have
}

type chipLine struct {
	used     bool
	consumer string
}

func (k *check) gpio() {
	const name = "gpio.chip"
	want := k.cfg.GPIO.Chip
	if want == "" {
		k.ok(name, "none: everything hangs on relay boards")
		return
	}
	if path, ok := strings.CutPrefix(want, "sim:"); ok {
		if info, err := os.Stat(path); err != nil || info.Mode()&fs.ModeSocket == 0 {
			k.fix(name, path+": no simulated chip there", "start boothsim first")
			return
		}
		k.ok(name, path+": simulated")
		return
	}
	paths, err := filepath.Glob("/dev/gpiochip*")
	if err != nil || len(paths) == 0 {
		k.fix(name, want+": this machine has no GPIO chip", "load its driver; to try without, chip = \"sim:/path\" and boothsim")
		return
	}
	var have []string
	for _, p := range paths {
		c, err := readChip(p)
		if err != nil {
			k.warn(name, err.Error(), "run boothctl check as root")
			continue
		}
		if p == want || c.label == want {
			k.lines(c)
			return
		}
		have = append(have, fmt.Sprintf("%q (%s)", c.label, p))
	}
	k.fix(name, want+": no such chip", "there are "+strings.Join(have, ", "))
}

// lines checks that every line that is named exists, once, and is free.
func (k *check) lines(c chip) {
	k.ok("gpio.chip", fmt.Sprintf("%s: %q, %d named lines", c.path, c.label, len(c.lines)))
	wired := map[string]string{}
	for p, in := range k.cfg.GPIO.In {
		wired["gpio.in."+p] = in.Line
	}
	for p, out := range k.cfg.GPIO.Out {
		wired["gpio.out."+p] = out.Line
	}
	for _, d := range k.cfg.Devices {
		if d.Pulses() {
			wired["device "+d.Name+" data0"], wired["device "+d.Name+" data1"] = d.Data0, d.Data1
		}
	}
	wrong := 0
	for _, point := range slices.Sorted(maps.Keys(wired)) {
		name := wired[point]
		l, ok := c.lines[name]
		switch {
		case !ok:
			k.fix(point, fmt.Sprintf("%q has no line %q", c.label, name), "gpioinfo lists the lines")
		case slices.Contains(c.twice, name):
			k.fix(point, fmt.Sprintf("%q has several lines %q", c.label, name), "wire it to a line whose name is its own")
		case l.used && !strings.HasPrefix(l.consumer, "boothd"):
			k.fix(point, fmt.Sprintf("line %q is held by %q", name, l.consumer), "stop that program, or use another line")
		default:
			continue
		}
		wrong++
	}
	if wrong == 0 {
		k.ok("gpio lines", fmt.Sprintf("all %d there and free", len(wired)))
	}
}

// gpioGetChipInfo is GPIO_GET_CHIPINFO_IOCTL of linux/gpio.h, _IOR(0xB4, 1,
// struct gpiochip_info of 68 bytes); x/sys has only those of version 2.
const gpioGetChipInfo = 0x8044b401

// maxLines bounds a walk over a chip; the largest known have a few hundred.
const maxLines = 4096

// readChip asks the kernel for names. Information requests claim nothing and
// change nothing, also while boothd holds the lines.
func readChip(path string) (chip, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return chip{}, fmt.Errorf("opening GPIO chip: %w", err)
	}
	defer f.Close()
	var info unix.GPIOChipInfo
	if err := ioctl(f, gpioGetChipInfo, unsafe.Pointer(&info)); err != nil {
		return chip{}, fmt.Errorf("reading GPIO chip %s: %w", path, err)
	}
	c := chip{path: path, label: unix.ByteSliceToString(info.Label[:]), lines: map[string]chipLine{}}
	for i := range min(info.Lines, maxLines) {
		l := unix.GPIOV2LineInfo{Offset: i}
		if err := ioctl(f, unix.GPIO_V2_GET_LINEINFO_IOCTL, unsafe.Pointer(&l)); err != nil {
			return chip{}, fmt.Errorf("reading line %d of GPIO chip %s: %w", i, path, err)
		}
		name := unix.ByteSliceToString(l.Name[:])
		if name == "" {
			continue
		}
		if _, ok := c.lines[name]; ok {
			c.twice = append(c.twice, name)
		}
		const flagUsed = 1 << 0 // GPIO_V2_LINE_FLAG_USED
		c.lines[name] = chipLine{l.Flags&flagUsed != 0, unix.ByteSliceToString(l.Consumer[:])}
	}
	return c, nil
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
