// Package agent is one booth, running: it builds the parts that the
// configuration names, starts them in the order in which they may be trusted,
// and stops them in the reverse.
//
// The lane decides and never waits for another part: a store, a chip, a reader,
// a list or a broker that is not there is a fact that slows the lane (I1, I5),
// and each comes back by itself. The lamps are the first to start and the last
// to stop (I9). Judgement is in the pure packages passage and signal; lane.go is
// the one file where it meets the world.
//
// Source: product design, sections 2 and 3; layout.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/status"
	"boothd/agent/token"
	"boothd/agent/verdict"
	"boothd/buffer/eligibility"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/osdp"
)

// ErrSecond says that another boothd has this booth's store.
var ErrSecond = errors.New("another boothd has this store")

// booth is everything that Run has built.
type booth struct {
	cfg      *configs.Config
	world    World
	log      *slog.Logger
	inbox    *inbox
	outbox   *outbox
	time     *timekeeper
	shelf    *shelf
	arrival  *arrival
	fetcher  *fetcher
	installs installs
	seats    map[string]*osdp.Seat // of readers that share a line, by device
	frames   frames
	bulletin *bulletin
	board    *status.Board
	lane     *lane
	lamps    *lamps
	wires    map[signal.Lamp]*wire
	notices  chan remark // what the link found, to be stored
	seals    *checkpointer
	posted   *posted
	commands *commands
	notice   *notice         // what headquarters has all booths show
	faces    *verdict.Server // a kiosk's matcher; nil: this is none
	receipts chan receipt    // for its printer
}

// Run runs one booth until ctx ends, and returns ctx's error, ErrSecond, or a
// *Reloaded that says with which configuration to run again. When it returns,
// every goroutine has ended, the lamps are safe and the journal is closed.
func Run(ctx context.Context, cfg *configs.Config, w World) error {
	unlock, unlocked := lock(string(cfg.Store.Dir))
	if errors.Is(unlocked, ErrSecond) {
		return unlocked
	}
	defer unlock()
	return build(cfg, w).run(ctx, unlocked)
}

// run is Run once the booth is built; unlocked says why there is no lock.
func (b *booth) run(ctx context.Context, unlocked error) error {
	cfg, w := b.cfg, b.world
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Lamps first: red before anything else is tried.
	lights := newGroup(ctx)
	lights.run(b.lamps.run)
	if len(cfg.GPIO.In)+len(cfg.GPIO.Out) > 0 {
		lights.run(b.chip)
	}
	for _, c := range cfg.Boards {
		lights.run(func(ctx context.Context) { b.relays(ctx, c) })
	}
	// A disk that gives no lock takes no event either: the officer has a lane all
	// the same, and the lock is asked for again with the journal, at a start anew.
	err := unlocked
	if err == nil {
		err = b.outbox.open(ctx)
	}
	if err != nil {
		b.log.Error("journal cannot be opened, nothing is expedited until it can", "err", err)
	}
	b.stayShut()
	w.Notify("WATCHDOG=1") // the lane feeds it once it runs; a large journal takes a moment
	b.known(ctx)
	b.past(ctx)
	w.Notify("WATCHDOG=1")
	b.hello(ctx)
	// The link outlives the lane, so that its last words may still be sent.
	links := newGroup(context.WithoutCancel(ctx))
	links.run(b.uplink)
	links.run(b.tell)
	parts := newGroup(ctx)
	for _, run := range []func(context.Context){b.shelf.run, b.arrival.run, b.fetcher.run, b.time.run, b.bulletin.run, b.seals.run, b.commands.run, b.notice.run, b.page, b.socket} {
		parts.run(run)
	}
	for _, d := range cfg.Devices {
		parts.run(func(ctx context.Context) { b.attend(ctx, d) })
	}
	if b.faces != nil {
		parts.run(b.matcher)
	}
	parts.run(func(ctx context.Context) {
		if r := b.reload(ctx); r != nil {
			cancel(r)
		}
	})
	if b.outbox.journal.Load() == nil {
		parts.run(func(ctx context.Context) {
			for b.outbox.mend(ctx) {
				if unlocked == nil || lockable(string(cfg.Store.Dir)) {
					cancel(&Reloaded{Config: cfg})
					return
				}
			}
		})
	}
	b.live(ctx)
	if again := (*Reloaded)(nil); !errors.As(context.Cause(ctx), &again) {
		w.Notify("STOPPING=1") // said of a restart in place, it would have the service killed
	}
	lights.stop()
	parts.stop()
	b.goodbye(context.Cause(ctx))
	b.drain()
	links.stop()
	b.outbox.close()
	return context.Cause(ctx)
}

