package receiver

import (
	"testing"
	"time"

	"boothd/agent/contract"
)

const epochB = "01931e00-0000-7000-8000-00000000000b"

// A booth hears of the journal that it tells something new of. What comes again of
// a former one, late, turns nothing back: the booth would take no receipt for its
// own until its next event.
func TestARepetitionTurnsNoReceiptBack(t *testing.T) { each(t, testRepetition) }

func testRepetition(t *testing.T, fresh func() string) {
	of := func(epoch string, seq uint64) Delivery {
		d := audit(boothA, seq)
		d.Body = event(boothA, epoch, seq)
		return d
	}
	wrong := of(epochA, 3)
	wrong.Topic = contract.EventTopic(boothA, contract.ClassCrossing)
	forged := said(1, contract.Stopped{Reason: "other"})
	s, db := newStore(t, fresh())
	for i, step := range []struct {
		what  string
		comes []Delivery
		want  string
	}{
		{"a journal", []Delivery{of(epochA, 1), of(epochA, 2), wrong}, epochA},
		{"a new one", []Delivery{of(epochB, 1)}, epochB},
		{"the old one again", []Delivery{of(epochA, 2)}, epochB},
		{"the old one again, with the new one", []Delivery{of(epochB, 2), of(epochA, 1)}, epochB},
		{"what was refused, again", []Delivery{wrong}, epochB},
		{"other bytes of a number that is taken", []Delivery{forged}, epochB},
		{"the last of the old one, with the new one", []Delivery{of(epochB, 3), of(epochA, 4)}, epochB},
		{"the old disk is put in again", []Delivery{of(epochA, 5)}, epochA},
		{"the new one goes on, and the old one comes again", []Delivery{of(epochB, 4), of(epochA, 5)}, epochB},
		{"the old one is refused, for the first time", []Delivery{func() Delivery { d := wrong; d.Body = event(boothA, epochA, 6); return d }()}, epochA},
	} {
		at := noon.Add(time.Duration(i) * time.Minute)
		for j := range step.comes {
			step.comes[j].At = at
		}
		mustAdd(t, s, step.comes...)
		if r := mustReceipt(t, s, boothA); r.Epoch != step.want {
			t.Errorf("%s: the receipt is of %s, want %s", step.what, r.Epoch, step.want)
		}
		if again, err := Open(t.Context(), db); err != nil {
			t.Fatal(err)
		} else {
			if r := mustReceipt(t, again, boothA); r.Epoch != step.want {
				t.Errorf("%s: after a new start the receipt is of %s, want %s", step.what, r.Epoch, step.want)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if st := standing(t, db); st.Epoch != step.want {
			t.Errorf("%s: the board tells of %s, want %s", step.what, st.Epoch, step.want)
		}
	}
}

// A booth whose journal is full of holes needs its receipts most: what is left
// out is news of it, too.
func TestWhatIsLeftOutIsNews(t *testing.T) { each(t, testLeftOut) }

func testLeftOut(t *testing.T, fresh func() string) {
	s, _ := newStore(t, fresh())
	var ds []Delivery
	for n := range uint64(mostIslands) {
		ds = append(ds, audit(boothA, 3+2*n))
	}
	mustAdd(t, s, ds...)
	other := audit(boothA, 1)
	other.Body = event(boothA, epochB, 1)
	mustAdd(t, s, other)
	last := audit(boothA, 5*mostIslands)
	last.At = noon.Add(time.Minute)
	if h := mustAdd(t, s, last); h[boothA].Later != 1 {
		t.Fatalf("%+v", h)
	}
	if r := mustReceipt(t, s, boothA); r.Epoch != epochA {
		t.Errorf("receipt of %s", r.Epoch)
	}
}
