package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/agent/uplink"
	"boothd/buffer/eligibility"
	"boothd/buffer/room"
)

const (
	// metaFilter is where the list office's signed metadata is retained (mqtt
	// contract, section 1).
	metaFilter = "list/v1/tuf/"
	// metaMost and metaFiles bound what a broker can make a booth keep.
	metaMost  = 256 << 10
	metaFiles = 80
	// metaSettle is how long nothing must have come before what is there is
	// judged: retained messages arrive in any order.
	metaSettle = 500 * time.Millisecond
	// metaPause is the least time between two judgements, whatever comes.
	metaPause = time.Second
)

// metaName is a level below metaFilter that names metadata.
var metaName = regexp.MustCompile(`^(root/[1-9][0-9]{0,8}|timestamp|snapshot|targets)$`)

// arrival takes the signed metadata that comes over MQTT. It is the heartbeat
// that keeps lists young; lists that it names and the booth does not have are
// told as unavailable. Those that travel in parts are asked for here; others
// come from a web server (fetcher), a folder or a stick. Nothing here believes
// anything: the shelf's trust judges.
type arrival struct {
	log   *slog.Logger
	dir   string
	in    chan uplink.Message // metadata
	part  chan uplink.Message // parts of lists
	anew  chan struct{}       // what was had is no more; holds one
	parts *parts
	shelf taker
	// lacking is called when a list is signed and does not come this way; it
	// does not block.
	lacking func()
	// spread is over how long booths ask for what is large.
	spread time.Duration

	files map[string][sha256.Size]byte // what lies in dir
	last  time.Time                    // of the last judgement
	bad   string                       // a list file that was signed, came and was refused
	badAt time.Time
}

func newArrival(log *slog.Logger, booth, store string, spread time.Duration, s taker) *arrival {
	dir := filepath.Join(store, "arrival")
	return &arrival{log: log, dir: dir, in: make(chan uplink.Message, metaFiles), part: make(chan uplink.Message, contract.MaxWant),
		anew: make(chan struct{}, 1), parts: newParts(log, booth, dir), spread: spread, shelf: s, files: make(map[string][sha256.Size]byte)}
}

// run judges what has come, once it has settled, until ctx ends.
func (a *arrival) run(ctx context.Context) {
	if err := a.forget(ctx); err != nil {
		a.log.Warn("old list metadata not cleared away", "err", err)
	}
	settled := time.NewTimer(time.Hour)
	defer settled.Stop()
	ask := time.NewTimer(time.Hour)
	defer ask.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-a.in:
			if a.keep(m) {
				settled.Reset(max(metaSettle, metaPause-time.Since(a.last)))
			}
		case <-a.anew:
			settled.Reset(metaSettle) // what is retained lies here
		case <-settled.C:
			if wait, want := a.judge(ctx); want {
				ask.Reset(wait)
			}
		case m := <-a.part:
			switch complete, err := a.parts.take(m); {
			case err != nil:
				a.log.Warn("part of a list not kept", "err", err)
			case complete:
				a.whole(ctx)
			case a.parts.window():
				ask.Reset(0)
			}
		case <-ask.C:
			ask.Reset(a.again())
		}
	}
}

// forget removes what came before the start, but for parts: metadata is
// retained and comes again.
func (a *arrival) forget(ctx context.Context) error {
	entries, err := os.ReadDir(a.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var old []string
	for _, e := range entries {
		if e.Name() != "parts" {
			old = append(old, filepath.Join(a.dir, e.Name()))
		}
	}
	return room.Remove(ctx, old...)
}

// keep writes one message to its place; it tells whether it is new.
func (a *arrival) keep(m uplink.Message) bool {
	name, ok := strings.CutPrefix(m.Topic, metaFilter)
	if !ok || !metaName.MatchString(name) || len(m.Payload) == 0 || len(m.Payload) > metaMost {
		return false
	}
	if n, root := strings.CutPrefix(name, "root/"); root {
		name = filepath.Join("root", n+".root.json")
	} else {
		name += ".json"
	}
	sum := sha256.Sum256(m.Payload)
	was, known := a.files[name]
	if known && was == sum || !known && len(a.files) == metaFiles {
		return false
	}
	path := filepath.Join(a.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, m.Payload, 0o600)
	}
	if err != nil {
		a.log.Warn("list metadata not kept", "err", err)
		return false
	}
	a.files[name] = sum
	return true
}

// judge has the shelf look at what is there. What is lacking and comes in parts
// is to be asked for after wait.
func (a *arrival) judge(ctx context.Context) (wait time.Duration, want bool) {
	err := a.take(ctx)
	lacking := a.unavailable(err)
	if err != nil && len(lacking) == 0 {
		return 0, false // refused, or not to be judged now: what is wanted stays so
	}
	other, err := a.parts.want(ctx, lacking)
	if err != nil {
		a.log.Info("lists do not come over MQTT", "err", err)
		a.elsewhere()
	}
	if !other && a.parts.due() {
		a.elsewhere()
	}
	n := a.parts.bytes()
	switch {
	case len(a.parts.files) > 0 && n == 0: // all of it came before a restart
		a.whole(ctx)
		return 0, false
	case n > partsAtOnce && a.spread > 0 && len(a.shelf.generations()) > 0:
		wait = rand.N(a.spread)
	}
	return wait, n > 0 && other
}

// unavailable gives the files that are signed and not there; none if one of them
// was refused an hour ago or less.
func (a *arrival) unavailable(err error) (out []*lists.Refusal) {
	for _, r := range refusals(err) {
		switch {
		case r.Why != lists.Unavailable || r.File == "":
		case r.File == a.bad && time.Since(a.badAt) < fetchAgain:
			return nil
		default:
			out = append(out, r)
		}
	}
	return out
}

// elsewhere has what is lacking got another way.
func (a *arrival) elsewhere() {
	if a.lacking != nil {
		a.lacking()
	}
}

// whole judges files that have come in parts.
func (a *arrival) whole(ctx context.Context) {
	if err := a.parts.assemble(); err != nil {
		a.log.Warn("list not put together of its parts", "err", err)
		return
	}
	for _, r := range refusals(a.take(ctx)) {
		if r.File != "" && r.Rejected() {
			a.bad, a.badAt = r.File, time.Now()
		}
		if r.File != "" {
			a.elsewhere()
		}
	}
	if _, err := a.parts.want(ctx, nil); err != nil {
		a.log.Warn("parts of lists not cleared away", "err", err)
	}
	a.parts.ask() // for nothing more
}

// again asks for what is still lacking, and for another way if it does not come.
func (a *arrival) again() time.Duration {
	a.parts.drop(func(kind string, generation uint64) bool {
		return slices.ContainsFunc(a.shelf.generations(), func(g eligibility.Generation) bool { return g.Kind == kind && g.Generation >= generation })
	})
	if a.parts.due() {
		a.elsewhere()
	}
	if wait := a.parts.ask(); wait > 0 {
		return wait
	}
	return time.Hour
}

// take has the shelf judge what lies here.
func (a *arrival) take(ctx context.Context) error {
	a.last = time.Now()
	res, err := a.shelf.take(ctx, os.DirFS(a.dir), "mqtt")
	switch {
	case errors.Is(err, errShelfClosed) || errors.Is(err, errNoTrust):
		a.log.Debug("list metadata waits", "err", err)
	case res.Fresh:
		a.log.Info("lists vouched for", "timestamp", res.Timestamp, "lists", len(res.Verified))
	}
	return err
}