// live runs the lane until ctx ends. A lane that panics starts anew with an
// empty road, which is never faster; the lamps are red meanwhile.
func (b *booth) live(ctx context.Context) {
	for ctx.Err() == nil {
		err := contain(func() error { return b.lane.run(ctx) })
		if ctx.Err() != nil {
			return
		}
		b.log.Error("lane stopped and is started anew", "err", err)
		b.lamps.show(signal.View{})
		b.lane.machine = newRoad(b.lane.policy.Lane, b.lane.machine.ClosedNext())
		b.lane.begin()
		sleep(ctx, time.Second)
	}
}

// build makes every part; none does anything yet.
func build(cfg *configs.Config, w World) *booth {
	b := &booth{cfg: cfg, world: w, log: w.Log, seats: seatsOf(cfg, w), inbox: newInbox(), wires: wires(cfg), notices: make(chan remark, 16)}
	types, doubt := newLaneTypes(cfg)
	if doubt != nil {
		b.log.Error("the lane stays closed until the officer opens it", "type", cfg.Lane.Type, "err", doubt)
	}
	policy := types.policy()
	b.time = newTimekeeper(w, string(cfg.Clock.Source))
	simulated := strings.HasPrefix(cfg.GPIO.Chip, "sim:")
	b.outbox = newOutbox(b.log, cfg, contract.Head{Booth: string(cfg.Booth.ID), Simulated: simulated})
	b.time.store, b.outbox.stamp = b.outbox.store, b.time.stamp
	keys := b.keys()
	b.shelf = &shelf{tokenKeys: func() []string { return keys.IDs(time.Now()) }, log: b.log, dir: string(cfg.Store.Dir), root: b.root(), floor: w.Built, needs: func() []string { return passage.RequiredLists(types.policy()) }, store: b.outbox.store, stamp: b.time.stamp,
		damaged: make(chan *eligibility.Fault, 1), taken: make(chan struct{}, 1), quality: b.time.quality}
	b.arrival = newArrival(b.log, string(cfg.Booth.ID), string(cfg.Store.Dir), cfg.Lists.Spread.Duration, b.shelf)
	b.fetcher = newFetcher(b.log, webURLs(cfg), string(cfg.Store.Dir), cfg.Lists.Spread.Duration, b.webClient(), b.shelf)
	b.arrival.lacking = func() { nudge(b.fetcher.wanted) }
	b.shelf.dropped = func() {
		nudge(b.arrival.anew)
		nudge(b.fetcher.wanted)
	}
	b.board = status.New(b.log)
	b.bulletin = &bulletin{cfg: cfg, world: w, startedAt: time.Now(), simulated: simulated, policy: types.policy, time: b.time,
		shelf: b.shelf, outbox: b.outbox, board: b.board, ring: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	b.shelf.changed, b.shelf.quiet = func() { nudge(b.bulletin.changed) }, b.bulletin.restful
	b.seals = &checkpointer{log: b.log, booth: string(cfg.Booth.ID), key: b.signingKey(), outbox: b.outbox, stamp: b.time.stamp}
	b.posted = &posted{log: b.log, store: b.outbox.store, stamp: b.time.stamp, key: func(now time.Time) *token.Key {
		if id, ok := b.shelf.key(); ok {
			return keys.Pick(id, now)
		}
		return nil
	}}
	b.commands = newCommands(b)
	b.notice = newNotice(b)
	b.bulletin.notice = b.notice.now
	if b.seals.key != nil {
		b.bulletin.key, b.commands.key = b.seals.key.ID(), b.seals.key.ID()
	}
	outs := make(map[signal.Lamp]output, len(b.wires))
	for lamp, wire := range b.wires {
		outs[lamp] = wire
	}
	b.lamps = newLamps(b.log, outs, inPoints(cfg))
	b.lamps.shown = b.bulletin.lamps
	judged := make(chan signal.Judged, 1)
	b.lamps.judged = func(j signal.Judged) { replace(judged, j) }
	kept := newLatch(string(cfg.Store.Dir))
	fault, err := kept.read()
	if err != nil {
		b.log.Error("the lamps stay red until somebody has looked and reset them", "err", err)
	}
	b.lamps.monitor.Latch(fault)
	b.lamps.failed = func(ctx context.Context, err error) {
		if errors.Is(err, errNoChip) {
			return // the chip's own news says so
		}
		b.inbox.tell(ctx, deviceNews{device: lampsDevice, online: err == nil, reason: err, at: time.Now()})
	}
	b.lane = &lane{log: b.log, policy: policy, weakest: weakestOf(cfg), aims: aimsOf(cfg), mode: modeOf(cfg), key: keys.Current, ring: &keyring{keys: keys, inForce: b.shelf.key}, inbox: b.inbox, store: b.outbox.store,
		lookup: b.shelf.lookup, lists: b.shelf.facts, edition: b.shelf.edition, quality: b.time.quality, stamp: b.time.stamp, show: b.lamps.show,
		apart:   func(now time.Time) bool { return b.outbox.apart(now, b.bulletin.startedAt) },
		publish: b.bulletin.show, alive: func() { w.Notify("WATCHDOG=1") }, newID: newID,
		types: types, machine: newRoad(policy.Lane, doubt != nil), recent: newRecent(), storeOK: true, judged: judged, latch: kept, shuts: newShut(string(cfg.Store.Dir)).keep}
	b.shelf.pace.Aside = b.lane.courtesy.asked
	b.lane.health.judged = signal.Judged{Fault: fault, Doubt: len(b.lamps.sight) > 0}
	if policy.Lane == passage.NEXUSAir {
		arrivals := make(chan verdict.Arrival, 4)
		b.faces = verdict.NewServer(b.faceKey(), arrivals)
		b.lane.faces, b.lane.ask = arrivals, b.faces.Ask
		if slices.ContainsFunc(cfg.Devices, func(d configs.Device) bool { return d.Role == configs.RoleReceipt }) {
			b.receipts = make(chan receipt, receiptsMost)
			b.lane.print = b.hand
		}
	}
	for _, d := range cfg.Devices {
		b.lane.health.devices = append(b.lane.health.devices, deviceState{Name: d.Name, Driver: string(d.Driver), Role: devices.Role(d.Role)})
	}
	b.lane.health.dark = make(map[string]bool)
	wiring := func(name, driver string) {
		b.lane.health.devices = append(b.lane.health.devices, deviceState{Name: name, Driver: driver, Role: roleWiring})
		b.lane.health.dark[name] = true
	}
	if len(cfg.GPIO.In)+len(cfg.GPIO.Out) > 0 {
		wiring(chipDevice, chipDevice)
	}
	for _, c := range cfg.Boards {
		wiring(c.Name, string(c.Protocol))
	}
	return b
}

// newID gives a UUIDv7. Its randomness comes from the kernel, which does not
// fail once the booth has started.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// keys reads the port's token key, and the one that it replaces; without them
// nothing is expedited (214).
func (b *booth) keys() token.Keys {
	raw, err := b.world.Secret(b.cfg.Lists.Key)
	if err == nil {
		var k token.Keys
		if k, err = token.ParseKeys(raw, time.Now()); err == nil {
			return k
		}
	}
	b.log.Error("token key not loaded, nothing is expedited", "err", err)
	return token.Keys{}
}

// root reads whom the booth believes of lists; without it none is taken.
func (b *booth) root() []byte {
	raw, err := b.world.Secret(configs.Ref(b.cfg.Lists.Root))
	if err != nil {
		b.log.Error("trusted root not loaded, no list will be taken", "err", err)
		return nil
	}
	return raw
}

// policyOf is what the port has laid down, as the decision takes it.
func policyOf(cfg *configs.Config) passage.Policy {
	p := passage.Policy{Lane: passage.LaneType(cfg.Lane.Type), Direction: passage.Direction(cfg.Booth.Direction), Port: string(cfg.Booth.Port),
		RandomRate: cfg.Lane.RandomRate, TIDRequired: cfg.Policy.TIDRequired, AntiPassback: cfg.Policy.AntiPassback,
		AntiPassbackFor: passage.Of(cfg.Policy.AntiPassbackWindow.Duration), PlateConfidence: cfg.Policy.PlateConfidence,
		JurisdictionNeed: cfg.Policy.PlateJurisdiction, ReaderCapacity: cfg.Policy.ReaderCapacity,
		SoftAge: passage.Of(cfg.Lists.SoftAge.Duration), HardAge: passage.Of(cfg.Lists.HardAge.Duration),
		Regions: cfg.Policy.LookoutRegions, FAST: passage.FASTPolicy(cfg.Policy.FASTPolicy), FASTPort: cfg.Policy.FASTPort,
		AllowEmpty: cfg.Policy.AllowEmpty, VerdictFor: passage.Of(cfg.Policy.VerdictAge.Duration)}
	for _, n := range cfg.Policy.PrimaryOn {
		p.PrimaryOn = append(p.PrimaryOn, passage.Code(n))
	}
	for _, n := range cfg.Policy.ReferOn {
		p.ReferOn = append(p.ReferOn, passage.Code(n))
	}
	for _, a := range cfg.Policy.AcceptedPrograms {
		p.AcceptedPrograms = append(p.AcceptedPrograms, string(a))
	}
	p.Documents = slices.ContainsFunc(cfg.Devices, func(d configs.Device) bool { return devices.Role(d.Role) == devices.RoleDocument })
	p.PlatePresent = slices.ContainsFunc(cfg.Devices, func(d configs.Device) bool { return devices.Role(d.Role) == devices.RolePlateFront })
	return p
}

func modeOf(cfg *configs.Config) signal.LightMode {
	if cfg.Lane.LightMode == configs.Auto {
		return signal.Auto
	}
	return signal.Staffed
}

// page serves the status page; a port that is taken is tried again.
func (b *booth) page(ctx context.Context) {
	b.serve(ctx, string(b.cfg.Status.Listen), b.board.Handler())
}

// socket serves boothctl: the page's answers, the import of lists, the lane's
// type, the window in which a reader is given its key, and the lamps' reset.
func (b *booth) socket(ctx context.Context) {
	left, clearing := cutImports(string(b.cfg.Store.Dir)), newGroup(ctx)
	clearing.run(func(ctx context.Context) { b.forget(ctx, left) })
	defer clearing.stop()
	mux := http.NewServeMux()
	mux.Handle("/", b.board.Handler())
	mux.Handle("PUT /lists", b.imports())
	mux.HandleFunc("PUT /lane/{type}", b.retype)
	mux.HandleFunc("PUT /install/{device}", b.install)
	mux.HandleFunc("GET /frames/{device}", b.lookAt)
	mux.HandleFunc("PUT /lamps/reset", b.resetLamps)
	b.serve(ctx, "unix:"+string(b.cfg.Socket), mux)
}

func (b *booth) serve(ctx context.Context, address string, h http.Handler) {
	said := false
	for ctx.Err() == nil {
		err := status.Serve(ctx, b.log, address, h)
		if ctx.Err() != nil {
			return
		}
		if !said {
			b.log.Error("not served", "err", err)
			said = true
		}
		sleep(ctx, 5*time.Second)
	}
}

// lock makes this process the only boothd of the store. The kernel gives the
// lock back when the process dies, however it dies. unlock is never nil.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return func() {}, fmt.Errorf("opening store: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return func() {}, fmt.Errorf("opening store: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return func() {}, fmt.Errorf("%s: %w", dir, ErrSecond)
		}
		return func() {}, fmt.Errorf("locking store %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// lockable tells whether a start would have the lock, or say who has it.
func lockable(dir string) bool {
	unlock, err := lock(dir)
	unlock()
	return err == nil || errors.Is(err, ErrSecond)
}

// group is goroutines that end with one context and are waited for.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup
}

func newGroup(ctx context.Context) *group {
	ctx, cancel := context.WithCancel(ctx)
	return &group{ctx: ctx, cancel: cancel}
}

func (g *group) run(f func(ctx context.Context)) { g.all.Go(func() { f(g.ctx) }) }

func (g *group) stop() {
	g.cancel()
	g.all.Wait()
}
