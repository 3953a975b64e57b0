package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"boothd/agent"
	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/port"
	"boothd/devices/sim"
	"boothd/test/programs"
)

// chipBoard serves the simulated GPIO chip that the configuration names, with
// empty loops and a red lamp that the wiring lights.
func chipBoard(env *testscript.Env, file string) error {
	cfg, err := agent.Drivers.Load(file)
	if err != nil {
		return err
	}
	var lines []sim.ChipLine
	for _, in := range cfg.GPIO.In {
		lines = append(lines, sim.ChipLine{Name: in.Line, Pull: in.ActiveLow})
	}
	for name, out := range cfg.GPIO.Out {
		lines = append(lines, sim.ChipLine{Name: out.Line, Pull: name == "traveller_red"})
	}
	ctx, pull := context.WithCancel(context.Background())
	env.Defer(pull)
	_, err = sim.ServeChip(ctx, strings.TrimPrefix(cfg.GPIO.Chip, "sim:"), lines)
	return err
}

// daemon is the boothd that a script has started.
type daemon struct{ stop func() }

// boothdCmd runs the daemon of etc/boothd.toml in this process, without
// hardware and without headquarters, until the script ends or says "boothd stop".
func boothdCmd(ts *testscript.TestScript, _ bool, args []string) {
	box := ts.Value("boothd").(*daemon)
	if len(args) == 1 && args[0] == "stop" {
		box.stop()
		return
	}
	cfg, err := agent.Drivers.Load(ts.MkAbs("etc/boothd.toml"))
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	done := make(chan error, 1)
	began, once := time.Now(), sync.Once{}
	away := errors.New("not in this test")
	go func() {
		done <- agent.Run(ctx, cfg, agent.World{
			OpenPort: func(context.Context, port.Spec) (port.Port, error) { return nil, away },
			OpenChip: gpio.OpenChip,
			Dial:     func(context.Context, string, string) (net.Conn, error) { return nil, away },
			Clock:    func() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 },
			Mono:     func() time.Duration { return time.Since(began) },
			Secret: func(ref configs.Ref) ([]byte, error) {
				path, err := ref.File(ts.MkAbs("creds"))
				if err != nil {
					return nil, err
				}
				return os.ReadFile(path)
			},
			Notify: func(s string) {
				if s == "READY=1" {
					once.Do(func() { close(ready) })
				}
			},
			Log: slog.New(slog.DiscardHandler), Version: "test", Boot: "boot",
		})
	}()
	box.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	ts.Defer(box.stop)
	select {
	case <-ready:
	case err := <-done:
		done <- err
		ts.Fatalf("boothd: %v", err)
	}
	// Ready does not mean that the socket is served already, nor that every
	// device has been tried.
	for limit := time.Now().Add(10 * time.Second); ; <-time.After(10 * time.Millisecond) {
		p, err := status.Dial("unix:" + string(cfg.Socket)).Get(ctx)
		if err == nil && !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return d.Since.IsZero() }) {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("boothd's socket: %v", err)
		}
	}
}

// hqCmd runs the list office, which is another program.
func hqCmd(ts *testscript.TestScript, neg bool, args []string) {
	dir, err := programs.Dir()
	ts.Check(err)
	if err := ts.Exec(filepath.Join(dir, "boothhq"), args...); (err != nil) != neg {
		ts.Fatalf("boothhq %v: %v", args, err)
	}
}
