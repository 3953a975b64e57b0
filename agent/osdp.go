package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"boothd/configs"
	"boothd/devices"
	"boothd/devices/osdp"
	"boothd/devices/osdp/pd"
	"boothd/devices/port"
)

// installFor is how long an install window stays open: time to power a reader
// that is fresh from the factory (OSDP protocol, secure channel).
const installFor = 10 * time.Minute

// installs are the windows in which OSDP readers may be given their own key, by
// device. A technician opens them on the spot.
type installs struct {
	mu    sync.Mutex // the control socket and the devices' goroutines
	end   map[string]time.Time
	wrong map[string]time.Time // when a reader was found with another key
}

// refused notes that a reader has another key.
func (i *installs) refused(device string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.wrong == nil {
		i.wrong = make(map[string]time.Time)
	}
	i.wrong[device] = time.Now()
}

// hold leaves a reader alone that has another key, until it makes sense to ask
// it again or a technician opens a window. A new configuration begins anew.
func (i *installs) hold(ctx context.Context, device string) error {
	for {
		i.mu.Lock()
		at, end := i.wrong[device], i.end[device]
		i.mu.Unlock()
		if at.IsZero() || time.Since(at) >= osdp.WrongKeyPause || time.Now().Before(end) {
			return nil
		}
		if !sleep(ctx, time.Second) {
			return ctx.Err()
		}
	}
}

func (i *installs) open(device string, until time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.end == nil {
		i.end = make(map[string]time.Time)
	}
	i.end[device] = until
}

func (i *installs) until(device string) time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.end[device]
}

// install answers a PUT of /install/DEVICE: it opens the window.
func (b *booth) install(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("device")
	for _, d := range b.cfg.Devices {
		if own, ok := d.Own.(*osdp.Settings); ok && d.Name == name && !own.Clear {
			b.installs.open(name, time.Now().Add(installFor))
			b.log.Warn("a reader may be given its key now", "device", name, "for", installFor)
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	http.Error(w, fmt.Sprintf("no device %q of driver osdp with a key", name), http.StatusUnprocessableEntity)
}

// seatsOf gives each OSDP reader whose line is another's too its place on it.
func seatsOf(cfg *configs.Config, w World) map[string]*osdp.Seat {
	on := map[configs.Port][]configs.Device{}
	for _, d := range cfg.Devices {
		if _, ok := d.Own.(*osdp.Settings); ok {
			on[d.Path] = append(on[d.Path], d)
		}
	}
	seats := map[string]*osdp.Seat{}
	for path, all := range on {
		if len(all) < 2 {
			continue
		}
		spec := port.Spec{Path: string(path), Baud: all[0].Baud, LockDir: filepath.Dir(string(cfg.Socket))}
		bus := osdp.NewBus(func(ctx context.Context) (io.ReadWriteCloser, error) { return w.OpenPort(ctx, spec) })
		for _, d := range all {
			seats[d.Name] = bus.Seat()
		}
	}
	return seats
}

// seated is a world whose port is a reader's place on its line.
func seated(w World, s *osdp.Seat) World {
	w.OpenPort = func(ctx context.Context, _ port.Spec) (port.Port, error) {
		p, err := s.Open(ctx)
		if err != nil {
			return nil, err
		}
		return sharedPort{p}, nil
	}
	return w
}

// sharedPort is a place on a line whose speed is not one reader's to change.
type sharedPort struct{ io.ReadWriteCloser }

// SetBaud refuses.
func (sharedPort) SetBaud(int) error {
	return errors.New("the line's speed is not one reader's to change")
}

// openOSDP opens a card reader with its key. One that was secure once is never
// read in clear again, whatever the configuration says.
func openOSDP(ctx context.Context, w World, p port.Port, d configs.Device, own *osdp.Settings, at Place, fault func(error)) (Reader, error) {
	c := osdp.Config{Name: d.Name, Role: devices.Role(d.Role), Address: byte(d.Address), Bits: own.Bits, Master: own.Master, Clear: own.Clear, InstallUntil: at.Install, Seat: at.Seat,
		Health: func(h osdp.Health) { fault(reading(h)) }}
	err := secureOSDP(&c, w, d, own, at, fault)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("osdp %s: %w", d.Name, err), p.Close())
	}
	return osdp.Open(ctx, p, c)
}

func secureOSDP(c *osdp.Config, w World, d configs.Device, own *osdp.Settings, at Place, fault func(error)) error {
	pin := filepath.Join(at.State, "secure-"+d.Name)
	if at.State != "" {
		_, err := os.Stat(pin)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("whether it was secure before: %w", err)
		}
		c.Pinned = err == nil
		c.Pin = func() {
			if c.Pinned {
				return
			}
			if err := os.WriteFile(pin, nil, 0o600); err != nil {
				fault(fmt.Errorf("that it is secure is not kept: %w", err))
			}
		}
	}
	if own.Clear {
		if c.Pinned {
			return fmt.Errorf("it was secure before and is not read in clear: give it its key, or remove %s", pin)
		}
		return nil
	}
	raw, err := w.Secret(configs.Ref(own.ReaderKey))
	if err != nil {
		return fmt.Errorf("its key: %w", err)
	}
	if c.Key, err = osdp.ParseKey(raw); err != nil {
		return fmt.Errorf("its key: %w", err)
	}
	return nil
}

// playOSDP plays such a reader with the key that the booth has of it.
func playOSDP(d configs.Device, own *osdp.Settings, on Stage) (devices.Far, error) {
	r := &pd.Device{Address: byte(d.Address)}
	if own.Master {
		return devices.Far{}, errors.New("readers with keys from a master key cannot be played")
	}
	if !own.Clear {
		raw, err := on.Secret(configs.Ref(own.ReaderKey))
		if err != nil {
			return devices.Far{}, err
		}
		if r.Key, err = osdp.ParseKey(raw); err != nil {
			return devices.Far{}, err
		}
	}
	return r.Far(on.Bus, own.SimBits()), nil
}

// reading is what is to be told of a reader that goes on working; nil: nothing.
// Nothing of the lane's is wired to its inputs and outputs: one that is active is
// told for whoever did.
func reading(h osdp.Health) error {
	var words []string
	if h.Tamper {
		words = append(words, "the reader's case is open")
	}
	if h.Power {
		words = append(words, "the reader has trouble with its power")
	}
	if h.Gone {
		words = append(words, "a reader that hangs on it is not connected")
	}
	for n := range h.Inputs.All() {
		words = append(words, fmt.Sprintf("its input %d is active", n))
	}
	for n := range h.Outputs.All() {
		words = append(words, fmt.Sprintf("its output %d is on", n))
	}
	if words == nil {
		return nil
	}
	return errors.New(strings.Join(words, "; "))
}
