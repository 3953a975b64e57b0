package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"boothd/test/fieldbox"
)

const simDir = "/sys/kernel/config/gpio-sim/booth"

// setup mounts the shared folder, makes the GPIO chip, names the UARTs and has
// the kernel believe its clock. It starts as few processes as it can: that is
// what costs under emulation.
func setup() error {
	if out, err := exec.Command("modprobe", "-a", "9pnet_virtio", "9p", "gpio-sim").CombinedOutput(); err != nil {
		return fmt.Errorf("modprobe: %w: %s", err, out)
	}
	if err := os.MkdirAll(fieldbox.Shared, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("shared", fieldbox.Shared, "9p", syscall.MS_RDONLY, "trans=virtio,version=9p2000.L,msize=262144"); err != nil {
		return fmt.Errorf("mounting the shared folder: %w", err)
	}
	if _, err := os.Stat("/sys/kernel/config/gpio-sim"); err != nil {
		if err := syscall.Mount("configfs", "/sys/kernel/config", "configfs", 0, ""); err != nil {
			return fmt.Errorf("mounting configfs: %w", err)
		}
	}
	return errors.Join(chip(), uarts(), clock())
}

// line is a row of the shared folder's gpio.conf: a name, and how it is pulled
// while nobody drives it.
type line struct{ name, pull string }

func lines() (all []line, err error) {
	f, err := os.Open(filepath.Join(fieldbox.Shared, "gpio.conf"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		w := strings.Fields(s.Text())
		if len(w) != 2 {
			return nil, fmt.Errorf("gpio.conf: %q is not a name and a pull", s.Text())
		}
		all = append(all, line{w[0], w[1]})
	}
	return all, s.Err()
}

// chip makes the GPIO chip, or brings it back, with every line pulled.
func chip() error {
	all, err := lines()
	if err != nil {
		return err
	}
	put := func(path, text string) {
		if e := os.WriteFile(path, []byte(text), 0o644); e != nil && err == nil {
			err = e
		}
	}
	dir := func(path string) {
		if e := os.Mkdir(path, 0o755); e != nil && !errors.Is(e, fs.ErrExist) && err == nil {
			err = e
		}
	}
	bank := simDir + "/bank0"
	dir(simDir)
	if _, e := os.Stat(bank); e != nil { // the first time
		dir(bank)
		put(bank+"/label", fieldbox.Chip)
		put(bank+"/num_lines", fmt.Sprint(len(all)))
		for i, l := range all {
			at := fmt.Sprintf("%s/line%d", bank, i)
			dir(at)
			put(at+"/name", l.name)
		}
	}
	put(simDir+"/live", "1")
	if err != nil {
		return err
	}
	device, err := os.ReadFile(simDir + "/dev_name")
	if err != nil {
		return err
	}
	name, err := os.ReadFile(bank + "/chip_name")
	if err != nil {
		return err
	}
	at := filepath.Join("/sys/devices/platform", strings.TrimSpace(string(device)), strings.TrimSpace(string(name)))
	err = errors.Join(os.RemoveAll(fieldbox.Lines), os.MkdirAll(fieldbox.Lines, 0o755))
	for i, l := range all {
		sim := fmt.Sprintf("%s/sim_gpio%d", at, i)
		put(sim+"/pull", "pull-"+l.pull)
		err = errors.Join(err, os.Symlink(sim, filepath.Join(fieldbox.Lines, l.name)))
	}
	return err
}

// uarts names the ports of the serial card in its order.
func uarts() error {
	ports, err := filepath.Glob("/sys/bus/pci/drivers/serial/*/tty/ttyS*")
	err = errors.Join(err, os.MkdirAll(fieldbox.UARTs, 0o755))
	for i, p := range ports {
		err = errors.Join(err, os.Symlink("/dev/"+filepath.Base(p), fmt.Sprintf("%s/uart%d", fieldbox.UARTs, i)))
	}
	return err
}

// What adjtimex sets (linux/timex.h).
const (
	adjMaxError = 0x04
	adjEstError = 0x08
	adjStatus   = 0x10
	staPLL      = 0x01
)

// clock does what a time daemon does once it has its servers: the machine's
// clock is the host's.
func clock() error {
	if _, err := syscall.Adjtimex(&syscall.Timex{Modes: adjStatus | adjMaxError | adjEstError, Status: staPLL, Maxerror: 10_000, Esterror: 1_000}); err != nil {
		return fmt.Errorf("setting the clock's status: %w", err)
	}
	return nil
}
