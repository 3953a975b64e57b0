package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
	"periph.io/x/host/v3/distro"

	"boothd/agent"
	"boothd/agent/passage"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/keypad"
	"boothd/devices/port"
)

// Set by the linker for a release.
var (
	release = "development"
	built   = ""
)

func version() string { return release }

// builtAt is a time the wall clock cannot be before: the linker's, else the
// commit's, else a day before this program was written.
func builtAt() time.Time {
	if t, err := time.Parse(time.RFC3339, built); err == nil {
		return t
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				return t
			}
		}
	}
	return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
}

// program is the digest of this program's own file: whoever changes it cannot
// keep headquarters from seeing another one, unless he changes this too
// (reliability reference, section 3). It is made when it is first asked for, by
// the link to headquarters: a start does not wait for it.
var program = sync.OnceValue(func() string {
	f, err := os.Open("/proc/self/exe") // what runs, though its name may be another's by now
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
})

func world(log *slog.Logger, cfg *configs.Config) agent.World {
	clock := kernelClock
	if cfg.Clock.Source == configs.ClockHost {
		clock = hostClock
	}
	return agent.World{
		OpenPort: port.Open,
		Listen:   (&net.ListenConfig{}).Listen,
		OpenKeys: keypad.OpenInput,
		OpenChip: gpio.OpenChip,
		Dial:     (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		Clock:    clock,
		Mono:     mono,
		Secret:   secret,
		Notify: func(state string) {
			// Without a service manager there is nobody to tell.
			if _, err := daemon.SdNotify(false, state); err != nil {
				log.Warn("service manager not told", "err", err)
			}
		},
		Log:     log,
		Version: version(),
		Program: program,
		Built:   builtAt(),
		Boot:    firstLine("/proc/sys/kernel/random/boot_id"),
		Board:   boardName(),
		OS:      osName(),
	}
}

// kernelClock asks the kernel whether the clock is disciplined, and how far off
// it may be. It needs no privilege and no network, whatever program does the
// disciplining.
func kernelClock() (passage.Clock, time.Duration) {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	if err != nil || state == unix.TIME_ERROR || tx.Status&unix.STA_UNSYNC != 0 {
		return passage.ClockUnset, 0
	}
	return passage.ClockSynced, time.Duration(tx.Maxerror) * time.Microsecond
}

// hostClock is for a guest whose kernel cannot say: its host keeps the time.
func hostClock() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 }

// mono is the kernel's monotonic clock.
func mono() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// firstLine reads a small file of the kernel; "" if there is none.
func firstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.Trim(line[:min(len(line), 100)], "\x00 ")
}

// osName is the system's own name for itself.
func osName() string {
	name := distro.OSRelease()["PRETTY_NAME"]
	if name == "" {
		name = runtime.GOOS
	}
	return name[:min(len(name), 100)]
}

// boardName is what the device tree calls the board, or the machine's vendor
// where there is none.
func boardName() string {
	if name := distro.DTModel(); name != "" && name != "<unknown>" {
		return name[:min(len(name), 100)]
	}
	return firstLine("/sys/class/dmi/id/product_name")
}

// secretMost bounds a credential: a chain of certificates fits many times.
const secretMost = 64 << 10

func secret(ref configs.Ref) ([]byte, error) {
	path, err := ref.File(os.Getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, secretMost+1))
	if err == nil && len(b) > secretMost {
		err = fmt.Errorf("reading %s: more than %d bytes", path, secretMost)
	}
	return b, err
}

// reloading is what Type=notify-reload wants: the monotonic time, so that the
// service manager can tell this reload from an earlier one.
func reloading() string {
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", mono().Microseconds())
}
