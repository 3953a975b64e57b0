package receiver

import (
	"bytes"
	"testing"

	"boothd/agent/contract"
)

// However many events are refused at once, the booth hears of each: what it does
// not hear of it takes for received, and gives up. The highest are in every
// receipt, and so is everything as long as one receipt holds it.
func TestEveryRefusalIsTold(t *testing.T) { each(t, testEveryRefusalIsTold) }

func testEveryRefusalIsTold(t *testing.T, fresh func() string) {
	s, _ := newStore(t, fresh())
	torn := func(seq uint64) Delivery {
		d := audit(boothA, seq)
		d.Body = bytes.Replace(d.Body, []byte(`"backlog"`), []byte(`"express"`), 1)
		return d
	}
	var ds []Delivery
	for seq := range uint64(mostRejects) {
		ds = append(ds, torn(seq+1))
	}
	mustAdd(t, s, ds...)
	for range 2 {
		if r := mustReceipt(t, s, boothA); len(r.Reject) != mostRejects {
			t.Fatalf("%d of %d refusals are told", len(r.Reject), mostRejects)
		}
	}
	const all = 3 * mostRejects
	ds = nil
	for seq := uint64(mostRejects + 1); seq <= all; seq++ {
		ds = append(ds, torn(seq))
	}
	mustAdd(t, s, ds...)
	told := make(map[uint64]bool)
	const turns = 5 // half a receipt each, until the lower ones are through
	for range turns {
		r := mustReceipt(t, s, boothA)
		if len(r.Reject) != mostRejects || r.Upto != all {
			t.Fatalf("%d refusals below %d are told", len(r.Reject), r.Upto)
		}
		one := make(map[uint64]bool)
		for _, x := range r.Reject {
			one[x.Seq], told[x.Seq] = true, true
		}
		if len(one) != mostRejects || !one[all] {
			t.Errorf("a receipt names %d of %d once, the highest: %v", len(one), mostRejects, one[all])
		}
		if _, err := contract.EncodeReceipt(contract.Receipt{Epoch: r.Epoch, Upto: r.Upto, Reject: r.Reject, At: noon}); err != nil {
			t.Error(err)
		}
	}
	if len(told) != all {
		t.Errorf("%d of %d refusals were told in %d receipts", len(told), all, turns)
	}
}
