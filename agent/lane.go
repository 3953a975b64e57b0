package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/status"
	"boothd/agent/token"
	"boothd/agent/verdict"
	"boothd/devices"
)

// Times of the lane loop.
const (
	// commitLimit is how long a decision may wait for the disk before it is
	// PRIMARY/206 (product design, section 2).
	commitLimit = 250 * time.Millisecond
	// decideLimit is the budget from the last input to the decision, look-ups
	// included; over it the decision is 210 (domain reference, section 8).
	decideLimit = 50 * time.Millisecond
	// fresh is how old a wired point's change may be to let a vehicle go. A
	// process that was held up (stopped, or its machine swaps) finds what happened
	// meanwhile: the vehicle may be gone, and the green would be the next one's. A
	// box that works takes a change within milliseconds; systemd's watchdog bites
	// after 3 s.
	fresh      = time.Second
	pulseEvery = 500 * time.Millisecond
)

// lane is one lane, running: the one file where judgement meets I/O. All its
// state belongs to the goroutine in run. It reaches out only through the
// functions below, and none of them waits for the network (I5).
type lane struct {
	log    *slog.Logger
	policy passage.Policy
	digest string // of the policy, kept since every record names it
	mode   signal.LightMode
	key    *token.Key // in use; nil: 214
	ring   *keyring   // what it is chosen from; nil: it stays
	inbox  *inbox
	// store makes events durable in one transaction, or says that it could not;
	// seq is the last one's place in the journal.
	store func(ctx context.Context, at time.Time, events ...contract.Data) (seq uint64, err error)
	// lookup appends to dst what the active generation of a list says of a token.
	lookup func(dst []byte, kind string, t passage.Token) (value []byte, ok bool, err error)
	// lists tells generation and age of the lists, in order of kind; edition is
	// another one whenever a list comes into force or leaves it.
	lists   func(now time.Time) []passage.List
	edition func() edition
	// quality judges the wall clock; stamp describes the time of an event.
	quality func() passage.Clock
	stamp   func(at time.Time) contract.Clock
	// apart tells whether headquarters is out of reach: the officer's health lamp
	// says so, and no decision asks (I5).
	apart func(now time.Time) bool
	// show hands the latest view to the lamps; it never blocks.
	show   func(signal.View)
	judged <-chan signal.Judged    // what the lamps' monitor says
	latch  latch                   // keeps it
	shuts  func(closed bool) error // keeps that it is closed; nil: nobody does
	turns  chan bool               // what is to be kept next
	// publish hands the latest picture to the status page; it never blocks.
	publish func(picture)
	alive   func() // feeds the watchdog, after the loop's own check
	newID   func() string

	machine  road
	courtesy courtesy  // of bulk work, to who stands at the booth
	granted  bool      // it was, in this passage
	beganAt  time.Time // the passage, with monotonic part
	recent   *recent
	health   health
	level    signal.Health  // of the booth, as last assessed
	why      []passage.Code // system reasons for it
	storeOK  bool
	behind   bool             // the change that is taken now is not fresh
	known    knowledge        // what the lists said, for this passage
	row      []byte           // room for the row that was looked up last
	drawn    drawn            // of this passage
	decision passage.Decision // in force
	durable  bool
	seen     bool // the officer has acknowledged it
	revision int
	latency  time.Duration
	last     []finished // newest first
	totals   status.Totals
	seq      uint64          // of the last event stored
	cause    []contract.Data // what happened to the booth and is not stored yet

	weakest map[string]int         // dBm, by reader: what is weaker is another lane's
	aims    map[string]passage.Aim // by reader; of others nothing is known
	wake    *time.Timer

	types *laneTypes       // what it is and may become
	wish  passage.LaneType // what it is to become; "": nothing else

	// Of a kiosk alone.
	faces   <-chan verdict.Arrival // nil: no matcher
	ask     func(verdict.Challenge) error
	print   func(receipt) // hands a receipt to the printer; it never blocks. nil: none
	party   party
	asked   verdict.Challenge
	held    []passage.Token // cards of the session
	facts   passage.Facts   // of the last decision
	printed string          // the session whose result was acted on
}

// road is what attributes inputs to one vehicle or traveller.
type road interface {
	Step(passage.Input) passage.Step
	Active() bool
	Awaiting() bool
	Stuck() bool
	Closed() bool
	ClosedNext() bool
	Evidence() passage.Evidence
}

// newRoad makes an empty road, or a free kiosk.
func newRoad(lane passage.LaneType, closed bool) road {
	if lane == passage.NEXUSAir {
		return passage.NewKiosk(closed)
	}
	return passage.NewMachine(closed)
}

