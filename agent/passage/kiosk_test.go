package passage

import (
	"fmt"
	"testing"
	"time"
)

// stand is a kiosk in a test: inputs a while apart, each with a fresh id.
type stand struct {
	*Kiosk
	t   *testing.T
	now time.Time
	n   int
}

func newStand(t *testing.T) *stand { return &stand{Kiosk: NewKiosk(false), t: t, now: noon} }

func (s *stand) do(after time.Duration, in Input) Step {
	s.now, s.n = s.now.Add(after), s.n+1
	in.At, in.NewID, in.NewNonce = s.now, fmt.Sprintf("p%d", s.n), fmt.Sprintf("n%d", s.n)
	return s.Step(in)
}

func (s *stand) verdict(result string) Input {
	ev := s.Evidence()
	return Input{Kind: VerdictIn, Verdict: Verdict{Passage: ev.ID, Card: "c1", Nonce: ev.Session.Nonce, Result: result, ProducedAt: s.now, Sealed: true}}
}

func card(t Token) Input { return Input{Kind: CardRead, Card: Card{Token: t}} }

func TestKioskSession(t *testing.T) {
	s := newStand(t)
	if st := s.do(0, Input{Kind: PartyStated, Count: 1}); s.Active() || !st.Dropped {
		t.Error("an answer without a card begins a session")
	}
	st := s.do(time.Second, card("c1"))
	if !st.Started || !st.Changed || !s.Active() || s.Stuck() || s.Closed() || st.WakeAt != s.now.Add(sessionQuiet) {
		t.Fatalf("%+v", st)
	}
	first := s.Evidence()
	s.do(time.Second, card("c1")) // held a little longer
	s.do(time.Second, Input{Kind: PartyStated, Count: 1})
	if st := s.do(time.Second, Input{Kind: PartyStated, Count: 1}); st.Changed {
		t.Error("said twice, heard twice")
	}
	st = s.do(time.Second, Input{Kind: Declare})
	if st.WakeAt != s.now.Add(verdictWait) {
		t.Errorf("waits for the matcher until %v, want %v", st.WakeAt, s.now.Add(verdictWait))
	}
	if st := s.do(0, Input{Kind: Declare}); st.Changed {
		t.Error("answered twice, heard twice")
	}
	if st = s.do(time.Second, s.verdict(BioMatch)); !st.Changed || s.Evidence().State != Acted || st.WakeAt != s.now.Add(receiptWait) {
		t.Fatalf("%+v in state %d", st, s.Evidence().State)
	}
	for _, late := range []Input{card("c2"), {Kind: Declare, Yes: true}, s.verdict(BioNo)} {
		if st := s.do(0, late); !st.Dropped || st.Changed {
			t.Errorf("%d after the result: %+v", late.Kind, st)
		}
	}
	if st = s.do(receiptWait, Input{}); st.Ended == nil || st.How != Cleared || s.Active() {
		t.Fatalf("%+v", st)
	}
	if len(first.Cards) != 1 || first.Session.Party != 0 || len(first.Session.Verdicts) != 0 {
		t.Error("evidence that was given out has changed")
	}
}

