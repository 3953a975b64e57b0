package main

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"boothd/agent/status"
	"boothd/configs"
)

// demo is the verb: flags, and then the world while it runs.
type demo struct {
	For      time.Duration `help:"End by itself after this time."`
	Passages int           `help:"End by itself after so many vehicles."`
	JSON     bool          `name:"json" help:"Print one JSON object at the end."`
	Lane     string        `help:"Kind of lane: ${enum}." enum:"nexus,fast,nexus-air,ready,general,egate,hardware" default:"nexus"`
	Scenario string        `help:"File with kinds of vehicles; default: a day at such a lane." type:"existingfile"`
	Seed     uint64        `help:"Of the order of vehicles." default:"1"`
	Speed    float64       `help:"How much faster than on a road." default:"1.5"`
	Dir      string        `help:"Keep everything in this new folder." type:"path"`
	Bin      string        `help:"Where boothd, boothhq and boothctl are; default: beside boothsim." type:"existingdir"`
	Broker   string        `help:"Broker to use instead of the one inside: tcp://host:port." placeholder:"tcp://127.0.0.1:1883"`
	Kill     int           `name:"kill-boothd" help:"Kill boothd (-9) so many times, at random moments."`
	Cut      outage        `name:"cut-network" help:"Cut the network once: 3s, a third of the way through, or 3s@5s, 5 s after the first vehicle." placeholder:"3s@5s"`
	Trace    string        `name:"lamp-trace" help:"Write every change of a lamp to this file, one JSON object a line." type:"path"`

	dir     string
	cfg     *configs.Config
	plan    []vehicle
	pace    pace
	hw      *hardware
	net     *network
	boothd  *child
	hq      *child
	trace   *trace
	faults  *faults
	sum     summary
	took    []int64
	seen    map[string]bool // passages that were told
	advice  status.Advice   // last seen before the officer acted
	stopped []func() error  // in the order of building
	quit    func()          // ends the run: nobody reads what it says
}

// Run builds the world, drives vehicles through it and takes it apart.
func (d *demo) Run(ctx context.Context) (err error) {
	if d.Speed < 0.1 || d.Speed > 20 {
		return fmt.Errorf("--speed %g: 0.1 to 20 are possible", d.Speed)
	}
	endless := d.For == 0 && d.Passages == 0
	if endless && (d.Kill > 0 || d.Cut.lasts > 0 && d.Cut.at < 0) {
		return errors.New("--kill-boothd and --cut-network choose their moments in a run that ends: add --passages or --for, or say when, as in 3s@5s")
	}
	ctx, d.quit = context.WithCancel(ctx)
	defer d.quit()
	d.faults = planFaults(d.Seed, d.Kill, d.Cut)
	defer d.faults.mend()
	d.seen = map[string]bool{}
	d.sum = summary{Outcomes: map[string]int{}, Kinds: map[string]int{}, Unexpected: []string{}}
	defer func() {
		for i := len(d.stopped) - 1; i >= 0; i-- {
			err = errors.Join(err, d.stopped[i]())
		}
	}()
	// Ctrl-C, or a reader that goes, is how an endless run ends; to another it is a failure. What
	// stops badly after it is still told.
	defer func() {
		switch {
		case ctx.Err() == nil:
		case endless:
			err = nil
		default:
			err = errors.Join(errors.New("interrupted"), err)
		}
	}()
	if err := d.build(ctx); err != nil {
		return err
	}
	d.say("SIMULATED booth   status page: http://%s/   everything is in %s\n", d.cfg.Status.Listen, d.dir)
	if err := d.traffic(ctx); err != nil {
		return err
	}
	return d.end(ctx)
}

// say ends the run if nobody reads it any more (boothsim demo | head).
func (d *demo) say(format string, args ...any) {
	if _, err := fmt.Printf(format, args...); err != nil {
		d.quit()
	}
}

func (d *demo) later(f func() error) { d.stopped = append(d.stopped, f) }

