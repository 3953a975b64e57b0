package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"boothd/agent"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/keypad"
	"boothd/devices/port"
)

// holders finds who has a port's node open, this program aside, and aside from
// the program that plays the device if the port is a pseudo terminal: that one
// is the far end. Without root only one's own processes can be seen.
func holders(path string) (all []holder) {
	node, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return nil
	}
	far := farEnd(node)
	for _, fd := range fds {
		proc := filepath.Dir(filepath.Dir(fd))
		pid := filepath.Base(proc)
		if target, err := os.Readlink(fd); err != nil || target != node || pid == fmt.Sprint(os.Getpid()) || far(proc) {
			continue
		}
		if h := (holder{Name: word(filepath.Join(proc, "comm")), PID: pid}); !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	return all
}

// farEnd tells of a process whether it has the other end of a pseudo terminal.
func farEnd(node string) func(proc string) bool {
	index, pts := strings.CutPrefix(node, "/dev/pts/")
	return func(proc string) bool {
		fds, err := filepath.Glob(filepath.Join(proc, "fd/*"))
		if !pts || err != nil {
			return false
		}
		return slices.ContainsFunc(fds, func(fd string) bool {
			target, err := os.Readlink(fd)
			if err != nil || target != "/dev/ptmx" && target != "/dev/pts/ptmx" {
				return false
			}
			info, err := os.ReadFile(filepath.Join(proc, "fdinfo", filepath.Base(fd)))
			return err == nil && strings.Contains(string(info), "tty-index:\t"+index+"\n")
		})
	}
}

// free refuses a port that another process holds. The kernel would let root in,
// and two programs on a line would each get half of what the device says.
func free(path string) error {
	if _, tcp := configs.Port(path).Network(); tcp {
		return nil
	}
	for _, h := range holders(path) {
		return heldBy(path, h)
	}
	return nil
}

func heldBy(path string, h holder) error {
	do := "stop it: kill " + h.PID
	switch h.Name {
	case "boothd":
		do = "take the lane out of service, then: systemctl stop boothd"
	case "ModemManager":
		do = "install 61-boothd.rules, then: systemctl restart ModemManager"
	case "agetty":
		do = "systemctl disable --now serial-getty@" + filepath.Base(path)
	}
	return &failure{fmt.Errorf("%s is held by %s", path, h), do, exitFix}
}

// unopened says what to do when a port cannot be opened.
func unopened(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, port.ErrBusy):
		hint = "boothctl ports, as root, says who holds it; if it is boothd: systemctl stop boothd"
	case errors.Is(err, fs.ErrPermission):
		hint = "run it as root"
	case errors.Is(err, port.ErrGone):
		hint = "boothctl ports lists what is plugged in; look at cable and power"
		if _, tcp := configs.Port(path).Network(); tcp {
			hint = "look at the device's address, its power and the network's cable"
		}
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there: ss -ltnp says which; if it is boothd: systemctl stop boothd"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "this box has no such address: ip address lists those it has"
	}
	return &failure{err, hint, exitFix}
}

// portLocks is where boothd keeps the lock files of its ports; empty if it has
// never run here, and then there is nothing to be locked out by.
func portLocks(socket string) string {
	dir := filepath.Dir(socket)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}

