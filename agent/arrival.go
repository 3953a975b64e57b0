package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"boothd/agent/lists"
	"boothd/agent/uplink"
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
// told as unavailable, and come from a web server (fetcher), a folder or a
// stick. Nothing here believes anything: the shelf's trust judges.
type arrival struct {
	log   *slog.Logger
	dir   string
	in    chan uplink.Message
	shelf *shelf
	// lacking is called when a list is signed and not there; it does not block.
	lacking func()

	files map[string][sha256.Size]byte // what lies in dir
	last  time.Time                    // of the last judgement
}

func newArrival(log *slog.Logger, store string, s *shelf) *arrival {
	return &arrival{log: log, dir: filepath.Join(store, "arrival"), in: make(chan uplink.Message, metaFiles), shelf: s,
		files: make(map[string][sha256.Size]byte)}
}

// run judges what has come, once it has settled, until ctx ends.
func (a *arrival) run(ctx context.Context) {
	if err := os.RemoveAll(a.dir); err != nil {
		a.log.Warn("old list metadata not cleared away", "err", err)
	}
	settled := time.NewTimer(time.Hour)
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-a.in:
			if a.keep(m) {
				settled.Reset(max(metaSettle, metaPause-time.Since(a.last)))
			}
		case <-settled.C:
			a.judge(ctx)
		}
	}
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

// judge has the shelf look at what is there.
func (a *arrival) judge(ctx context.Context) {
	a.last = time.Now()
	res, err := a.shelf.take(ctx, os.DirFS(a.dir), "mqtt")
	for _, r := range refusals(err) {
		if r.Why == lists.Unavailable && r.File != "" && a.lacking != nil {
			a.lacking()
		}
	}
	switch {
	case errors.Is(err, errShelfClosed) || errors.Is(err, errNoTrust):
		a.log.Debug("list metadata waits", "err", err)
	case res.Fresh:
		a.log.Info("lists vouched for", "timestamp", res.Timestamp, "lists", len(res.Verified))
	}
}
