package agent

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/devices"
)

// deviceState is one device as the lane knows it.
type deviceState struct {
	Name, Driver string
	Role         devices.Role
	Online       bool
	Since        time.Time
	Reason       string
	ReadAt       time.Time // of its last read; zero: none since start
	Counters     devices.Counters
}

// health is what the lane knows of its hardware. The lane owns it.
type health struct {
	devices  []deviceState   // in order of the configuration
	broken   map[string]bool // wired points that cannot be read
	lampFail bool            // an output could not be driven
	judged   signal.Judged   // what the lamps show against what they were told
	dark     map[string]bool // chip and boards that are away: the lane cannot see or show
}

// read notes when a device was last heard of.
func (h *health) read(r devices.Read) {
	for i := range h.devices {
		if h.devices[i].Name == r.Device {
			h.devices[i].ReadAt = r.At
		}
	}
}

func (h *health) list() []deviceState { return slices.Clone(h.devices) }

// facts fills in what the hardware contributes. A lane that expedites cannot do
// without a card reader.
func (h *health) facts(f *passage.Facts, lane passage.LaneType) {
	f.Readers, f.LPR = true, true
	cards := lane == passage.Ready || lane == passage.General
	for _, d := range h.devices {
		switch d.Role {
		case devices.RoleCard, devices.RoleDocument, devices.RoleScan:
			cards = cards || d.Role == devices.RoleCard
			f.Readers = f.Readers && d.Online
		case devices.RolePlateFront, devices.RolePlateRear:
			f.LPR = f.LPR && d.Online
		}
	}
	f.Readers = f.Readers && cards
	f.Presence = len(h.broken) == 0 && len(h.dark) == 0
	f.Signals = !h.lampFail && h.judged == (signal.Judged{}) && len(h.dark) == 0
}

// news takes a change of a device's health: it decides anew, and records both.
func (l *lane) news(ctx context.Context, n deviceNews) {
	if n.device == lampsDevice {
		l.lamps(ctx, n)
		return
	}
	i := slices.IndexFunc(l.health.devices, func(d deviceState) bool { return d.Name == n.device })
	if i < 0 {
		return
	}
	d := &l.health.devices[i]
	d.Counters = n.counters
	reason := ""
	if n.reason != nil {
		reason, _, _ = strings.Cut(n.reason.Error(), "\n")
	}
	changed := d.Online != n.online || d.Since.IsZero()
	if !changed {
		d.Reason = reason
		return
	}
	d.Online, d.Since, d.Reason = n.online, n.at, reason
	l.happened(contract.DeviceChanged{Device: d.Name, Role: string(d.Role), Online: n.online, Reason: shorten(reason), Clock: l.stamp(n.at)})
	if d.Role == roleWiring {
		delete(l.health.dark, d.Name)
		if !n.online {
			l.health.dark[d.Name] = true
			l.assess() // out, before anything is recorded: what was green stays dark
			l.step(ctx, passage.Input{At: n.at, Kind: passage.LoopFault})
		}
	}
	l.assess()
	l.anew(ctx, n.at)
}

// happened keeps what happened to the booth for the next record, which tells it
// first: in the journal a decision comes after its reason. What a broken journal
// does not take is told by the booth's state alone.
func (l *lane) happened(e contract.Data) { l.cause = append(l.cause, e) }

// anew decides anew on what happened to the booth. What slows the lane is shown
// before the record of why: on a slow disk no green outlasts its reason. What led
// to no other decision is stored by itself.
func (l *lane) anew(ctx context.Context, at time.Time) {
	if l.machine.Active() {
		l.judge(ctx, at)
	} else {
		l.display()
	}
	if ok := l.storeOK; len(l.cause) > 0 && l.save(ctx, at) != ok {
		l.anew(ctx, at) // that the journal answers, or does not, is a reason too
	}
}

// lamps takes whether the outputs can be driven (212).
func (l *lane) lamps(ctx context.Context, n deviceNews) {
	if l.health.lampFail == (n.reason != nil) {
		return
	}
	l.health.lampFail = n.reason != nil
	l.assess()
	if n.reason != nil {
		l.happened(contract.SignalFault{Head: "all", Lamp: "all", Fault: "write", Clock: l.stamp(n.at)})
	}
	l.anew(ctx, n.at)
}