// giveBack hands lock files that root has made to the owner of their folder:
// boothd, which could not open them otherwise.
func giveBack(dir string) {
	info, err := os.Stat(dir)
	if dir == "" || err != nil || os.Geteuid() != 0 {
		return
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	locks, err := filepath.Glob(filepath.Join(dir, "port-*.lock"))
	if !ok || err != nil {
		return
	}
	for _, lock := range locks {
		// One that vanishes meanwhile needs no owner.
		_ = os.Lchown(lock, int(owner.Uid), int(owner.Gid))
	}
}

// opener opens ports for a tool: those that nobody holds, with boothd's locks.
type opener struct {
	socket string
	chip   string // of readers that hang on its lines
	port   func(context.Context, port.Spec) (port.Port, error)
	heard  func(bits []byte) // what such readers send; nil: nobody asks
	again  string            // what is typed; "": boothctl try, of the device
}

// where is where a device is, for people.
func (o opener) where(d configs.Device) string {
	if d.Pulses() {
		return fmt.Sprintf("lines %s and %s of %s", d.Data0, d.Data1, o.chip)
	}
	return string(d.Path)
}

// device opens a device as boothd would.
func (o opener) device(ctx context.Context, d configs.Device, fault func(error)) (agent.Reader, error) {
	if err := free(string(d.Path)); err != nil {
		return nil, err
	}
	locks := portLocks(o.socket)
	r, err := agent.OpenDevice(ctx, agent.World{OpenPort: o.port, OpenChip: gpio.OpenChip, Listen: (&net.ListenConfig{}).Listen, OpenKeys: keypad.OpenInput, Secret: credential}, d,
		agent.Place{Locks: locks, Chip: o.chip, Heard: o.heard, Watched: true}, fault)
	giveBack(locks)
	if err != nil {
		if creds := sealed(d); creds != "" && os.Getenv("CREDENTIALS_DIRECTORY") == "" {
			verb := "reader"
			if isPlate(d.Role) {
				verb = "plate"
			}
			return nil, &failure{fmt.Errorf("device %s: %w", d.Name, err),
				fmt.Sprintf("systemd opens its key: systemd-run --pty%s %s", creds, cmp.Or(o.again, "boothctl try "+verb+" "+d.Name)), exitFix}
		}
		err = fmt.Errorf("device %s on %s: %w", d.Name, o.where(d), err)
		if d.Pulses() {
			return nil, unclaimed(err)
		}
		return nil, unopened(string(d.Path), err)
	}
	return r, nil
}

// sealed gives the options by which systemd opens a device's credentials.
func sealed(d configs.Device) (options string) {
	for _, ref := range append(d.Secrets(), d.Cert, d.CA) {
		if name, ok := ref.Credential(); ok {
			options += " -p LoadCredentialEncrypted=" + name
		}
	}
	return options
}

// running refuses when boothd serves its socket.
func running(socket string) error {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return nil
	}
	c.Close()
	return &failure{fmt.Errorf("boothd runs: %s answers", socket), "take the lane out of service, then: systemctl stop boothd", exitFix}
}

// roleFor is a role that a driver may have, for a device that no configuration
// names; "card" for one that is no driver.
func roleFor(d configs.Driver) configs.Role {
	if kind, ok := agent.Drivers.Of(d); ok {
		return kind.Roles[0]
	}
	return configs.RoleCard
}

// unnamed makes a device that no configuration names, with defaults and checks
// as if one did: it is put into an example in place of the example's devices.
func unnamed(driver, path string, set []string) (configs.Device, error) {
	example, err := configs.Examples.ReadFile("general.toml")
	if err != nil {
		return configs.Device{}, fmt.Errorf("reading the example: %w", err)
	}
	var text strings.Builder
	skip := false
	for line := range strings.Lines(string(example)) {
		if strings.HasPrefix(line, "[") {
			skip = strings.HasPrefix(line, "[[device]]")
		}
		if !skip {
			text.WriteString(line)
		}
	}
	fmt.Fprintf(&text, "\n[[device]]\nname = \"unnamed\"\ndriver = %q\npath = %q\n", driver, path)
	if !slices.ContainsFunc(set, func(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), "role") }) {
		fmt.Fprintf(&text, "role = %q\n", roleFor(configs.Driver(driver)))
	}
	text.WriteString(strings.Join(set, "\n") + "\n")
	cfg, err := agent.Drivers.Parse("device", []byte(text.String()))
	if faults, ok := errors.AsType[configs.Problems](err); ok {
		f := faults[0]
		return configs.Device{}, &failure{fmt.Errorf("%s: %s", strings.TrimPrefix(f.Key, "device."), f.Msg),
			strings.TrimPrefix(f.Hint+"; settings are given as in [[device]]: --set 'baud = 9600'", "; "), exitUsage}
	}
	if err != nil {
		return configs.Device{}, err
	}
	return cfg.Devices[0], nil
}
