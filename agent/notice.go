package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"
	"github.com/google/uuid"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/uplink"
)

// notice keeps what headquarters has all booths show. It is believed if one of
// the keys whose commands are taken has signed it, it is shown while its own
// times say so, and nothing else follows from it. It stays over a restart, so
// that each is recorded once, and one that was recorded cannot be replaced by an
// older one that somebody has kept.
//
// Source: mqtt contract, section 1.
type notice struct {
	log    *slog.Logger
	file   string
	trust  *contract.TrustedKeys // nil: nobody is believed
	outbox *outbox
	time   *timekeeper
	report func(contract.Notice)

	in    chan uplink.Message
	shown atomic.Pointer[contract.FleetNotice] // the newest; nil: none. The bulletin reads it
	odd   bool                                 // one that is not believed was told; run's own
	early []byte                               // one that is of the future by a clock that cannot be relied on; run's own
}

const (
	// noticesMost is how many wait; the newest counts.
	noticesMost = 16
	// noticeAhead is how far the time in a notice's id may be before the booth's
	// clock: one that was made under a clock far ahead would outrank all after it.
	noticeAhead = 24 * time.Hour
	// noticeAgain is how often is looked whether a clock that was behind can be
	// relied on by now: a retained notice comes once with each connect.
	noticeAgain = 10 * time.Second
)

func newNotice(b *booth) *notice {
	return &notice{log: b.log, file: filepath.Join(string(b.cfg.Store.Dir), "notice"), trust: b.commands.trust, outbox: b.outbox, time: b.time,
		report: b.report, in: make(chan uplink.Message, noticesMost)}
}

// now gives what is to be shown at a time, if anything is.
func (n *notice) now(at time.Time) (contract.FleetNotice, bool) {
	s := n.shown.Load()
	if s == nil || s.Text == "" || at.Before(s.NotBefore) || !at.Before(s.NotAfter) {
		return contract.FleetNotice{}, false
	}
	return *s, true
}

// run takes notices until ctx ends.
func (n *notice) run(ctx context.Context) {
	n.kept()
	again := time.NewTicker(noticeAgain)
	defer again.Stop()
	for {
		var message []byte
		select {
		case <-ctx.Done():
			return
		case m := <-n.in:
			message = m.Payload
		case <-again.C:
			if n.early == nil || !n.timely() {
				continue
			}
			message, n.early = n.early, nil
		}
		if err := contain(func() error { return n.take(ctx, message) }); err != nil && ctx.Err() == nil {
			n.log.Warn("notice not taken", "err", err)
		}
	}
}

// timely tells whether the clock can be relied on. Without a battery it stands,
// at a start, where the box was switched off.
func (n *notice) timely() bool {
	q := n.time.quality()
	return q == passage.ClockSynced || q == passage.ClockHoldover
}

// kept takes up the last that was recorded. Keys may have been withdrawn since:
// then it is nobody's word.
func (n *notice) kept() {
	b, err := os.ReadFile(n.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		var last contract.FleetNotice
		if last, _, err = n.open(b); err == nil {
			n.shown.Store(&last)
			return
		}
	}
	n.log.Warn("the last notice cannot be read, it comes again with the link", "err", err)
}

func (n *notice) open(message []byte) (contract.FleetNotice, string, error) {
	e, err := contract.DecodeEnvelope(message)
	if err != nil {
		return contract.FleetNotice{}, "", err
	}
	payload, key, err := n.trust.Open(e, contract.PayloadNotice)
	if err != nil {
		return contract.FleetNotice{}, "", err
	}
	said, err := contract.DecodeFleetNotice(payload)
	return said, key, err
}

// refuse tells of a notice that is not believed, once: a broker that lies all
// night is one event and one line.
func (n *notice) refuse(why string, err error) {
	if n.odd {
		return
	}
	n.odd = true
	n.log.Warn("notice refused", "err", err)
	n.report(contract.Notice{What: "notice_refused", Detail: "a notice to the fleet is not shown: " + why})
}

// take judges what came down. One that is recorded and shown already comes with
// every connect.
func (n *notice) take(ctx context.Context, message []byte) error {
	if len(message) == 0 || n.trust == nil { // a retained message that was cleared; or there are no keys, which is said at the start
		return nil
	}
	now := time.Now()
	said, key, err := n.open(message)
	if err != nil {
		n.refuse("it is not signed by a trusted key, or has not its form", err)
		return nil
	}
	if last := n.shown.Load(); last != nil && said.ID <= last.ID || !now.Before(said.NotAfter) {
		return nil
	}
	if made := time.Unix(uuid.MustParse(said.ID).Time().UnixTime()); made.After(now.Add(noticeAhead)) {
		if !n.timely() {
			n.early = message // nobody's fault
			return nil
		}
		n.refuse("it was made in the future", fmt.Errorf("it is of %s", made.UTC().Format(time.RFC3339)))
		return nil
	}
	if _, err := n.outbox.store(ctx, now, contract.FleetNoticed{FleetNotice: said, KeyID: key, Clock: n.time.stamp(now)}); err != nil {
		return fmt.Errorf("recording a notice: %w", err) // it comes again with the next connect
	}
	n.shown.Store(&said)
	n.log.Info("headquarters has a notice shown", "id", said.ID, "by", said.By)
	err = renameio.WriteFile(n.file, message, 0o600)
	if err == nil {
		err = syncFolder(n.file)
	}
	if err != nil {
		return fmt.Errorf("keeping a notice: %w", err)
	}
	return nil
}
