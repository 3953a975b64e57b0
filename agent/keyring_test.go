package agent

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/token"
	"boothd/devices"
)

// turning is a bench whose port replaces its key: rows are of the key that ids
// names, as lists in force are.
type turning struct {
	*bench
	keys map[string]*token.Key
	id   string // of the lists in force; "?" stands for several
}

func newTurning(t *testing.T) *turning {
	b := &turning{bench: newBench(t), keys: map[string]*token.Key{}}
	// The bench's own key is the former one, until an hour from now.
	text := strings.Repeat("2e", 32) + "\n" + strings.Repeat("1f", 32) + " until " + time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	keys, err := token.ParseKeys([]byte(text), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.keys["new"], b.keys["old"] = keys.Current, keys.Former
	b.lane.key = keys.Current // before any list is known
	b.lane.ring = &keyring{keys: keys, inForce: func() (string, bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.id, b.id != "?"
	}}
	b.force("old")
	return b
}

// pass lets the vehicle go, over whatever is said of it.
func (b *turning) pass() {
	b.press("release")
	b.press("release")
	b.leave()
}

// force puts lists of one key in force.
func (b *turning) force(which string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.id = "?"
	if key := b.keys[which]; key != nil {
		b.id, b.key = key.ID(), key
		clear(b.rows)
		b.card(goodCard, passage.Issued, passage.Active)
	}
}

// reasons gives the codes of the last decision stored.
func (b *turning) reasons() (codes []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.kept {
		if c, ok := e.(contract.CrossingDecided); ok {
			codes = codes[:0]
			for _, r := range c.Decision.Reasons {
				codes = append(codes, int(r))
			}
		}
	}
	return codes
}

func (b *turning) want(when string, codes ...int) {
	b.t.Helper()
	synctest.Wait() // the lane is at rest
	b.is(when, codes...)
}

func (b *turning) is(when string, codes ...int) {
	b.t.Helper()
	if got := b.reasons(); !slices.Equal(got, codes) {
		b.t.Errorf("%s: reasons %v, want %v", when, got, codes)
	}
}

func TestI1_TokenKeysAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTurning(t)
		time.Sleep(2 * keySettle) // the day of the change has begun
		b.run(func() {
			b.arrive(goodCard)
			b.want("lists under the former key, soon after the start", 214, 500)
			b.pass()
			time.Sleep(2 * keySettle)
			b.arrive(goodCard)
			b.want("it has just passed", 413, 500)
			b.pass()

			// The new lists come while a vehicle stands there.
			time.Sleep(11 * time.Minute)
			b.arrive(goodCard)
			b.want("lists under the former key", 500)
			b.force("new")
			time.Sleep(2 * time.Second)
			b.want("lists of another key came while it stood there", 214, 500)
			b.pass()
			time.Sleep(keySettle / 2)
			b.arrive(otherCard)
			b.want("soon after", 214, 402, 500)
			b.pass()
			time.Sleep(keySettle)
			b.arrive(goodCard)
			b.want("known again although its token is another one", 413, 500)
			b.pass()
			time.Sleep(11 * time.Minute)
			b.arrive(goodCard)
			b.want("lists under the new key", 500)
			b.pass()

			b.force("several")
			time.Sleep(11 * time.Minute)
			b.arrive(goodCard)
			b.want("lists under several keys", 214, 401, 500, 600)
			b.pass()

			// The former key ends an hour after the beginning.
			b.force("old")
			time.Sleep(time.Hour)
			b.arrive(goodCard)
			b.want("lists under a key that has ended", 214, 401, 500, 600)
			b.pass()
		})
		for _, e := range b.kept {
			if c, ok := e.(contract.CrossingDecided); ok && c.Decision.Outcome == "EXPEDITE" && slices.Contains(c.Decision.Reasons, 214) {
				t.Errorf("expedited with %v", c.Decision.Reasons)
			}
		}
	})
}

// A vehicle that stands there when its key ends is not let go by it.
func TestI1_AKeyEndsUnderAVehicle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTurning(t)
		b.run(func() {
			time.Sleep(59 * time.Minute)
			b.arrive(goodCard)
			b.want("a minute before the end", 500)
			time.Sleep(2 * time.Minute)
			b.want("after the end", 214, 500)
		})
	})
}

// A document is known again under another key by itself.
func TestTheOtherTokenOfADocument(t *testing.T) {
	b := newTurning(t)
	b.lane.rekey(time.Now())
	doc := devices.Document{Issuer: "CAN", Number: "AB123456"}
	in, ok := b.lane.input(devices.Read{Role: devices.RoleDocument, At: time.Now(), Document: &doc})
	if !ok || in.Document.Token != b.keys["old"].Document(doc.Issuer, doc.Number) {
		t.Fatalf("input = %+v", in)
	}
	now := time.Now()
	b.lane.recent.note(b.keys["new"].Document(doc.Issuer, doc.Number), now.Add(-time.Minute))
	if got := b.lane.passed(now, in.Document.Token); got != passage.Of(time.Minute) {
		t.Errorf("passed %v ago, want a minute", got)
	}
	for i := range 3 * aliasMost {
		b.lane.other(passage.Token(strings.Repeat("x", i+1)), documentToken(&doc))
	}
	if n := len(b.lane.ring.alias); n > aliasMost {
		t.Errorf("%d tokens are remembered", n)
	}
}

// set gives a time as it was read before the wall clock was set by so much: its
// monotonic part is the same.
func set(t time.Time, by time.Duration) time.Time {
	before := t
	*(*uint64)(unsafe.Pointer(&before)) -= uint64(by/time.Second) << 30 // seconds of the wall, as package time keeps them
	return before
}

// How long ago keys changed is told by the monotonic clock: a wall clock that is
// set meanwhile neither keeps the lane from expediting nor lets it too early.
func TestI1_AKeyChangeAndASteppedClock(t *testing.T) {
	now := time.Now()
	if was := set(now, -time.Hour); now.Sub(was) != 0 || now.Round(0).Sub(was.Round(0)) != -time.Hour {
		t.Fatalf("package time keeps its times in another way: %v, %v", now.Sub(was), now.Round(0).Sub(was.Round(0)))
	}
	for name, tc := range map[string]struct {
		ago, by time.Duration
		want    []int
	}{
		"long ago":                    {time.Minute, 0, []int{500}},
		"just now":                    {time.Second, 0, []int{214, 500}},
		"long ago, set back since":    {time.Minute, -time.Hour, []int{500}},
		"long ago, set forward since": {time.Minute, time.Hour, []int{500}},
		"just now, set back since":    {time.Second, -time.Hour, []int{214, 500}},
		"just now, set forward since": {time.Second, time.Hour, []int{214, 500}},
		"just now, a little forward":  {time.Second, keySettle, []int{214, 500}},
		"just settled, a little back": {keySettle, -time.Second, []int{500}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTurning(t)
			b.lane.wake = time.NewTimer(time.Hour)
			defer b.lane.wake.Stop()
			b.lane.rekey(time.Now())
			b.lane.ring.changed = set(time.Now().Add(-tc.ago), tc.by)
			in := func(k passage.Kind) passage.Input {
				return passage.Input{At: time.Now(), Kind: k, Card: passage.Card{Token: b.key.Card(goodCard), TID: b.key.TID(chip)}, Plate: passage.Plate{Bare: "p", Confidence: 0.9}}
			}
			for _, k := range []passage.Kind{passage.ApproachOn, passage.CardRead, passage.FrontPlate, passage.ApproachOff, passage.BoothOn} {
				b.lane.step(t.Context(), in(k))
			}
			b.is(name, tc.want...)
		})
	}
}
