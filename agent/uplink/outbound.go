package uplink

import (
	"context"
	"fmt"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
)

// storePause is how long a store that fails is left alone.
const (
	storePause = time.Second
	idle       = time.Hour // nothing to wake for but the channels
	tick       = 10 * time.Millisecond
)

// unreadable leaves the store alone for a while. That it fails is a state the
// journal itself tells of; the link stays up.
func (s *session) unreadable(err error) {
	s.cfg.Log.Warn("uplink cannot read the journal", "err", err)
	s.pause = time.Now().Add(storePause)
}

// pump publishes what may be published now, the most urgent first, and tells
// when to look again though nothing has happened.
func (s *session) pump(ctx context.Context) (next time.Time, err error) {
	defer func() {
		s.note(func(st *Status) { st.InFlight, st.Unreceipt = len(s.flying), len(s.air.flights) })
	}()
	for len(s.flying) < min(inFlight, s.window) {
		now := time.Now()
		if now.Before(s.pause) {
			return s.pause, nil
		}
		row, ok, wait, err := s.choose(ctx, now)
		switch {
		case ctx.Err() != nil:
			return now, ctx.Err()
		case err != nil:
			s.unreadable(err)
			return s.pause, nil
		case !ok:
			return wait, nil
		}
		s.air.sent(row.Seq, now, s.cfg.ResendFirst)
		s.publish(row.Seq, contract.EventTopic(s.cfg.Booth, contract.Class(row.Class)), false, row.Body)
	}
	return time.Now().Add(idle), nil
}

