package receiver

import (
	"testing"
	"time"

	"boothd/agent/contract"
)

const (
	epochB = "01931e00-0000-7000-8000-00000000000b"
	epochC = "01931e00-0000-7000-8000-00000000000c"
)

// A booth hears of the journal that it tells something new of. What comes again of
// a former one, late, turns nothing back: the booth would take no receipt for its
// own until its next event. It would take none either where the last of the former
// one comes behind the first of its own: what comes again of that turns it on.
func TestARepetitionTurnsNoReceiptBack(t *testing.T) { each(t, testRepetition) }

func testRepetition(t *testing.T, fresh func() string) {
	of := func(epoch string, seq uint64) Delivery {
		d := audit(boothA, seq)
		d.Body = event(boothA, epoch, seq)
		return d
	}
	refused := func(epoch string, seq uint64) Delivery {
		d := of(epoch, seq)
		d.Topic = contract.EventTopic(boothA, contract.ClassCrossing)
		return d
	}
	wrong := refused(epochA, 3)
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
		{"the old one is refused, for the first time", []Delivery{refused(epochA, 6)}, epochA},
		{"the new one again", []Delivery{of(epochB, 1)}, epochB},
		{"the old one again, after that", []Delivery{of(epochA, 5), wrong, forged}, epochB},
		{"the last of the old one, before the new one again", []Delivery{of(epochA, 7), of(epochB, 1)}, epochB},
		{"the last of the old one, after the new one again", []Delivery{of(epochB, 4), of(epochA, 8)}, epochB},
		{"the new one is refused", []Delivery{refused(epochB, 5)}, epochB},
		{"the last of the old one", []Delivery{of(epochA, 9)}, epochA},
		{"what was refused of the new one, again", []Delivery{refused(epochB, 5)}, epochB},
		{"a third, and the new one again", []Delivery{of(epochC, 1), of(epochB, 4)}, epochC},
		{"the last of the new one, now old", []Delivery{of(epochB, 6)}, epochB},
		{"both again", []Delivery{of(epochC, 1), of(epochB, 6), of(epochA, 9)}, epochC},
		{"the new one and the oldest again", []Delivery{of(epochB, 6), of(epochA, 9)}, epochC},
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

// The end of a former journal may come by a receiver whose clock is ahead.
func TestARepetitionTurnsWhateverTheClock(t *testing.T) {
	db := newPostgres(t)
	ahead, other := openStore(t, db), openStore(t, db)
	of := func(epoch string, seq uint64, at time.Time) Delivery {
		return Delivery{Topic: contract.EventTopic(boothA, contract.ClassAudit), Body: event(boothA, epoch, seq), At: at}
	}
	mustAdd(t, other, of(epochA, 1, noon), of(epochB, 1, noon))
	mustAdd(t, ahead, of(epochA, 2, noon.Add(time.Minute)))
	mustAdd(t, other, of(epochB, 1, noon.Add(time.Second)))
	if r := mustReceipt(t, ahead, boothA); r.Epoch != epochB {
		t.Errorf("receipt of %s", r.Epoch)
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
