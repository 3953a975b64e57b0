package agent

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/agent/uplink"
	"boothd/buffer/eligibility"
)

// partsJudge stands for the shelf: it wants one list, and knows the bytes of it.
type partsJudge struct {
	want    []byte
	without bool // the list does not travel in parts
	bad     bool // whatever comes is refused
	applied bool
}

func (*partsJudge) rootVersion() (int64, error)           { return 1, nil }
func (*partsJudge) generations() []eligibility.Generation { return nil }

func (j *partsJudge) take(_ context.Context, src fs.FS, _ string) (lists.Result, error) {
	r := &lists.Refusal{Why: lists.Unavailable, Kind: "cards", Generation: 7, File: "cards-6-7.delta", Bytes: int64(len(j.want)), Parts: contract.Parts(j.want)}
	if j.without {
		r.Parts = nil
	}
	if j.applied {
		return lists.Result{}, nil
	}
	b, err := fs.ReadFile(src, "targets/cards-6-7.delta")
	if err != nil {
		r.Err = err
		return lists.Result{}, r
	}
	if j.bad || !bytes.Equal(b, j.want) {
		r.Why, r.Err = lists.Tampered, errors.New("not what was signed")
		return lists.Result{}, r
	}
	j.applied = true
	return lists.Result{Fresh: true}, nil
}

// partsBroker has some parts retained and gets the others when a booth wants
// them.
type partsBroker struct {
	retained, served map[string][]byte // by topic
	asked, given     []string
	wants            int
	spoil            func(topic string, b []byte) []byte
}

// runArrival runs an arrival beside the broker for d of virtual time, and tells
// how often it wanted another way.
func runArrival(t *testing.T, dir string, j *partsJudge, b *partsBroker, d time.Duration) (elsewhere int) {
	a := newArrival(slog.New(slog.DiscardHandler), "pac-hwy-nexus-03", dir, time.Hour, j)
	a.parts.room = func(string) int64 { return 1 << 30 }
	a.lacking = func() { elsewhere++ }
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	go a.run(ctx)
	a.in <- uplink.Message{Topic: metaFilter + "timestamp", Payload: []byte("{}")}
	on := map[string]bool{}
	give := func(topic string, body []byte) {
		if body != nil && on[topic] {
			if b.spoil != nil {
				body = b.spoil(topic, body)
			}
			b.given = append(b.given, topic)
			a.part <- uplink.Message{Topic: topic, Payload: body}
		}
	}
	for {
		select {
		case <-ctx.Done():
			synctest.Wait()
			return elsewhere
		case c := <-a.parts.calls:
			for _, topic := range c.Unsubscribe {
				delete(on, topic)
			}
			for _, topic := range c.Subscribe {
				on[topic] = true
				b.asked = append(b.asked, topic)
				give(topic, b.retained[topic])
			}
			if c.Topic == "" {
				continue
			}
			b.wants++
			w, err := contract.DecodeWant(c.Body)
			if err != nil || c.Topic != "booth/v1/pac-hwy-nexus-03/want/list" {
				t.Fatalf("wanted on %s: %v", c.Topic, err)
			}
			for _, p := range w.Parts {
				give(contract.PartTopic(w.List, p), b.served[contract.PartTopic(w.List, p)])
			}
		}
	}
}

// aList gives bytes that are 40 parts, and their topics.
func aList() ([]byte, map[string][]byte) {
	b, dice := make([]byte, 39*contract.PartSize+777), rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(dice.Uint32())
	}
	all := map[string][]byte{}
	for i, d := range contract.Parts(b) {
		all[contract.PartTopic("cards", d)] = b[i*contract.PartSize : min(len(b), (i+1)*contract.PartSize)]
	}
	return b, all
}

func TestPartsMakeAListWhole(t *testing.T) {
	list, all := aList()
	half, rest := map[string][]byte{}, map[string][]byte{}
	for topic, b := range all {
		if len(half) < 20 {
			half[topic] = b
		} else {
			rest[topic] = b
		}
	}
	for name, b := range map[string]*partsBroker{
		"retained": {retained: all},
		"asked":    {served: all},
		"mixed":    {retained: half, served: rest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &partsJudge{want: list}
				elsewhere := runArrival(t, t.TempDir(), j, b, 2*time.Minute)
				if !j.applied || elsewhere != 0 {
					t.Errorf("in force: %v; wanted elsewhere %d times", j.applied, elsewhere)
				}
				if len(b.given) != len(all) {
					t.Errorf("%d parts were sent for %d", len(b.given), len(all))
				}
				if (b.wants > 0) != (len(b.served) > 0) {
					t.Errorf("headquarters was asked %d times", b.wants)
				}
			})
		})
	}
}

