package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"boothd/configs"
	"boothd/devices"
	"boothd/devices/sim"
)

// hardware is what stands around a booth, played: the far ends of its devices, a
// GPIO chip or boards of relays with loops, buttons and lamps.
type hardware struct {
	cfg    *configs.Config
	chip   *sim.Chip // nil: all hangs on boards
	boards []*board
	far    []*far
	speed  float64
	pace   pace

	life     context.Context // of what plays; ends with unplug
	end      context.CancelFunc
	matcher  *matcher // of a kiosk
	receipts *os.File // of the printer; nil: they are not kept
	served   sync.WaitGroup
	moved    atomic.Pointer[func(level)] // is told of lamps on boards
}

func newHardware(speed float64) *hardware {
	h := &hardware{speed: speed, pace: briskPace}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// add plays one more device.
func (h *hardware) add(d configs.Device) (*far, error) {
	f, err := h.play(d)
	if err == nil {
		h.far = append(h.far, f)
	}
	return f, err
}

// of gives the first device of a role, or one by its name; nil: there is none.
func (h *hardware) of(role configs.Role) *far {
	i := slices.IndexFunc(h.far, func(f *far) bool { return f.role == role })
	if i < 0 {
		return nil
	}
	return h.far[i]
}

// field puts the cards of a vehicle into the fields of the readers that can
// read them, and takes all others away.
func (h *hardware) field(cards []card, rssiDBm int) error {
	reader := 0
	for _, f := range h.far {
		if f.Present == nil {
			continue
		}
		var tags []devices.FarTag
		for _, c := range cards {
			if c.reader == reader {
				tags = append(tags, devices.FarTag{Number: c.epc, RSSIDBm: rssiDBm, Antenna: 1, Damaged: c.word == "unreadable"})
			}
		}
		if err := f.Present(tags...); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		reader++
	}
	return nil
}

// printed keeps a receipt.
func (h *hardware) printed(lines []string) {
	if h.receipts != nil {
		_, _ = fmt.Fprintln(h.receipts, strings.Join(lines, "\n")+"\n--") // a file of the demo's own
	}
}

// serveChip plays the chip of a configuration, if it has one. What nobody
// drives is pulled to where it is safe: red lights, all else is dark.
func (h *hardware) serveChip(ctx context.Context, cfg *configs.Config, socket string) error {
	h.cfg = cfg
	if cfg.GPIO.Chip == "" {
		return h.hangLamps()
	}
	var lines []sim.ChipLine
	for point, in := range cfg.GPIO.In {
		// A cut wire back of a lamp is high, which is "lit" of all but red.
		lines = append(lines, sim.ChipLine{Name: in.Line, Pull: in.ActiveLow || strings.HasSuffix(point, configs.Lit)})
	}
	for name, out := range cfg.GPIO.Out {
		lines = append(lines, sim.ChipLine{Name: out.Line, Pull: (name == "traveller_red") != out.ActiveLow})
	}
	for _, d := range cfg.Devices {
		if d.Pulses() {
			lines = append(lines, sim.ChipLine{Name: d.Data0, Pull: true}, sim.ChipLine{Name: d.Data1, Pull: true})
		}
	}
	var err error
	if h.chip, err = sim.ServeChip(ctx, socket, lines); err != nil {
		return err
	}
	return h.hangLamps()
}

// free lets the next driver have the lines of one that was killed.
func (h *hardware) free() {
	for _, c := range h.cables() {
		c.free()
	}
}

func (h *hardware) cables() []*cable {
	var out []*cable
	for _, f := range h.far {
		if f.cable != nil && !slices.Contains(out, f.cable) { // readers may share one
			out = append(out, f.cable)
		}
	}
	for _, b := range h.boards {
		out = append(out, b.cable)
	}
	return out
}

// unplug takes all devices away.
func (h *hardware) unplug() error {
	h.end()
	var errs []error
	for _, c := range h.cables() {
		errs = append(errs, c.unplug())
	}
	h.served.Wait()
	if h.receipts != nil {
		errs = append(errs, h.receipts.Close())
	}
	return errors.Join(errs...)
}

// set gives an input its active level, or takes it away.
func (h *hardware) set(point string, active bool) error {
	if in, ok := h.cfg.GPIO.In[point]; ok {
		return h.chip.Set(in.Line, active != in.ActiveLow)
	}
	for _, b := range h.boards {
		if in, ok := b.In[point]; ok {
			b.sim.SetInput(in.Channel, active != in.ActiveLow)
			return nil
		}
	}
	return fmt.Errorf("nothing is wired to %s", point)
}

// pause waits as long as a driver or an officer takes, sooner by the speed.
func (h *hardware) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(time.Duration(float64(d) / h.speed))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// press pushes a button and lets it go.
func (h *hardware) press(ctx context.Context, point string) error {
	if err := h.set(point, true); err != nil {
		return err
	}
	h.pause(ctx, h.pace.Hold)
	err := h.set(point, false)
	h.pause(ctx, h.pace.Hold)
	return err
}

// buttons of the officer's words.
var buttons = map[string]string{"release": "release", "refer": "refer", "toggle": "open_close",
	"count1": "count_1", "count2": "count_2", "count3": "count_3", "count4": "count_4",
	"trailer": "trailer", "empty": "empty", "declaration": "declaration",
	"goods": "declare_yes", "nogoods": "declare_no", "walk": "session_over"}

// drive sends one vehicle through the lane. decided waits until the booth has
// advice, since the officer never acts before it, and tells whether that is to
// refer: then the officer does, unless the scenario is of an override.
func (h *hardware) drive(ctx context.Context, v vehicle, decided func() (refer bool)) error {
	acts := v.kind.officer
	if acts[0] == "toggle" {
		if err := h.press(ctx, "open_close"); err != nil {
			return err
		}
		acts = acts[1:]
	}
	if h.cfg.Lane.Type == configs.NEXUSAir {
		return h.visit(ctx, v, acts, decided)
	}
	if err := h.approach(ctx, v); err != nil {
		return err
	}
	for _, act := range acts {
		if paper, ok := papers[act]; ok {
			if err := h.show(ctx, paper(v.load), act); err != nil {
				return err
			}
			continue
		}
		h.pause(ctx, h.pace.Officer)
		refer := decided()
		if act == "wait" || act == "toggle" {
			continue
		}
		if act == "release" && refer && len(slices.DeleteFunc(slices.Clone(acts), func(a string) bool { return a != "release" })) == 1 {
			act = "refer"
		}
		if err := h.press(ctx, buttons[act]); err != nil {
			return err
		}
	}
	h.pause(ctx, h.pace.Leave)
	if err := h.leave(ctx); err != nil {
		return err
	}
	if acts[len(acts)-1] == "toggle" {
		return h.press(ctx, "open_close")
	}
	return nil
}

// approach brings it to the booth: loop, cards at the reader, plate, booth loop.
func (h *hardware) approach(ctx context.Context, v vehicle) error {
	if err := h.set("approach_loop", true); err != nil {
		return err
	}
	h.pause(ctx, h.pace.Approach)
	if err := h.field(v.cards, -52); err != nil {
		return err
	}
	if err := h.look(v); err != nil {
		return err
	}
	h.pause(ctx, h.pace.Field)
	if err := h.set("approach_loop", false); err != nil {
		return err
	}
	h.pause(ctx, h.pace.Roll)
	if err := h.field(nil, 0); err != nil {
		return err
	}
	err := h.set("booth_loop", true)
	h.pause(ctx, h.pace.Stop)
	return err
}

// look has the cameras see a vehicle.
func (h *hardware) look(v vehicle) error {
	if front := h.of(configs.RolePlateFront); front != nil {
		err := error(nil)
		if v.noRead {
			err = front.NoRead()
		} else {
			err = front.Plate(v.plate, v.jurisdiction, v.confidence)
		}
		if err != nil {
			return err
		}
	}
	if rear := h.of(configs.RolePlateRear); rear != nil && v.load.rear != "" {
		return rear.Plate(v.load.rear, "ON", 0.95)
	}
	return nil
}

// leave drives it over the exit loop and away.
func (h *hardware) leave(ctx context.Context) error {
	for _, step := range []struct {
		point string
		on    bool
	}{{"exit_loop", true}, {"booth_loop", false}, {"exit_loop", false}} {
		if err := h.set(step.point, step.on); err != nil {
			return err
		}
		h.pause(ctx, h.pace.Leave)
	}
	return nil
}
