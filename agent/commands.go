package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"boothd/agent/command"
	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/uplink"
	"boothd/buffer/journal"
	"boothd/configs"
)

const (
	// commandsMost is how many commands wait; a flood costs the oldest.
	commandsMost = 16
	// commandLimit is how long one may take, the journal's part included.
	commandLimit = 10 * time.Second
	// helloEvery is the least time between two hellos: a link that comes and
	// goes must not fill the journal.
	helloEvery = 10 * time.Second
	// strangersBurst refusals of what nobody trusted has signed are told at once,
	// then one each strangersEvery; of signed ones more, since headquarters waits
	// for the answer. The rest are counted.
	strangersBurst, strangersEvery = 8, time.Minute
	signedBurst, signedEvery       = 64, 10 * time.Second
)

// Reasons of a result beside those of package command.
const (
	reasonStore       = "store"       // the journal could not note the command
	reasonInterrupted = "interrupted" // the booth stopped before it was done
	reasonNoSource    = "no_source"   // there is nowhere to look for lists
	reasonBusy        = "busy"        // too much of it waits already
	reasonNoLamp      = "no_lamp"     // there is nothing to show it with
	reasonNoPlace     = "no_place"    // there is nowhere to put it
	reasonUpload      = "upload"      // the place did not take it
)

// commands takes what headquarters asks of the booth. Package command judges;
// here the answer is noted, carried out and told, in this order: the id of a
// command and an audit event of it are durable before anything is done, so that
// a crash leaves a command undone but never done twice.
//
// Source: mqtt contract, section 7.
type commands struct {
	log    *slog.Logger
	booth  string
	key    string // id of the booth's signing key, for the hello
	allow  []string
	lanes  []passage.LaneType
	trust  *contract.TrustedKeys // nil: nobody is believed
	floor  time.Time             // no clock is before it
	began  time.Time             // of this run, with monotonic part
	outbox *outbox
	time   *timekeeper

	refresh func() bool // looks for lists; false if there is nowhere to look
	retype  func(context.Context, passage.LaneType) error
	blink   func() bool // shows which booth this is; false if no lamp is wired
	// bundle puts a support archive in its place, and tells which; nil: none is configured.
	bundle func(ctx context.Context, id string) (name string, size int, err error)

	in    chan uplink.Message
	conns chan uint64 // holds the last connect that was not yet told

	strangers, signed allowance
	unsaid            uint64 // refusals since the last result that were not stored
}

func newCommands(b *booth) *commands {
	c := &commands{log: b.log, booth: string(b.cfg.Booth.ID), trust: b.commandKeys(), floor: b.world.Built, began: time.Now(),
		outbox: b.outbox, time: b.time, in: make(chan uplink.Message, commandsMost), conns: make(chan uint64, 1),
		strangers: allowance{most: strangersBurst, every: strangersEvery}, signed: allowance{most: signedBurst, every: signedEvery}}
	for _, n := range b.cfg.Commands.Allow {
		c.allow = append(c.allow, string(n))
	}
	for _, t := range append([]configs.LaneType{b.cfg.Lane.Type}, b.cfg.Lane.Others...) {
		c.lanes = append(c.lanes, passage.LaneType(t))
	}
	c.refresh = func() bool {
		nudge(b.fetcher.wanted)
		return len(b.fetcher.urls) > 0
	}
	c.blink = func() bool {
		b.lamps.identify()
		return b.cfg.HasOut(string(signal.OfficerHealth))
	}
	if b.cfg.Commands.Upload != "" {
		c.bundle = (&bundler{cfg: b.cfg, bulletin: b.bulletin, outbox: b.outbox, client: b.webClient()}).send
	}
	c.retype = func(ctx context.Context, to passage.LaneType) error {
		return b.inbox.press(ctx, press{point: lanePrefix + string(to), active: true, at: time.Now()})
	}
	return c
}

// connected hears of a connect; it never blocks. The last one counts.
func (c *commands) connected(conn uint64) {
	for {
		select {
		case c.conns <- conn:
			return
		default:
		}
		select {
		case <-c.conns:
		default:
		}
	}
}

// run tells what became of commands that the run before left undone, then takes
// new ones until ctx ends.
func (c *commands) run(ctx context.Context) {
	c.leftovers(ctx)
	hello := time.NewTimer(time.Hour)
	hello.Stop()
	defer hello.Stop()
	var conn uint64
	var at time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case conn = <-c.conns:
			hello.Reset(max(0, time.Until(at.Add(helloEvery))))
		case <-hello.C:
			at = time.Now()
			c.hello(ctx, conn)
		case m := <-c.in:
			if err := contain(func() error { c.take(ctx, m.Payload); return nil }); err != nil {
				c.log.Error("command not carried out", "err", err)
			}
		}
	}
}