// A transfer goes on after a restart with what had not come, and a wrong byte
// costs its part alone.
func TestI6_PartsGoOnAfterARestart(t *testing.T) {
	list, all := aList()
	dir := t.TempDir()
	first := &partsBroker{retained: map[string][]byte{}}
	for i, d := range contract.Parts(list) {
		if topic := contract.PartTopic("cards", d); i < 16 {
			first.retained[topic] = all[topic]
		}
	}
	synctest.Test(t, func(t *testing.T) {
		if n := runArrival(t, dir, &partsJudge{want: list}, first, 10*time.Second); n != 0 {
			t.Errorf("another way was wanted after 10 s")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		j, spoilt := &partsJudge{want: list}, 0
		b := &partsBroker{served: all, spoil: func(_ string, body []byte) []byte {
			if spoilt++; spoilt == 3 {
				body = bytes.Clone(body)
				body[9] ^= 1
			}
			return body
		}}
		runArrival(t, dir, j, b, 2*time.Minute)
		if !j.applied || len(b.given) != len(all)-16+1 {
			t.Errorf("in force: %v; %d parts were sent, want %d", j.applied, len(b.given), len(all)-16+1)
		}
		for topic := range first.retained {
			if slices.Contains(b.asked, topic) {
				t.Errorf("%s was there and is asked for", topic)
			}
		}
	})
}

// What does not come is had another way; what cannot come is at once; what was
// refused is not loaded again and again.
func TestPartsThatDoNotCome(t *testing.T) {
	list, all := aList()
	synctest.Test(t, func(t *testing.T) {
		b := &partsBroker{}
		if n := runArrival(t, t.TempDir(), &partsJudge{want: list}, b, 5*time.Minute); n == 0 || n > 9 || b.wants > 10 {
			t.Errorf("in 5 min another way was wanted %d times, and headquarters asked %d times", n, b.wants)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := &partsBroker{retained: all}
		if n := runArrival(t, t.TempDir(), &partsJudge{want: list, without: true}, b, time.Minute); n != 1 || len(b.asked) != 0 {
			t.Errorf("another way was wanted %d times, %d parts were asked for", n, len(b.asked))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := &partsBroker{retained: all}
		if n := runArrival(t, t.TempDir(), &partsJudge{want: list, bad: true}, b, 30*time.Minute); n != 1 || len(b.given) != len(all) {
			t.Errorf("refused: another way was wanted %d times, %d parts were sent for %d", n, len(b.given), len(all))
		}
	})
}

// Nothing that a broker sends is kept unless it was signed.
func TestI6_ForeignPartsAreDropped(t *testing.T) {
	list, _ := aList()
	p := newParts(slog.New(slog.DiscardHandler), "pac-hwy-nexus-03", t.TempDir())
	if _, err := p.want(t.Context(), []*lists.Refusal{{Kind: "cards", File: "cards-6-7.delta", Bytes: int64(len(list)), Parts: contract.Parts(list)}}); err != nil {
		t.Fatal(err)
	}
	before := p.bytes()
	part := list[:contract.PartSize]
	own := contract.PartTopic("cards", contract.Parts(part)[0])
	for name, m := range map[string]uplink.Message{
		"another kind":  {Topic: strings.Replace(own, "cards", "lookouts", 1), Payload: part},
		"another part":  {Topic: own, Payload: list[contract.PartSize : 2*contract.PartSize]},
		"unknown":       {Topic: contract.PartTopic("cards", contract.Parts([]byte("x"))[0]), Payload: []byte("x")},
		"not its topic": {Topic: "list/v1/cards/part/..", Payload: part},
		"empty":         {Topic: own},
	} {
		if complete, _ := p.take(m); complete || p.bytes() != before {
			t.Errorf("%s was kept", name)
		}
	}
	if _, err := p.take(uplink.Message{Topic: own, Payload: part}); err != nil || len(p.files[0].missing) != 39 {
		t.Errorf("the right one was not kept: %v", err)
	}
	p.room = func(string) int64 { return int64(len(list)) }
	if _, err := p.want(t.Context(), []*lists.Refusal{{Kind: "cards", File: "cards-8.list", Bytes: int64(len(list)), Parts: contract.Parts(list)}}); err == nil || len(p.files) != 0 {
		t.Error("a list is wanted that the disk has no room for")
	}
}
