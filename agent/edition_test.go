package agent

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

// decisions are the recorded ones, in order.
func (b *bench) decisions() (out []contract.CrossingDecided) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.kept {
		if c, ok := e.(contract.CrossingDecided); ok {
			out = append(out, c)
		}
	}
	return out
}

// A list that comes into force while a vehicle is at the booth is the one that
// it is judged by from then on: what a decision was made of is of the generation
// that it names.
func TestI6_ListsThatComeDuringAPassage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var comes atomic.Bool // the lists belong to the lane's goroutine here
		b.lane.edition = func() edition {
			if comes.CompareAndSwap(true, false) {
				b.card(goodCard, passage.Lost, passage.Active)
				b.gen++
			}
			return edition{view: b.gen}
		}
		b.run(func() {
			b.arrive(goodCard)
			b.press("count_1")
			comes.Store(true)
			time.Sleep(2 * pulseEvery)
			synctest.Wait()
		})
		all := b.decisions()
		last := all[len(all)-1]
		if last.Decision.Outcome == passage.Expedite.String() || last.Facts.Cards[0].Card != passage.Lost || last.Facts.Lists[0].Generation != 4 {
			t.Errorf("the card is lost since generation 4; decided %+v of %+v by %+v", last.Decision, last.Facts.Cards, last.Facts.Lists)
		}
		before := 0
		for _, c := range all {
			if is := c.Facts.Lists[0].Generation == 4; len(c.Facts.Cards) > 0 && is != (c.Facts.Cards[0].Card == passage.Lost) {
				t.Errorf("generation %d with %+v", c.Facts.Lists[0].Generation, c.Facts.Cards)
			} else if c.Decision.Outcome == passage.Expedite.String() {
				before++
			}
		}
		if before == 0 {
			t.Error("it was never expedited: nothing is tested")
		}
	})
}

// Lists that come into force between two look-ups of one decision are not mixed
// with those before: a card of one and its member in the other would be a
// membership that nobody has.
func TestI6_ListsThatComeBetweenTwoLookUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		// In the next generation the same person has another number.
		next := func() {
			delete(b.rows, "members/"+string(b.key.Membership(goodCard)))
			row, err := contract.CardRow{Status: passage.Issued, Member: b.key.Membership(otherCard), TID: b.key.TID(chip)}.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			b.card(otherCard, passage.Issued, passage.Active)
			b.rows["cards/"+string(b.key.Card(goodCard))] = row
			b.gen++
		}
		b.lane.lookup = func(dst []byte, kind string, tok passage.Token) ([]byte, bool, error) {
			if kind == contract.ListMembers && b.gen == 3 {
				next()
			}
			return b.lookup(dst, kind, tok)
		}
		b.run(func() {
			b.arrive(goodCard)
			b.press("count_1")
		})
		all := b.decisions()
		for _, c := range all {
			if len(c.Facts.Cards) > 0 && (c.Facts.Cards[0].Membership != passage.Active || c.Facts.Lists[0].Generation != 4) {
				t.Errorf("a card without its member: %+v by %+v", c.Facts.Cards, c.Facts.Lists)
			}
		}
		if last := all[len(all)-1]; last.Decision.Outcome != passage.Expedite.String() {
			t.Errorf("decided %+v, want EXPEDITE", last.Decision)
		}
	})
}

// Lists that never stay the same for one decision let nobody go by it (206).
func TestI6_ListsThatDoNotHoldStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lane.lookup = func(dst []byte, kind string, tok passage.Token) ([]byte, bool, error) {
			b.gen++
			return b.lookup(dst, kind, tok)
		}
		b.run(func() {
			b.arrive(goodCard)
			b.press("count_1")
		})
		for _, c := range b.decisions() {
			if c.Decision.Outcome != passage.Primary.String() || c.Decision.Lead != passage.StoreFault {
				t.Errorf("decided %+v, want PRIMARY for 206", c.Decision)
			}
		}
	})
}