// build starts everything, in the order in which one needs the other.
func (d *demo) build(ctx context.Context) error {
	if err := d.folder(); err != nil {
		return err
	}
	day, err := loadScenario(d.Scenario, d.Lane)
	if err != nil {
		return err
	}
	readers, err := cardReaders(d.Lane)
	if err != nil {
		return err
	}
	d.plan = plan(day.kinds, d.Seed, d.count(), readers)
	d.pace = day.pace
	boothhq, err := program(d.Bin, "boothhq")
	if err != nil {
		return err
	}
	boothd, err := program(d.Bin, "boothd")
	if err != nil {
		return err
	}
	if err := d.lists(ctx, boothhq); err != nil {
		return err
	}
	broker, err := d.broker()
	if err != nil {
		return err
	}
	wire, err := os.Create(filepath.Join(d.dir, "mqtt.bytes"))
	if err != nil {
		return err
	}
	d.later(wire.Close)
	if d.net, err = newNetwork(broker, wire); err != nil {
		return err
	}
	d.later(func() error { d.net.close(); return nil })
	d.hq = &child{name: "boothhq", log: filepath.Join(d.dir, "boothhq.log"), make: func() *exec.Cmd {
		return exec.Command(boothhq, "receive", "--broker", "tcp://"+broker, "--db", filepath.Join(d.dir, "events.db"), "--interval", "200ms")
	}}
	if err := d.hq.start(); err != nil {
		return err
	}
	d.later(d.hq.stop)
	if err := d.lane(ctx); err != nil {
		return err
	}
	d.boothd = &child{name: "boothd", log: filepath.Join(d.dir, "boothd.log"), gone: d.hw.free, make: func() *exec.Cmd {
		return exec.Command(boothd, filepath.Join(d.dir, "boothd.toml"))
	}}
	if err := d.boothd.start(); err != nil {
		return err
	}
	d.later(d.boothd.stop)
	return d.ready(ctx)
}

// broker is the one that was named, or one inside this program.
func (d *demo) broker() (addr string, err error) {
	if d.Broker != "" {
		if addr, err = brokerAddress(d.Broker); err != nil {
			return "", fmt.Errorf("--broker %s: want tcp://host:port: %w", d.Broker, err)
		}
		return addr, nil
	}
	addr, stop, err := startBroker()
	if err == nil {
		d.later(stop)
	}
	return addr, err
}

// count is how many vehicles there may be.
func (d *demo) count() int {
	if d.Passages > 0 {
		return d.Passages
	}
	return 5000
}

// folder makes the folder that holds the world.
func (d *demo) folder() (err error) {
	if d.Dir != "" {
		d.dir = d.Dir
		return os.Mkdir(d.dir, 0o700)
	}
	if d.dir, err = os.MkdirTemp("", "boothsim-"); err != nil {
		return err
	}
	d.later(func() error { return os.RemoveAll(d.dir) })
	return nil
}

// plan puts vehicles in order: every kind in turn, each round shuffled anew.
func plan(kinds []kind, seed uint64, n int, readers []configs.Device) []vehicle {
	r := rand.New(rand.NewPCG(seed, 0xb007))
	var out []vehicle
	var before []card
	for len(out) < n {
		for _, i := range r.Perm(len(kinds)) {
			if len(out) == n {
				break
			}
			v := cast(kinds[i], len(out)+1, before, readers)
			if len(v.cards) > 0 && v.cards[0].word == "active" && kinds[i].officer[0] != "toggle" {
				before = v.cards[:1]
			}
			out = append(out, v)
		}
	}
	return out
}

// lists has headquarters build, sign and publish the lists of the plan.
func (d *demo) lists(ctx context.Context, boothhq string) error {
	csv := filepath.Join(d.dir, "csv")
	if err := os.Mkdir(csv, 0o700); err != nil {
		return err
	}
	if err := writeCSV(csv, d.plan); err != nil {
		return err
	}
	pass, hq, built := filepath.Join(d.dir, "passphrase"), filepath.Join(d.dir, "hq"), filepath.Join(d.dir, "built")
	if err := os.WriteFile(pass, []byte(crand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"lists", "init", hq, "--passphrase-file", pass},
		{"lists", "build", "--in", csv, "--out", built, "--token-key", filepath.Join(hq, "token.key")},
		{"lists", "publish", hq, "--lists", built, "--timestamp", "24h", "--passphrase-file", pass},
	} {
		if _, err := once(ctx, nil, boothhq, args...); err != nil {
			return err
		}
	}
	return nil
}

// lane plays the hardware and writes the booth's configuration.
func (d *demo) lane(ctx context.Context) (err error) {
	d.hw = newHardware(d.Speed)
	d.hw.pace = d.pace
	d.later(d.hw.unplug)
	if d.Lane == string(configs.NEXUSAir) { // whose printer prints them
		if d.hw.receipts, err = os.OpenFile(filepath.Join(d.dir, "receipts.txt"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return err
		}
	}
	if d.cfg, err = boothConfig(d.dir, d.Lane, d.net.addr, pageAddress(), d.hw); err != nil {
		return err
	}
	board, pull := context.WithCancel(context.WithoutCancel(ctx)) // outlives boothd
	if d.cfg.Lane.Type == configs.NEXUSAir {
		if err := d.hw.faces(board, string(d.cfg.Kiosk.Matcher), string(d.cfg.Kiosk.MatcherKey)); err != nil {
			pull()
			return err
		}
	}
	if err := d.hw.serveChip(board, d.cfg, filepath.Join(d.dir, "chip.sock")); err != nil {
		pull()
		return err
	}
	var out io.WriteCloser
	if d.Trace != "" {
		if out, err = os.OpenFile(d.Trace, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
			pull()
			return err
		}
	}
	d.trace = newTrace(d.cfg, out)
	var watch sync.WaitGroup
	var watchErr error
	watch.Go(func() { watchErr = d.trace.run(board, d.hw) })
	d.later(func() error {
		pull()
		watch.Wait()
		if out != nil {
			return errors.Join(watchErr, out.Close())
		}
		return watchErr
	})
	return nil
}

// pageAddress is the usual address of the page, or a free one if it is taken.
func pageAddress() string {
	for _, addr := range []string{"127.0.0.1:7080", "127.0.0.1:0"} {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			addr = l.Addr().String()
			_ = l.Close()
			return addr
		}
	}
	return "127.0.0.1:7080"
}