// choose gives the next row: alerts, live, what is due again, the backlog and
// what headquarters asks for a second time. Without one it tells when there
// may be one.
func (s *session) choose(ctx context.Context, now time.Time) (row Record, ok bool, next time.Time, err error) {
	next = now.Add(idle)
	if row, ok, err = s.take1(ctx, Alerts); ok || err != nil {
		return row, ok, next, err
	}
	if seq, due := s.air.due(now); due {
		if row, ok, err = s.again(ctx, seq); ok || err != nil {
			return row, ok, next, err
		}
		s.air.landed(seq) // pruned meanwhile
		return Record{}, false, now.Add(tick), nil
	}
	if len(s.air.flights) > 0 {
		next = later(s.air.nextDue, now.Add(tick))
	}
	if len(s.air.flights) >= s.window {
		return Record{}, false, next, nil // headquarters is behind: a receipt or a resend goes on
	}
	if row, ok, err = s.take1(ctx, Live); ok || err != nil {
		return row, ok, next, err
	}
	if free := s.budget.free(now); free.After(now) {
		if s.lanes[Backlog].empty && len(s.lanes[Backlog].rows) == 0 && len(s.asked)+len(s.told) == 0 {
			return Record{}, false, next, nil
		}
		return Record{}, false, earlier(next, later(free, now.Add(tick))), nil
	}
	if s.aside == nil {
		row, ok = s.takeBacklog(ctx)
	}
	if !ok {
		row, ok, err = s.takeAsked(ctx, &s.asked)
	}
	if err == nil && !ok {
		if row, ok, err = s.takeAsked(ctx, &s.told); ok {
			s.air.flights[row.Seq] = flight{told: true}
		}
	}
	if ok {
		s.budget.spend()
	}
	return row, ok, next, err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// again reads one row that is to be published a second time.
func (s *session) again(ctx context.Context, seq uint64) (Record, bool, error) {
	for row, err := range s.src.Range(ctx, seq, seq) {
		return row, err == nil && row.Seq == seq, err
	}
	return Record{}, false, nil
}

// tell takes what Resend asks for. What is in the air already is hurried.
func (s *session) tell(r [2]uint64) {
	s.air.hurry(r, time.Now())
	if r[0] > 0 {
		s.told = append(s.told, r)
	}
}

// takeAsked gives the next row headquarters wants though it had receipted it:
// its database has been set back.
func (s *session) takeAsked(ctx context.Context, ranges *[][2]uint64) (Record, bool, error) {
	for len(*ranges) > 0 {
		r := &(*ranges)[0]
		for row, err := range s.src.Range(ctx, r[0], r[1]) {
			if err != nil {
				return Record{}, false, err
			}
			r[0] = row.Seq + 1
			if !s.air.aloft(row.Seq) {
				return row, true, nil
			}
		}
		*ranges = (*ranges)[1:]
	}
	return Record{}, false, nil
}

// publish hands a message to the client and keeps its token. It blocks at most
// for the write time-out.
func (s *session) publish(seq uint64, topic string, retain bool, body []byte) {
	t := s.line.Publish(topic, retain, body)
	s.flying = append(s.flying, flying{token: t, seq: seq, until: time.Now().Add(line.AckTimeout)})
}

// call does what somebody wants of headquarters. The broker's answers are
// awaited like PUBACKs; a refused subscription brings nothing, and is seen so.
func (s *session) call(c Call) {
	await := func(t mqtt.Token) {
		s.flying = append(s.flying, flying{token: t, until: time.Now().Add(line.AckTimeout)})
	}
	if len(c.Unsubscribe) > 0 {
		await(s.line.Drop(c.Unsubscribe...))
	}
	if len(c.Subscribe) > 0 {
		await(s.line.Ask(c.Subscribe...))
	}
	if c.Topic != "" {
		s.publish(0, c.Topic, false, c.Body)
	}
}

// oldest gives the channel on which the oldest publish ends, and when it is
// late. Brokers answer in order; one that does not only delays the others.
func (s *session) oldest() (acked <-chan struct{}, until time.Time) {
	if len(s.flying) == 0 {
		return nil, time.Now().Add(idle)
	}
	return s.flying[0].token.Done(), s.flying[0].until
}

// land takes every publish that has its PUBACK off the front. One that ended
// with an error ends the connection: nothing may count as sent that was not.
func (s *session) land(ctx context.Context) error {
	var have [][2]uint64
	n := 0
	for ; n < len(s.flying); n++ {
		f := s.flying[n]
		select {
		case <-f.token.Done():
		default:
			s.flying = s.flying[n:]
			return s.landed(ctx, have)
		}
		if err := f.token.Error(); err != nil {
			s.flying = s.flying[n:]
			if e := s.landed(ctx, have); e != nil {
				return e
			}
			return fmt.Errorf("publishing: %w", err)
		}
		if f.seq == 0 {
			continue
		}
		s.air.acked(f.seq)
		have = append(have, [2]uint64{f.seq, f.seq})
	}
	s.flying = s.flying[:0]
	return s.landed(ctx, have)
}

// landed counts PUBACKed events, and ends their life where the PUBACK is all
// there is.
func (s *session) landed(ctx context.Context, have [][2]uint64) error {
	if len(have) == 0 {
		return nil
	}
	// A receipt may have overtaken its PUBACK: then none is owed.
	owed := s.cfg.AckMode == Receipt && slices.ContainsFunc(have, func(x [2]uint64) bool { return s.air.aloft(x[0]) })
	s.note(func(st *Status) {
		st.Sent += uint64(len(have))
		if owed && st.Owed.IsZero() {
			st.Owed = time.Now()
		}
	})
	if s.cfg.AckMode != Puback {
		return nil
	}
	r := contract.Receipt{Epoch: s.src.Epoch(), Have: have, At: time.Now().UTC()}
	if err := s.src.Receipted(ctx, r); err != nil {
		return fmt.Errorf("noting PUBACKs in the journal: %w", err)
	}
	for _, x := range have {
		s.air.landed(x[0])
	}
	return nil
}

// bucket is a token bucket: rate a second, a quarter of a second's worth (at
// least one) at once.
type bucket struct {
	rate  float64
	level float64
	at    time.Time
}

func newBucket(rate float64, now time.Time) bucket { return bucket{rate: rate, level: 1, at: now} }

// free tells from when on one may be spent.
func (b *bucket) free(now time.Time) time.Time {
	if d := now.Sub(b.at); d > 0 {
		b.level = min(max(1, b.rate/4), b.level+b.rate*d.Seconds())
		b.at = now
	}
	if b.level >= 1 {
		return now
	}
	return now.Add(time.Duration((1 - b.level) / b.rate * float64(time.Second)))
}

func (b *bucket) spend() { b.level-- }