// picture is what the page and the metrics may know of the lane.
type picture struct {
	At       time.Time
	Type     passage.LaneType
	Next     passage.LaneType // asked for from the next vehicle on; "": none
	Closed   bool
	Active   bool
	Evidence passage.Evidence
	Decision passage.Decision // public
	Durable  bool
	View     signal.View
	Health   signal.Health
	Why      []passage.Code // system reasons that keep the booth from healthy
	Devices  []deviceState
	Last     []finished
	Totals   status.Totals
	Judged   signal.Judged // of the lamps
	StoreOK  bool
	Dropped  uint64
}

// finished is one passage that has ended, without an identifier.
type finished struct {
	ID       string
	At       time.Time
	Decision passage.Decision // public
	Cards    int
	Plate    status.PlateKind
	Latency  time.Duration
	End      passage.End
	Released bool
	Override bool
	Seq      uint64 // of its end in the journal; 0: not stored
}

// lastKept is how many finished passages the page shows.
const lastKept = 20

// run is the lane until ctx ends. A press is taken before any waiting read.
func (l *lane) run(ctx context.Context) error {
	l.wake = time.NewTimer(time.Hour)
	defer l.wake.Stop()
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	defer l.keepShut()()
	l.digest = l.policy.Digest()
	l.rekey(time.Now())
	l.assess()
	l.display()
	for {
		select {
		case p := <-l.inbox.presses:
			l.press(ctx, p)
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p := <-l.inbox.presses:
			l.press(ctx, p)
		case r := <-l.inbox.reads:
			l.read(ctx, r)
		case n := <-l.inbox.news:
			l.news(ctx, n)
		case j := <-l.judged:
			l.signals(ctx, j)
		case a := <-l.faces:
			l.matched(ctx, a)
		case <-l.wake.C:
			l.step(ctx, passage.Input{At: time.Now(), Kind: passage.Tick})
		case <-pulse.C:
			l.pulse(ctx)
		}
	}
}

// pulse is the loop's self-check: it tries a store that failed, looks at the
// facts that change with time alone, and only then feeds the watchdog.
func (l *lane) pulse(ctx context.Context) {
	now := time.Now()
	if !l.storeOK {
		l.save(ctx, now, contract.Notice{What: "store_back", Detail: "the journal takes events again", Clock: l.stamp(now)})
	}
	l.rekey(now)
	l.assess()
	if l.machine.Active() {
		l.judge(ctx, now)
	} else {
		l.become(ctx, now)
	}
	l.display()
	l.alive()
}

// read takes a reader's report.
func (l *lane) read(ctx context.Context, r devices.Read) {
	l.health.read(r)
	l.rekey(r.At)
	if r.Key != nil && l.local(ctx, r.Key.Button, r.At) {
		return
	}
	if least, ok := l.weakest[r.Device]; ok && r.Tag != nil && r.Tag.RSSIDBm < least {
		l.totals.Unplaced++
		return
	}
	if in, ok := l.input(r); ok && !l.stale(in) {
		l.step(ctx, in)
	}
}

// local takes a button that tells the machine nothing.
func (l *lane) local(ctx context.Context, button string, at time.Time) bool {
	if to, ok := strings.CutPrefix(button, lanePrefix); ok {
		l.wishFor(passage.LaneType(to))
		if !l.machine.Active() {
			l.become(ctx, at)
		}
		l.display()
		return true
	}
	if button == ackButton {
		l.ack()
		return true
	}
	return false
}

// ackButton tells that the officer has seen the advice.
const ackButton = "ack"

// ack takes the officer's word that the advice was seen: the buzzer ends until
// the advice is another one.
func (l *lane) ack() {
	if l.machine.Active() {
		l.seen = true
		l.display()
	}
}

// step moves the machine and does what follows.
func (l *lane) step(ctx context.Context, in passage.Input) {
	in.NewID = l.newID()
	if l.ask != nil {
		in.NewNonce = newNonce()
	}
	closed := l.machine.ClosedNext()
	s := l.machine.Step(in)
	if l.machine.ClosedNext() != closed {
		l.turned()
	}
	if s.Ended != nil {
		l.finish(ctx, in.At, *s.Ended, s.How)
		l.become(ctx, in.At) // whether the next vehicle is there already or not
	}
	if s.Started {
		l.begin()
		l.beganAt = in.At
	}
	if !l.granted && l.machine.Awaiting() {
		l.granted = true
		l.courtesy.begin(time.Now())
	}
	if s.Dropped {
		l.totals.Unplaced++
	}
	l.arm(s.WakeAt)
	switch {
	case s.Changed && l.machine.Active():
		l.judge(ctx, in.At)
		if in.Kind == passage.PressRelease {
			l.release(ctx, in)
		}
	case s.Changed:
		l.display()
	}
	l.challenge()
	if !l.machine.Awaiting() {
		l.courtesy.end()
	}
}

