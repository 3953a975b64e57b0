package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"boothd/agent/contract"
)

const (
	// checkpointRows and checkpointEvery bound how much of the journal stands
	// unsigned (mqtt contract, section 3).
	checkpointRows  = 256
	checkpointEvery = 5 * time.Minute
	// checkpointLook is how often it is looked whether one is due; the journal's
	// end is a number in memory.
	checkpointLook = time.Second
	// checkpointLimit is how long the journal may take for one.
	checkpointLimit = 5 * time.Second
)

// checkpointer signs the head of the journal's chain from time to time: who
// changes an event afterwards has to forge the booth's signature too. It reads
// and appends beside the lane, which never waits for it (I5).
//
// The first checkpoint of a run follows its start at once, so that a booth that
// is switched off every evening leaves nothing unsigned behind for long.
type checkpointer struct {
	log    *slog.Logger
	booth  string
	key    *contract.SigningKey // nil: there is none
	outbox *outbox
	stamp  func(time.Time) contract.Clock

	sealed uint64    // head of the last checkpoint; run's own, like all below
	own    uint64    // events after it that are checkpoints themselves
	at     time.Time // of the last; zero: none in this run
	failed bool      // told that none could be made
}

// run makes checkpoints until ctx ends.
func (c *checkpointer) run(ctx context.Context) {
	if c.key == nil {
		return
	}
	for sleep(ctx, checkpointLook) {
		err := contain(func() error { return c.look(ctx) })
		if ctx.Err() != nil {
			return
		}
		if err != nil && !c.failed { // a change alone
			c.log.Warn("no checkpoint, tried again", "err", err)
		}
		c.failed = err != nil
	}
}

// look makes a checkpoint if one is due.
func (c *checkpointer) look(ctx context.Context) error {
	j := c.outbox.journal.Load()
	if j == nil {
		return nil // the lane tells of that
	}
	last, now := j.Last(), time.Now()
	fresh := last - c.sealed - c.own
	if fresh == 0 || fresh < checkpointRows && !c.at.IsZero() && now.Sub(c.at) < checkpointEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointLimit)
	defer cancel()
	for r, err := range j.Range(ctx, last, last) {
		if err != nil {
			return err
		}
		if err := c.seal(ctx, now, r.Seq, r.Body); err != nil {
			return fmt.Errorf("checkpoint of event %d: %w", r.Seq, err)
		}
		c.sealed, c.own, c.at = r.Seq, 1, now
	}
	return nil // the row may have been thinned meanwhile: another has followed it
}

// seal signs one head and stores that.
func (c *checkpointer) seal(ctx context.Context, now time.Time, seq uint64, body []byte) error {
	sum := sha256.Sum256(body)
	head := hex.EncodeToString(sum[:])
	payload, err := contract.EncodeCheckpoint(contract.CheckpointBody{Booth: c.booth, Epoch: c.outbox.Epoch(), Seq: seq, Head: head,
		At: now.UTC().Truncate(time.Millisecond)})
	if err != nil {
		return err
	}
	e, err := c.key.Seal(contract.PayloadCheckpoint, payload)
	if err != nil {
		return err
	}
	_, err = c.outbox.store(ctx, now, contract.Checkpoint{Seq: seq, Head: head, Seal: e, Clock: c.stamp(now)})
	return err
}

// signingKey reads the key that signs checkpoints. Without one the journal is
// still chained, and the booth warns.
func (b *booth) signingKey() *contract.SigningKey {
	raw, err := b.world.Secret(b.cfg.Booth.SigningKey)
	if err == nil {
		var k *contract.SigningKey
		if k, err = contract.ParseSigningKey(raw); err == nil {
			return k
		}
	}
	b.log.Warn("signing key not loaded, the journal's checkpoints are left out", "err", err)
	b.bulletin.found = append(b.bulletin.found, warnNoKey)
	return nil
}
