package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/token"
	"boothd/devices"
)

// postedEvery and postedBurst bound what cameras that post may have stored; ours.
// They are as many as ten vehicles at the ceiling of a lane, one each 20 s, and
// what a camera kept while it was cut off: what is not taken the camera keeps. A
// camera gone wild writes 160 MB a day. In a journal that is near full reads are
// thinned before anything else, so that they take no crossing's room.
const (
	postedEvery = 500 * time.Millisecond
	postedBurst = 120
)

var errPace = errors.New("cameras post more plates than are stored")

// posted stores the plates that cameras post before they are told so (licence
// plate readers, section 3). The lane has them already, and waits for nothing
// here (I5); no list is asked, so that all plates are stored alike (I3).
type posted struct {
	log   *slog.Logger
	store func(ctx context.Context, at time.Time, events ...contract.Data) (seq uint64, err error)
	stamp func(at time.Time) contract.Clock
	key   func(now time.Time) *token.Key // of the lists in force; nil: 214

	mu     sync.Mutex // cameras' requests come at a time
	paid   time.Time  // until when the pace is used up
	failed bool       // told that reads are not stored
}

// keep stores a read; it returns once it is durable, however long that takes.
func (p *posted) keep(ctx context.Context, r devices.Read, late bool) error {
	err := p.admit(time.Now())
	if err == nil {
		_, err = p.store(ctx, r.At, contract.PlateRead{Device: r.Device, Role: string(r.Role), Plate: plateOf(p.key(r.At), r),
			CameraAt: r.Plate.DeviceAt, Late: late, Clock: p.stamp(r.At)})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if was := p.failed; err != nil && !was {
		p.log.Warn("posted plates are not stored, cameras are told to send them again", "device", r.Device, "err", err)
	} else if err == nil && was {
		p.log.Info("posted plates are stored again", "device", r.Device)
	}
	p.failed = err != nil
	return err
}

// admit tells whether one more is within the pace.
func (p *posted) admit(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paid.Before(now) {
		p.paid = now
	}
	if p.paid.Sub(now) > (postedBurst-1)*postedEvery {
		return errPace
	}
	p.paid = p.paid.Add(postedEvery)
	return nil
}

// plateOf makes tokens of a plate that was read. Without a key there are none.
func plateOf(key *token.Key, r devices.Read) passage.Plate {
	if key == nil {
		return passage.Plate{Confidence: r.Plate.Confidence, NoRead: r.Plate.NoRead, Reader: r.Device}
	}
	p := key.Plate(r.Plate.Text, r.Plate.Jurisdiction, r.Plate.Confidence)
	p.NoRead = p.NoRead || r.Plate.NoRead
	p.Reader = r.Device
	for _, c := range r.Plate.Candidates {
		p = p.Or(key.Plate(c, "", -1))
	}
	return p
}