// arm sets the one timer to the machine's next limit.
func (l *lane) arm(at time.Time) {
	if at.IsZero() {
		l.wake.Stop()
		return
	}
	l.wake.Reset(max(time.Until(at), 0))
}

func (l *lane) begin() {
	l.known, l.held, l.seen, l.granted = knowledge{}, nil, false, false
	l.decision, l.durable, l.revision, l.latency = passage.Decision{}, false, 0, 0
}

// release lets the officer's press take effect, if the decision lets it.
func (l *lane) release(ctx context.Context, in passage.Input) {
	taken := passage.Input{At: in.At, Kind: passage.ReleaseTaken}
	switch passage.Press(l.machine.Evidence(), l.decision) {
	case passage.Release:
	case passage.ReleaseAll:
		taken.Count = l.decision.Ready
	case passage.Override:
		taken.Override = true
	default:
		return
	}
	l.step(ctx, taken)
}

// judge decides anew and does what the decision asks: what slows is shown at
// once, what invites to go only after the commit (I2).
func (l *lane) judge(ctx context.Context, at time.Time) {
	ev := l.machine.Evidence()
	facts, d := l.decide(ev)
	l.facts = facts
	took := time.Since(at)
	if ev.State == passage.Approach {
		l.decision, l.durable = d, false // advice begins at the booth
		l.display()
		return
	}
	if l.revision > 0 && l.durable && same(d, l.decision) {
		l.result(ev, at)
		l.display()
		return
	}
	l.seen = l.seen && same(d, l.decision)
	slows := d.Outcome != passage.Expedite || l.durable && l.decision.Outcome == passage.Expedite || !l.storeOK
	l.decision, l.durable, l.latency = d, false, took
	if slows { // else there is nothing to take back, and what invites has to wait for its record
		l.display()
	}
	if l.storeOK && !l.record(ctx, at, ev, facts, d, took) {
		// Not durable in time: PRIMARY/206, said at once, and recorded when
		// the pulse finds the store answering again.
		_, l.decision = l.decide(ev)
	}
	l.result(ev, at)
	l.display()
	l.mention(ev, d, took)
	if l.mode == signal.Auto && l.durable && d.Outcome == passage.Expedite && ev.State == passage.AtBooth {
		l.step(ctx, passage.Input{At: time.Now(), Kind: passage.LetGo}) // no officer will
	}
}

// mention logs a decision that is durable. The lamps do not wait for the log.
func (l *lane) mention(ev passage.Evidence, d passage.Decision, took time.Duration) {
	if pub := d.Public(); l.durable {
		l.log.Info("decided", "passage", ev.ID, "outcome", pub.Outcome, "lead", pub.Lead, "took", took)
	}
}

// record makes one decision durable; it tells whether it is.
func (l *lane) record(ctx context.Context, at time.Time, ev passage.Evidence, f passage.Facts, d passage.Decision, took time.Duration) bool {
	judged := contract.Judged{Revision: l.revision + 1, Policy: l.policy, Digest: l.digest, Evidence: ev, Facts: f, Decision: d,
		Mode: modeWord(l.mode, l.manual()), Clock: l.stamp(at), LatencyUS: took.Microseconds()}
	crossing, alert := judged.Events()
	events := []contract.Data{crossing}
	if alert != nil {
		events = append(events, *alert)
	}
	if !l.save(ctx, at, events...) {
		return false
	}
	l.revision++
	l.durable = true
	return true
}

// save stores events within the limit, after what happened to the booth, and
// keeps the store's state.
func (l *lane) save(ctx context.Context, at time.Time, events ...contract.Data) bool {
	if len(l.cause) > 0 {
		events, l.cause = append(l.cause, events...), nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitLimit)
	defer cancel()
	seq, err := l.store(ctx, at, events...)
	if err == nil {
		l.seq = seq
	}
	if was := l.storeOK; err != nil && was {
		l.log.Error("journal does not answer", "err", err)
	} else if err == nil && !was {
		l.log.Info("journal answers again")
	}
	if was := l.storeOK; was != (err == nil) {
		l.storeOK = !was
		l.assess()
	}
	return l.storeOK
}