// Whatever one traveller leaves behind, the next one's session has nothing of it.
func TestKioskLeavesNothingToTheNext(t *testing.T) {
	for name, leave := range map[string]func(s *stand) Step{
		"walked through": func(s *stand) Step {
			s.do(0, Input{Kind: PartyStated, Count: 1})
			s.do(0, Input{Kind: Declare, Yes: true})
			s.do(0, s.verdict(BioMatch))
			return s.do(time.Second, Input{Kind: SessionOver})
		},
		"gave up":     func(s *stand) Step { return s.do(time.Second, Input{Kind: SessionOver}) },
		"walked away": func(s *stand) Step { return s.do(sessionQuiet, Input{}) },
		"never stopped": func(s *stand) (st Step) {
			for i := range 20 {
				if st = s.do(20*time.Second, Input{Kind: PartyStated, Count: 1 + i%2}); st.Ended != nil {
					return st
				}
			}
			return st
		},
	} {
		s := newStand(t)
		s.do(0, card("c1"))
		s.do(0, Input{Kind: CardUnread})
		s.do(0, Input{Kind: DocumentRead, Document: Document{Token: "d"}})
		s.do(0, Input{Kind: PressRefer})
		st := leave(s)
		if st.Ended == nil || s.Active() || (st.How == Cleared) != (name == "walked through") || (st.Ended.Session.TimedOut == (st.How == Cleared)) {
			t.Errorf("%s: %+v", name, st)
			continue
		}
		if now := s.now.Sub(noon); now > sessionLimit+time.Minute {
			t.Errorf("%s: lasted %v", name, now)
		}
		if ev := s.Evidence(); ev.ID != "" || ev.Cards != nil || ev.Session != nil {
			t.Errorf("%s: between sessions there is %+v", name, ev)
		}
		s.do(time.Second, card("c2"))
		ev := s.Evidence()
		if ev.ID == st.Ended.ID || len(ev.Cards) != 1 || ev.Cards[0].Token != "c2" || ev.Unreadable != 0 || ev.Documents != nil || ev.Refers != 0 ||
			ev.Session.Nonce == st.Ended.Session.Nonce || ev.Session.Party != 0 || ev.Session.Answered || ev.Session.Verdicts != nil {
			t.Errorf("%s: the next one finds %+v %+v", name, ev, ev.Session)
		}
	}
}

// The matcher is waited for, not forever; a verdict for somebody else is no
// answer.
func TestKioskDoesNotWaitForever(t *testing.T) {
	s := newStand(t)
	s.do(0, card("c1"))
	s.do(0, Input{Kind: PartyStated, Count: 1})
	s.do(0, Input{Kind: Declare})
	stray := s.verdict(BioMatch)
	stray.Verdict.Nonce = "another"
	if s.do(time.Second, stray); s.Evidence().State != AtBooth {
		t.Fatal("a stray verdict is an answer")
	}
	if st := s.do(verdictWait, Input{}); !st.Changed || s.Evidence().State != Acted || !s.Evidence().Session.Waited {
		t.Errorf("%+v", st)
	}
	// What a lane without an officer may still do: refer.
	if st := s.do(0, Input{Kind: PressRefer}); !st.Changed || s.Evidence().Refers != 1 {
		t.Errorf("%+v", st)
	}
}

func TestKioskIsBounded(t *testing.T) {
	s := newStand(t)
	s.do(0, card("c0"))
	for i := range 200 {
		s.do(0, card(Token(fmt.Sprint("c", i))))
		s.do(0, Input{Kind: DocumentRead, Document: Document{Token: Token(fmt.Sprint("d", i))}})
		v := s.verdict(BioPoor)
		v.Verdict.Nonce = "x" // or the session would be complete
		s.do(0, v)
		s.do(0, Input{Kind: PartyStated, Count: partyMost + 1 + i})
	}
	ev := s.Evidence()
	if ev.room(cardWeight) || len(ev.Cards) < 5 || len(ev.Documents) < 5 || !ev.Ambiguous || len(ev.Session.Verdicts) != verdictsMost || ev.Session.Party != 0 {
		t.Errorf("%d cards, %d documents, %d verdicts, party of %d", len(ev.Cards), len(ev.Documents), len(ev.Session.Verdicts), ev.Session.Party)
	}
	if st := s.do(0, card("")); st.Changed {
		t.Error("a card without a number")
	}
}

// Closing takes effect between sessions.
func TestKioskClosesBetweenSessions(t *testing.T) {
	s := newStand(t)
	s.do(0, card("c1"))
	s.do(0, Input{Kind: PressOpenClose})
	if s.Closed() || s.Evidence().Closed {
		t.Error("closed under a traveller")
	}
	s.do(0, Input{Kind: SessionOver})
	if !s.Closed() {
		t.Error("not closed after the session")
	}
	s.do(0, card("c2"))
	if !s.Evidence().Closed {
		t.Error("the next session does not know")
	}
	if s = newStand(t); !s.do(0, Input{Kind: PressOpenClose}).Changed || !s.Closed() {
		t.Error("a free kiosk closes at once")
	}
}