// assess sums the booth's health up: degraded while it would not expedite even
// a perfect passage, or headquarters is out of reach. It is done when something of it has changed and at each
// pulse, not on the way of a decision to the lamps.
func (l *lane) assess() {
	if len(l.health.dark) > 0 {
		l.level, l.why = signal.Out, []passage.Code{passage.PresenceFault, passage.SignalFault}
		return
	}
	if l.manual() {
		l.level, l.why = signal.Out, []passage.Code{passage.SignalFault}
		return
	}
	now := time.Now()
	f := passage.Facts{Now: now, Clock: l.quality(), Key: l.opens(time.Time{}, now), Config: true, Store: l.storeOK, Lists: l.lists(now)}
	l.health.facts(&f, l.policy.Lane)
	l.level, l.why = signal.Healthy, nil
	for _, c := range passage.Decide(l.policy, passage.Evidence{}, f).Reasons {
		if c > passage.LaneClosed && c <= passage.KeyUnavailable && c != passage.ListRejected && c != passage.ListAging {
			l.level, l.why = signal.Degraded, append(l.why, c)
		}
	}
	if l.level == signal.Healthy && l.apart(now) {
		l.level = signal.Degraded // a warning says why: no reason of a decision does
	}
}

// manual tells whether the lamps are at fault: nothing is shown, and the officer
// acts by hand until it is reset.
func (l *lane) manual() bool { return l.health.judged.Fault != (signal.Fault{}) }

// points of the configuration and what they mean to the machine.
var pressOf = map[string]passage.Kind{
	"release": passage.PressRelease, "refer": passage.PressRefer, "open_close": passage.PressOpenClose,
	"declaration": passage.PressDeclaration, "goods": passage.PressGoods, "empty": passage.PressEmpty,
	"trailer": passage.TrailerSeen, "other_class": passage.TruckSeen, "session_over": passage.SessionOver,
	"declare_yes": passage.Declare, "declare_no": passage.Declare,
}

// button makes the input of a button by its name; it is not ok if it has none.
func (l *lane) button(in passage.Input, name string) (passage.Input, bool) {
	if n, ok := strings.CutPrefix(name, "count_"); ok {
		var err error
		if in.Count, err = strconv.Atoi(n); err != nil || in.Count < 1 {
			return in, false
		}
		in.Kind = passage.PressCount
		if l.policy.Lane == passage.NEXUSAir {
			in.Kind = passage.PartyStated // the traveller's own buttons
		}
		return in, true
	}
	kind, ok := pressOf[name]
	in.Kind, in.Yes = kind, name == "declare_yes"
	return in, ok
}

// press takes a change of a wired point.
func (l *lane) press(ctx context.Context, p press) {
	if p.err != nil || l.health.broken[p.point] {
		l.point(ctx, p)
		if p.err != nil {
			return
		}
	}
	l.behind = time.Since(p.at) > fresh
	defer func() { l.behind = false }()
	in := passage.Input{At: p.at}
	var on map[bool]passage.Kind
	switch p.point {
	case "approach_loop":
		on = map[bool]passage.Kind{true: passage.ApproachOn, false: passage.ApproachOff}
	case "booth_loop":
		on = map[bool]passage.Kind{true: passage.BoothOn, false: passage.BoothOff}
	case "exit_loop":
		on = map[bool]passage.Kind{true: passage.ExitOn, false: passage.ExitOff}
	default:
		if !p.active || p.first {
			return // a button acts when it is pressed, not when it is let go or found held
		}
		if l.local(ctx, p.point, p.at) {
			return
		}
		in, ok := l.button(in, p.point)
		if ok && !l.stale(in) {
			l.step(ctx, in)
		}
		return
	}
	if p.lost {
		l.step(ctx, passage.Input{At: p.at, Kind: passage.LoopFault}) // a vehicle may have passed unseen
	}
	if p.first && !p.active && !l.machine.Active() {
		return // an empty road at start is no event
	}
	in.Kind, in.Found = on[p.active], p.first
	l.step(ctx, in)
}

// stale tells of a release, of a wired button or a keypad, that it came too late to
// count.
func (l *lane) stale(in passage.Input) bool {
	late := time.Since(in.At)
	if in.Kind != passage.PressRelease || late <= fresh {
		return false
	}
	l.log.Warn("a release came too late to count: it has to be pressed again", "late", late)
	return true
}

// point keeps which wired points can be read.
func (l *lane) point(ctx context.Context, p press) {
	if l.health.broken == nil {
		l.health.broken = make(map[string]bool)
	}
	bad := p.err != nil
	if l.health.broken[p.point] == bad {
		return
	}
	if bad {
		l.health.broken[p.point] = true
		l.log.Error("point cannot be read", "device", p.point, "err", p.err)
		l.step(ctx, passage.Input{At: p.at, Kind: passage.LoopFault})
	} else {
		delete(l.health.broken, p.point)
		l.log.Info("point can be read again", "device", p.point)
	}
	l.assess()
	l.anew(ctx, p.at)
}

// shorten keeps a reason within what an event and a state may carry: a device's
// own words, which may be any bytes, must not keep either from being told.
func shorten(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
	return strings.ToValidUTF8(s[:min(len(s), 200)], "") // a letter may be cut
}