// decide gathers the facts and weighs them. Over budget, on what is not fresh
// or after a panic the decision is 210, never a guess; the next pulse decides
// anew.
func (l *lane) decide(ev passage.Evidence) (f passage.Facts, d passage.Decision) {
	began := time.Now()
	err := contain(func() error {
		f = l.gather(ev, began)
		f.Late = l.behind || time.Since(began) > decideLimit
		d = passage.Decide(l.policy, ev, f)
		return nil
	})
	if err != nil {
		l.log.Error("decision failed", "passage", ev.ID, "err", err)
		f.Late = true
		d = passage.Decision{Outcome: passage.Primary, Lead: passage.DecisionTimeout, Reasons: []passage.Code{passage.DecisionTimeout}}
	}
	return f, d
}

// finish closes a passage: its end is recorded, its cards are remembered. Its
// light is over at once, whatever the record takes: the next one may stand there.
func (l *lane) finish(ctx context.Context, at time.Time, ev passage.Evidence, how passage.End) {
	decision, durable := l.decision, l.durable
	l.decision, l.durable = passage.Decision{}, false
	l.display()
	l.decision, l.durable = decision, durable
	if l.revision == 0 && l.known.hit() {
		// It turned away before the booth: the watch desk is told all the same.
		facts, d := l.decide(ev)
		l.record(ctx, at, ev, facts, d, 0)
		l.mention(ev, d, 0)
	}
	pub := l.decision.Public()
	var seq uint64
	if l.save(ctx, at, contract.CrossingEnded{Passage: ev.ID, Revisions: l.revision, Outcome: pub.Outcome.String(), End: string(how),
		Released: ev.Released, Referred: ev.Refers > 0, Overridden: ev.Overridden,
		StartedAt: ev.StartedAt.UTC(), EndedAt: at.UTC(), Clock: l.stamp(at)}) {
		seq = l.seq
	}
	if how == passage.Cleared && ev.AtBooth {
		for _, t := range l.held {
			l.recent.note(t, at)
		}
	}
	l.leave(ev, at)
	l.totals.Note(pub.Outcome, ev.Overridden, l.latency)
	l.last = slices.Insert(l.last, 0, finished{ID: ev.ID, At: at, Decision: pub, Cards: len(ev.Cards), Plate: plateKind(ev),
		Latency: l.latency, End: how, Released: ev.Released, Override: ev.Overridden, Seq: seq})
	l.last = l.last[:min(len(l.last), lastKept)]
	l.begin()
	l.display()
}

// display hands the present view to lamps and page. It never waits.
func (l *lane) display() {
	ev := l.machine.Evidence()
	v := signal.View{Mode: l.mode, Kiosk: l.policy.Lane == passage.NEXUSAir, Health: l.level, Closed: l.machine.Closed(), Active: l.machine.Active(), State: ev.State,
		Released: ev.Released, Seen: l.seen, Durable: l.durable, Decision: l.decision,
		Read: len(ev.Cards) + len(ev.Documents)}
	l.show(v)
	runtime.Gosched() // the lamps are set on this thread now, before page and journal have their turn
	v.Decision = l.decision.Public()
	l.publish(picture{At: time.Now(), Type: l.policy.Lane, Next: l.wish, Closed: l.machine.Closed(), Active: l.machine.Active(), Evidence: ev,
		Decision: v.Decision, Durable: l.durable, View: v, Health: l.level, Why: l.why,
		Devices: l.health.list(), Last: slices.Clone(l.last), Totals: l.totals, Judged: l.health.judged, StoreOK: l.storeOK, Dropped: l.inbox.dropped.Load()})
}

// same tells whether two decisions say the same.
func same(a, b passage.Decision) bool {
	return a.Outcome == b.Outcome && a.Lead == b.Lead && a.Ready == b.Ready && slices.Equal(a.Reasons, b.Reasons)
}

// plateKind says how the plate is known.
func plateKind(ev passage.Evidence) status.PlateKind {
	switch {
	case ev.Keyed != nil:
		return status.PlateKeyed
	case ev.Front == nil:
		return status.PlateNone
	case ev.Front.NoRead || ev.Front.Bare == "":
		return status.PlateNot
	}
	return status.PlateRead
}

func modeWord(m signal.LightMode, manual bool) string {
	switch {
	case manual:
		return "manual"
	case m == signal.Auto:
		return "auto"
	}
	return "staffed"
}

// errNoLists is what a look-up says before any list was taken.
var errNoLists = fmt.Errorf("no list taken yet")