// picture asks boothd how it is.
func (d *demo) picture(ctx context.Context) (status.Picture, error) {
	return status.Dial("unix:" + string(d.cfg.Socket)).Get(ctx)
}

// ready waits for boothd, gives it the lists, and waits until it is healthy.
func (d *demo) ready(ctx context.Context) error {
	given := false
	var last error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := errors.Join(ctx.Err(), d.boothd.dead(), d.hq.dead()); err != nil {
			return err
		}
		p, err := d.picture(ctx)
		switch {
		case err != nil:
			last = err
		case !given:
			if last = d.giveLists(ctx); last == nil {
				given = true
			}
		case p.Health == status.Healthy:
			return nil
		default:
			last = fmt.Errorf("it says %s: %v", p.Health, p.Why)
		}
	}
	return fmt.Errorf("boothd is not ready: %w%s", last, tail(d.boothd.log))
}

// giveLists imports what headquarters has published, as a technician would.
func (d *demo) giveLists(ctx context.Context) error {
	boothctl, err := program(d.Bin, "boothctl")
	if err != nil {
		return err
	}
	_, err = once(ctx, nil, boothctl, "--config", filepath.Join(d.dir, "boothd.toml"), "list", "import", filepath.Join(d.dir, "hq", "repository"))
	return err
}

// keep saves what the page's metrics said, for whoever looks into the folder.
func (d *demo) keep(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(d.cfg.Status.Listen)+"/metrics", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reading metrics: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading metrics: %w", err)
	}
	return os.WriteFile(filepath.Join(d.dir, "metrics.txt"), b, 0o600)
}

// end tells the summary.
func (d *demo) end(ctx context.Context) error {
	if d.For == 0 && d.Passages == 0 {
		return nil // Ctrl-C
	}
	d.sum.Cuts = d.faults.cuts
	boothhq, err := program(d.Bin, "boothhq")
	if err != nil {
		return err
	}
	err = errors.Join(d.sum.settle(ctx, 15*time.Second, d.dir, boothhq), d.keep(ctx))
	d.sum.Latency = latencyOf(d.took)
	d.sum.Greens, d.sum.Unsafe = d.trace.counts()
	if d.JSON {
		b, encErr := json.Marshal(d.sum)
		d.say("%s\n", b)
		err = errors.Join(err, encErr)
	} else {
		d.say("%d passages, %d events stored, %d receipted, %d missing, %d doubled; decided in %d us (median), %d (p99)\n", d.sum.Passages,
			d.sum.Stored, d.sum.Receipt, d.sum.Missing, d.sum.Doubled, d.sum.Latency.P50, d.sum.Latency.P99)
	}
	if err = errors.Join(err, d.faults.undone(d.Cut)); err == nil {
		err = d.verdict()
	}
	if err != nil {
		err = fmt.Errorf("%w\nboothd:%s\nboothhq:%s", err, tail(d.boothd.log), tail(d.hq.log))
	}
	return err
}

// missed is how many passages are in doubt after a loop was missed: that one, and
// two more until it is known again who is who.
const missed = 3

// verdict is an error if the run shows a fault of the booth.
func (d *demo) verdict() error {
	switch {
	case d.sum.Missing > 0 || d.sum.Doubled > 0:
		return fmt.Errorf("%d events are missing and %d doubled", d.sum.Missing, d.sum.Doubled)
	case d.sum.Conflicts+d.sum.Rejected+d.sum.Unknown > 0:
		return fmt.Errorf("headquarters has %d conflicting, %d rejected and %d events that the booth has lost", d.sum.Conflicts, d.sum.Rejected, d.sum.Unknown)
	case d.sum.Unsafe > 0:
		return fmt.Errorf("the traveller's lamps were unsafe %d times", d.sum.Unsafe)
	case d.sum.Doubts > missed*(1+d.sum.Passages/50)+d.sum.Kills: // after a kill the next vehicle may be in doubt too
		return fmt.Errorf("%d of %d passages were in doubt: is this machine too busy for --speed %g?", d.sum.Doubts, d.sum.Passages, d.Speed)
	case len(d.sum.Unexpected) > 0:
		return fmt.Errorf("decided otherwise than the scenario says: %s", strings.Join(d.sum.Unexpected, ", "))
	}
	return nil
}
