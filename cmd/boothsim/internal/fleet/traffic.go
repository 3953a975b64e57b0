package fleet

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

// traffic makes a booth's events: the same seed, the same vehicles. One
// passage is decided twice, ends, and now and then a device or the watch desk
// has something to tell. It belongs to one goroutine.
type traffic struct {
	rand    *rand.Rand
	boot    string
	policy  string
	began   time.Time
	clock   time.Duration // difference of the booth's wall clock
	stepped uint64        // seq of the last clock.corrected

	alerts  int // every so manieth event is one
	n       int
	now     contract.CrossingDecided // the passage in the lane
	started time.Time
}

func newTraffic(seed uint64, n int, began time.Time) *traffic {
	r := rand.New(rand.NewPCG(seed, 0x0100_0000+uint64(n)))
	return &traffic{rand: r, alerts: 64, boot: newID(r), policy: "sha256:" + hex.EncodeToString(random(r, 32)), began: began}
}

// pause is the time to the next event: as they come, not in step.
func (t *traffic) pause(perHour float64) time.Duration {
	return time.Duration(t.rand.ExpFloat64() / perHour * float64(time.Hour))
}

// wall is the booth's own clock.
func (t *traffic) wall(now time.Time) time.Time { return now.Add(t.clock).Round(0).UTC() }

func (t *traffic) stamp(now time.Time) contract.Clock {
	quality := passage.ClockSynced
	if t.clock != 0 {
		quality = passage.ClockRestored
	}
	return contract.Clock{Boot: t.boot, MonoUS: now.Sub(t.began).Microseconds(), Quality: contract.Quality(quality), Offset: t.stepped}
}

// next gives the next event.
func (t *traffic) next(now time.Time) contract.Data {
	defer func() { t.n++ }()
	switch {
	case t.n%t.alerts == 40:
		return t.alert(now)
	case t.n%32 == 13:
		return contract.DeviceChanged{Device: "pre-read", Role: "card", Online: t.n%64 == 13, Reason: "port closed", Clock: t.stamp(now)}
	case t.now.Revision == 0:
		return t.approach(now)
	case t.now.Revision == 1:
		t.now.Revision, t.now.Decision = 2, contract.Decision{Outcome: "EXPEDITE", Lead: 100, Reasons: []passage.Code{100, 412}}
		t.now.Facts.Now, t.now.Clock = t.wall(now), t.stamp(now)
		return t.now
	}
	ended := contract.CrossingEnded{Passage: t.now.Passage, Revisions: 2, Outcome: t.now.Decision.Outcome, End: "cleared", Released: true,
		StartedAt: t.started, EndedAt: t.wall(now), Clock: t.stamp(now)}
	t.now = contract.CrossingDecided{}
	return ended
}

// approach is a vehicle of which nothing is known yet.
func (t *traffic) approach(now time.Time) contract.Data {
	t.started = t.wall(now)
	id := newID(t.rand)
	t.now = contract.CrossingDecided{
		Passage: id, Revision: 1, Mode: "staffed", Policy: t.policy, LatencyUS: 300 + t.rand.Int64N(200), Clock: t.stamp(now),
		Decision: contract.Decision{Outcome: "PRIMARY", Lead: 400, Reasons: []passage.Code{400}},
		Evidence: passage.Evidence{ID: id, StartedAt: t.started, Cards: []passage.Card{{Token: t.token(), Reader: "pre-read", RSSIDBm: -48, Antenna: 1, Reads: 12}},
			Front: &passage.Plate{Full: t.token(), Bare: t.token(), Fold: t.token(), Jurisdiction: "BC", Confidence: 0.93, Reader: "front"}},
		Facts: passage.Facts{Now: t.started, Clock: passage.ClockSynced, Key: true, Store: true, Readers: true, LPR: true, Presence: true, Signals: true,
			Config: true, Draw: t.rand.IntN(10_000), Lists: []passage.List{{Kind: "cards", Generation: 8841, Age: 5400}}},
	}
	return t.now
}

// alert is a lookout of this simulation; its hit is marked so.
func (t *traffic) alert(now time.Time) contract.Data {
	at := t.wall(now)
	return contract.LookoutAlert{
		Passage: newID(t.rand), Revision: 1, Decision: contract.Decision{Outcome: "REFER", Lead: 301, Reasons: []passage.Code{301}, Silent: true},
		Hits: []passage.Hit{{ID: fmt.Sprintf("SIM-%d", t.n), Version: 1, Action: passage.Check, Subject: "PLATE", ReasonCode: "SIM-01", Agency: "CBSA",
			Region: "PACIFIC", ValidFrom: at.AddDate(0, 0, -1), ValidUntil: at.AddDate(0, 0, 30)}},
		Draw: t.rand.IntN(10_000), Clock: t.stamp(now),
	}
}

// step sets the booth's clock and gives the event that tells so; nil if it
// stands so already.
func (t *traffic) step(to time.Duration, now time.Time) contract.Data {
	off := to - t.clock
	if off == 0 {
		return nil
	}
	t.clock = to
	return contract.ClockCorrected{OffsetUS: off.Microseconds(), Clock: t.stamp(now)}
}

func (t *traffic) token() passage.Token { return passage.Token(hex.EncodeToString(random(t.rand, 16))) }

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// newID is an id with the shape of a UUIDv7, made of the seed alone.
func newID(r *rand.Rand) string {
	id := uuid.UUID(random(r, 16))
	id[6], id[8] = 0x70|id[6]&0x0f, 0x80|id[8]&0x3f
	return id.String()
}