// leftovers tells that it is not known what became of commands that were taken
// and not answered.
func (c *commands) leftovers(ctx context.Context) {
	j := c.outbox.journal.Load()
	if j == nil {
		return
	}
	ids, err := j.Unsettled(ctx)
	if err != nil {
		c.log.Warn("commands of the last run cannot be read", "err", err)
		return
	}
	for _, id := range ids {
		if c.tell(ctx, contract.CommandResult{ID: id, Outcome: contract.CommandUnknown, Reason: reasonInterrupted,
			Detail: "the booth stopped before it could tell"}) {
			c.settle(ctx, j, id)
		}
	}
}

// hello tells headquarters what the booth has heard.
func (c *commands) hello(ctx context.Context, conn uint64) {
	j := c.outbox.journal.Load()
	if j == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	last, err := j.LastClaim(ctx)
	if err == nil {
		now := time.Now()
		_, err = c.outbox.store(ctx, now, contract.Hello{Conn: conn, Upto: c.outbox.link().Upto, Command: last, KeyID: c.key,
			Trusts: c.trust.IDs(), Clock: c.time.stamp(now)})
	}
	if err != nil {
		c.log.Warn("hello not recorded", "err", err)
	}
}

// take judges one message, and carries out what it orders.
func (c *commands) take(ctx context.Context, message []byte) {
	j := c.outbox.journal.Load()
	if j == nil || len(message) == 0 { // a retained message that was cleared
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd, err := command.Open(message, c.trust)
	if err != nil {
		sum := sha256.Sum256(message)
		c.refuse(ctx, &c.strangers, contract.CommandResult{Digest: "sha256:" + hex.EncodeToString(sum[:])}, err)
		return
	}
	result := contract.CommandResult{ID: cmd.ID, Name: cmd.Name}
	order, err := c.judge(ctx, j, cmd)
	if err != nil {
		told := c.refuse(ctx, &c.signed, result, err)
		if r, ok := errors.AsType[*command.Refusal](err); ok && told && r.Reason == reasonStore {
			c.settle(ctx, j, cmd.ID) // it may have been noted, though not recorded
		}
		return
	}
	c.log.Info("command taken", "command", cmd.Name, "id", cmd.ID, "by", cmd.By)
	result.Outcome, result.Reason, result.Detail = c.carry(ctx, cmd.ID, order)
	if c.tell(ctx, result) {
		c.settle(ctx, j, cmd.ID)
	}
}

// judge gives the order of a command once it is noted; whatever is in doubt is
// refused.
func (c *commands) judge(ctx context.Context, j *journal.Journal, cmd command.Signed) (command.Order, error) {
	now := time.Now()
	seen, err := j.Claimed(ctx, cmd.ID)
	if err != nil {
		return command.Order{}, &command.Refusal{Reason: reasonStore, Detail: "it cannot be told whether it was taken before"}
	}
	order, err := command.Judge(cmd, command.Local{Booth: c.booth, Now: now.Round(0), Clock: c.time.quality(), Since: c.since(now, j.Epoch()), Last: j.Last(),
		Seen: seen, Allow: c.allow, Lanes: c.lanes})
	if err != nil {
		return command.Order{}, err
	}
	fresh, err := j.Claim(ctx, cmd.ID, now, cmd.NotAfter)
	switch {
	case err != nil:
		c.log.Warn("command cannot be noted", "err", err)
		return command.Order{}, &command.Refusal{Reason: reasonStore, Detail: "the journal cannot note it"}
	case !fresh:
		return command.Order{}, &command.Refusal{Reason: command.Replayed, Detail: "taken before"}
	}
	if _, err := c.outbox.store(ctx, now, contract.CommandTaken{ID: cmd.ID, Name: cmd.Name, Args: cmd.Args, By: cmd.By, KeyID: cmd.KeyID,
		Clock: c.time.stamp(now)}); err != nil {
		c.log.Warn("command cannot be recorded", "err", err)
		return command.Order{}, &command.Refusal{Reason: reasonStore, Detail: "the journal cannot record it"}
	}
	return order, nil
}

// since is from when on the journal knows of commands. Where its epoch was
// named under a clock that was plainly wrong, this run is all that is known.
func (c *commands) since(now time.Time, epoch string) time.Time {
	id, err := uuid.Parse(epoch)
	if err == nil {
		at := time.Unix(id.Time().UnixTime())
		if !at.Before(c.floor) && !at.After(now.Round(0)) {
			return at
		}
	}
	return now.Round(0).Add(-now.Sub(c.began))
}

// carry does what is ordered.
func (c *commands) carry(ctx context.Context, id string, o command.Order) (outcome, reason, detail string) {
	switch o.Name {
	case command.ListRefresh:
		if !c.refresh() {
			return contract.CommandFailed, reasonNoSource, "lists.urls is empty: lists come over MQTT and by stick, by themselves"
		}
		return contract.CommandDone, "", "lists are looked for, within lists.spread"
	case command.OutboxResend:
		u := c.outbox.carrier.Load()
		if u == nil || !u.Resend(o.From, o.To) {
			return contract.CommandFailed, reasonBusy, "events are being sent again already"
		}
		return contract.CommandDone, "", "what is asked for and kept is sent again"
	case command.Identify:
		if !c.blink() {
			return contract.CommandFailed, reasonNoLamp, "officer_health is not wired"
		}
		return contract.CommandDone, "", "the officer's health lamp blinks three times, for " + signal.IdentifyFor.String()
	case command.BundleUpload:
		if c.bundle == nil {
			return contract.CommandFailed, reasonNoPlace, "commands.upload is empty"
		}
		name, size, err := c.bundle(ctx, id)
		if err != nil {
			return contract.CommandFailed, reasonUpload, err.Error()
		}
		return contract.CommandDone, "", fmt.Sprintf("%s, %d bytes, is in its place", name, size)
	case command.LaneMode:
		if err := c.retype(ctx, o.Lane); err != nil {
			return contract.CommandFailed, reasonBusy, "the lane could not be told"
		}
		return contract.CommandDone, "", "the lane becomes " + string(o.Lane) + " before the next vehicle"
	}
	return contract.CommandFailed, string(command.Unknown), "nothing is known to be done"
}

// refuse answers with why, and whether it could; of a flood, only the first.
func (c *commands) refuse(ctx context.Context, a *allowance, result contract.CommandResult, err error) bool {
	if !a.spend(time.Now()) {
		c.unsaid++
		return false
	}
	result.Outcome, result.Reason, result.Detail = contract.CommandRefused, string(command.Malformed), ""
	if r, ok := errors.AsType[*command.Refusal](err); ok {
		result.Reason, result.Detail = string(r.Reason), r.Detail
	}
	c.log.Warn("command refused", "id", result.ID, "reason", result.Reason)
	return c.tell(ctx, result)
}

// tell stores a result; whether it could.
func (c *commands) tell(ctx context.Context, result contract.CommandResult) bool {
	now := time.Now()
	result.Detail, result.Unsaid, result.Clock = shorten(result.Detail), c.unsaid, c.time.stamp(now)
	if _, err := c.outbox.store(ctx, now, result); err != nil {
		c.log.Warn("result of a command not recorded", "id", result.ID, "err", err)
		return false
	}
	c.unsaid = 0
	return true
}

func (c *commands) settle(ctx context.Context, j *journal.Journal, id string) {
	if err := j.Settle(ctx, id); err != nil {
		c.log.Warn("command not settled", "id", id, "err", err) // told as interrupted at the next start
	}
}

// allowance lets most things happen at once, and then one each time.
type allowance struct {
	most  int
	every time.Duration
	spent int
	at    time.Time // when the last was given back
}

func (a *allowance) spend(now time.Time) bool {
	if back := int(now.Sub(a.at) / a.every); back > 0 {
		a.spent, a.at = max(0, a.spent-back), now
	}
	if a.spent >= a.most {
		return false
	}
	a.spent++
	return true
}

// commandKeys reads whose commands are taken. Without the file nobody's are.
func (b *booth) commandKeys() *contract.TrustedKeys {
	raw, err := b.world.Secret(configs.Ref(b.cfg.Commands.Keys))
	if errors.Is(err, fs.ErrNotExist) {
		b.log.Info("no keys for commands, none is taken", "path", string(b.cfg.Commands.Keys))
		if len(b.cfg.Commands.Allow) > 0 {
			b.bulletin.found = append(b.bulletin.found, warnNoCommands)
		}
		return nil
	}
	if err == nil {
		var keys *contract.TrustedKeys
		if keys, err = contract.ParseKeys(raw); err == nil {
			b.log.Info("commands are taken", "keys", strings.Join(keys.IDs(), " "))
			return keys
		}
	}
	b.log.Error("keys for commands not loaded, none is taken", "err", err)
	b.bulletin.found = append(b.bulletin.found, warnCommandKeys)
	return nil
}
