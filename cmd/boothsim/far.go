package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"boothd/agent"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/osdp/pd"
)

// far is the far end of one device of the configuration, played.
type far struct {
	devices.Far
	name  string
	role  configs.Role
	cable *cable   // nil: it has no line of its own
	bus   *pd.Line // the same for readers that share it
}

// play plays the far end of a device. Where the booth finds it is its path, or any
// pty if that is empty; several may be on one path.
func (h *hardware) play(d configs.Device) (*far, error) {
	f := &far{name: d.Name, role: d.Role, cable: &cable{path: d.Path, calls: d.From != ""}, bus: &pd.Line{}}
	first := h.sharing(d)
	if first != nil {
		f.cable, f.bus = first.cable, first.bus
	}
	stage := agent.Stage{Wire: f.cable, Every: h.every(), Bus: f.bus, Print: h.printed, Secret: secret,
		Pulse: func(lines [2]string, p []devices.Pulse) error { return h.chip.Pulse(lines, p) }}
	err := f.known(d)
	if err == nil {
		f.Far, err = agent.PlayDevice(h.life, d, stage)
	}
	switch {
	case err != nil:
	case f.Lineless:
		f.cable = nil
	case first == nil:
		f.cable.serve = f.Serve
		err = f.cable.plug()
	}
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", d.Name, err)
	}
	if f.Run != nil {
		h.served.Go(func() { f.Run(h.life) })
	}
	return f, nil
}

// known gives a device at tls:// a certificate by which the booth knows it.
func (f *far) known(d configs.Device) error {
	if d.Path.Scheme() != "tls" {
		return nil
	}
	if d.Fingerprint != "" {
		return errors.New("its certificate is made here: no fingerprint can be of it")
	}
	at, _ := d.Path.Network()
	host, _, err := net.SplitHostPort(at)
	if err == nil {
		f.cable.secure, err = certify(host, string(d.CA))
	}
	return err
}

// sharing gives the device that is played on the same line already; nil: none.
// Two devices of others have the same path before each has a port of its own.
func (h *hardware) sharing(d configs.Device) *far {
	if of, _ := agent.Drivers.Of(d.Driver); !of.Shares {
		return nil
	}
	i := slices.IndexFunc(h.far, func(f *far) bool { return f.cable != nil && d.Path != "" && f.cable.path == d.Path })
	if i < 0 {
		return nil
	}
	return h.far[i]
}

// every is the time between two rounds of a UHF reader's field.
func (h *hardware) every() time.Duration {
	return max(time.Duration(float64(40*time.Millisecond)/h.speed), 10*time.Millisecond)
}

// secret reads what a configuration refers to, as boothd would.
func secret(ref configs.Ref) ([]byte, error) {
	path, err := ref.File(os.Getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
