package passage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drive steps a machine through a script of "seconds:input" words and returns
// the transcript of what changed.
func drive(t *testing.T, m *Machine, script string) string {
	t.Helper()
	kinds := map[string]Kind{"tick": Tick, "A+": ApproachOn, "A-": ApproachOff, "B+": BoothOn, "B-": BoothOff,
		"X+": ExitOn, "X-": ExitOff, "unread": CardUnread, "release": PressRelease, "refer": PressRefer, "taken": ReleaseTaken,
		"openclose": PressOpenClose, "goods": PressGoods}
	var out strings.Builder
	for i, word := range strings.Fields(script) {
		var sec int
		var what string
		if _, err := fmt.Sscanf(word, "%d:%s", &sec, &what); err != nil {
			t.Fatalf("script %q: %v", word, err)
		}
		in := Input{At: noon.Add(time.Duration(sec) * time.Second), NewID: fmt.Sprintf("p%d", i)}
		switch {
		case strings.HasPrefix(what, "card="):
			in.Kind, in.Card = CardRead, Card{Token: Token(what[5:])}
		case strings.HasPrefix(what, "plate="):
			in.Kind, in.Plate = FrontPlate, Plate{Bare: Token(what[6:]), Confidence: 0.9}
		default:
			k, ok := kinds[what]
			if !ok {
				t.Fatalf("script: %q", what)
			}
			in.Kind = k
		}
		s := m.Step(in)
		if s.Ended != nil {
			fmt.Fprintf(&out, "%s %s cards=%d", s.Ended.ID, s.How, len(s.Ended.Cards))
			if s.Ended.Presence {
				out.WriteString(" 209")
			}
			if s.Ended.Ambiguous {
				out.WriteString(" 213")
			}
			out.WriteString("\n")
		}
		if s.Dropped {
			out.WriteString("dropped " + what + "\n")
		}
	}
	return out.String()
}

// three vehicles, one after the other, soon after another one; two of them later.
const (
	three = "10:A+ 11:A- 12:B+ 13:release 13:taken 14:X+ 15:B- 16:X- 20:A+ 21:A- 22:B+ 23:release 23:taken 24:X+ 25:B- 26:X- 30:A+ 31:A- 32:B+ 33:release 33:taken 34:X+ 35:B- 36:X-"
	later = "30:A+ 31:A- 32:B+ 33:release 33:taken 34:X+ 35:B- 36:X- 40:A+ 41:A- 42:B+ 43:release 43:taken 44:X+ 45:B- 46:X-"
)

func TestMachine(t *testing.T) {
	for name, tc := range map[string]struct{ script, want string }{
		"a car":                           {"0:A+ 1:card=a 1:card=a 2:card=b 3:A- 4:B+ 6:release 6:taken 8:X+ 9:B- 10:X-", "p0 cleared cards=2\n"},
		"backs out":                       {"0:A+ 1:card=a 3:A- 22:tick 23:tick", "p0 aborted cards=1\n"},
		"slow between the loops":          {"0:A+ 3:A- 7:B+ 9:release 9:taken 10:X+ 11:B- 12:X-", "p0 cleared cards=0\n"},
		"hesitates on the approach":       {"0:A+ 3:A- 6:A+ 30:tick 31:B+ 32:release 32:taken 33:A- 34:X+ 35:B- 36:X-", "p0 cleared cards=0\n"},
		"reads without a vehicle":         {"0:card=a 1:plate=p 2:unread", "dropped card=a\ndropped plate=p\ndropped unread\n"},
		"reads after the act":             {"0:A+ 1:B+ 2:release 2:taken 3:card=z 4:X+ 5:card=z 6:B- 7:X-", "dropped card=z\ndropped card=z\np0 cleared cards=0\n"},
		"drives off without a release":    {"0:A+ 1:A- 2:B+ 4:X+ 5:B- 6:X-", "p0 cleared cards=0 209\n"},
		"referred, goes to secondary":     {"0:A+ 1:A- 2:B+ 3:refer 4:X+ 5:B- 6:X-", "p0 cleared cards=0\n"},
		"no approach loop":                {"0:B+ 2:release 2:taken 3:X+ 4:B- 5:X-", "p0 cleared cards=0 209\n"},
		"exit first":                      {"0:X+ 3:X-", "p0 cleared cards=0 209\n"},
		"exit loop stuck":                 {"0:A+ 1:A- 2:B+ 3:release 3:taken 4:X+ 5:B- 65:tick", "p0 timedout cards=0 209\n"},
		"a second car waits: its card":    {"0:A+ 1:card=a 2:A- 3:B+ 4:A+ 5:card=b 5:card=a 6:release 6:taken 7:X+ 8:B- 9:X- 10:card=b 11:B+ 12:A- 13:release 13:taken 14:X+ 15:B- 16:X-", "dropped card=b\np0 cleared cards=1\np11 cleared cards=1\n"},
		"a second car tailgates":          {"0:A+ 1:A- 2:B+ 3:release 3:taken 4:X+ 5:B- 6:B+ 7:X- 8:release 8:taken 9:X+ 10:B- 11:X-", "p0 cleared cards=0\np8 cleared cards=0 213\n"},
		"waits 121 s on the approach":     {"0:A+ 121:tick 122:A- 123:B+ 124:release 124:taken 125:X+ 126:B- 127:X-", "p0 cleared cards=0 209\n"},
		"stands for 16 min":               {"0:A+ 1:A- 2:B+ 960:tick 961:release 961:taken 962:X+ 963:B- 964:X-", "p0 cleared cards=0 209\n"},
		"released and stays: act again":   {"0:A+ 1:A- 2:B+ 3:release 3:taken 64:tick 65:taken 66:release 66:taken 67:X+ 68:B- 69:X-", "p0 cleared cards=0 209\n"},
		"vanishes from the booth":         {"0:A+ 1:A- 2:B+ 3:B- 64:tick", "p0 timedout cards=0 209\n"},
		"taken without a press is no act": {"0:A+ 1:A- 2:B+ 3:taken 4:X+ 5:B- 6:X-", "p0 cleared cards=0 209\n"},
		"a press without a vehicle":       {"0:release 1:refer 2:goods", ""},
		// Who comes after one that was lost may be taken for it, and the next one for him.
		"after one that drove off: two in doubt":      {"0:A+ 1:A- 2:B+ 4:X+ 5:B- 6:X- " + three, "p0 cleared cards=0 209\np6 cleared cards=0 213\np14 cleared cards=0 213\np22 cleared cards=0\n"},
		"after one that drove off, and an empty road": {"0:A+ 1:A- 2:B+ 4:X+ 5:B- 6:X- 10:A+ 11:A- 12:B+ 13:release 13:taken 14:X+ 15:B- 16:X- 36:A+ 37:A- 38:B+ 39:release 39:taken 40:X+ 41:B- 42:X-", "p0 cleared cards=0 209\np6 cleared cards=0 213\np14 cleared cards=0\n"},
		"one that rocks proves nothing":               {"0:A+ 1:A- 2:B+ 4:X+ 5:B- 6:X- 7:A+ 8:A- 8:A+ 8:A- 9:B+ 9:release 9:taken 9:X+ 9:B- 9:X- " + three, "p0 cleared cards=0 209\np6 cleared cards=0 213\np16 cleared cards=0 213\np24 cleared cards=0 213\np32 cleared cards=0\n"},
		"after one that backed out: one in doubt":     {"0:A+ 1:A- 21:tick " + later, "p0 aborted cards=0\np3 cleared cards=0 213\np11 cleared cards=0\n"},
		"a close line after one that drove off":       {"0:A+ 1:A- 2:B+ 4:X+ 5:B- 6:X- 10:A+ 12:B+ 13:release 13:taken 14:X+ 15:A- 15:B- 16:X- 17:A+ 18:A- 19:B+ 20:release 20:taken 21:X+ 22:B- 23:X- 24:A+ 25:A- 26:B+ 27:release 27:taken 28:X+ 29:B- 30:X-", "p0 cleared cards=0 209\np6 cleared cards=0 213\np14 cleared cards=0 213\np22 cleared cards=0 213\n"},
		"two in a row from a standing line":           {"0:A+ 1:A- 2:B+ 2:A+ 3:release 3:taken 4:X+ 5:B- 6:X- 7:A- 8:B+ 9:release 9:taken 10:X+ 11:B- 12:X-", "p0 cleared cards=0\np8 cleared cards=0\n"},
	} {
		if got := drive(t, NewMachine(false), tc.script); got != tc.want {
			t.Errorf("%s:\n%swant\n%s", name, got, tc.want)
		}
	}
}

func TestModeChangesOnlyBetweenPassages(t *testing.T) {
	m := NewMachine(true)
	drive(t, m, "0:A+ 1:openclose")
	if !m.Evidence().Closed || !m.Closed() {
		t.Error("opened under a vehicle")
	}
	drive(t, m, "2:A- 9:tick 22:tick")
	if m.Active() || m.Closed() {
		t.Error("not open once the lane is free")
	}
	drive(t, m, "30:openclose")
	if !m.Closed() {
		t.Error("a free lane must close at once")
	}
}

func TestPress(t *testing.T) {
	ev := Evidence{State: AtBooth, Releases: 1}
	twice := Evidence{State: AtBooth, Releases: 2}
	for _, tc := range []struct {
		ev   Evidence
		d    Decision
		want Act
	}{
		{ev, Decision{Outcome: Expedite}, Release},
		{ev, Decision{Outcome: Primary}, Release},
		{ev, Decision{Outcome: Primary, Ready: 2}, ReleaseAll},
		{ev, Decision{Outcome: Refer}, NoAct},
		{twice, Decision{Outcome: Refer}, Override},
		{twice, Decision{Outcome: Hold}, NoAct},
		{twice, Decision{Outcome: 9}, NoAct},
		{Evidence{State: Approach, Releases: 1}, Decision{Outcome: Expedite}, NoAct},
		{Evidence{State: AtBooth}, Decision{Outcome: Expedite}, NoAct},
	} {
		if got := Press(tc.ev, tc.d); got != tc.want {
			t.Errorf("Press(%+v, %v) = %d, want %d", tc.ev, tc.d.Outcome, got, tc.want)
		}
	}
}

func TestReadsMerge(t *testing.T) {
	m := NewMachine(false)
	at := func(k Kind, c Card, p Plate) Step {
		return m.Step(Input{At: noon, Kind: k, Card: c, Plate: p, NewID: "p"})
	}
	at(ApproachOn, Card{}, Plate{})
	for i, tc := range []struct {
		c       Card
		changed bool
	}{
		{Card{Token: "a", RSSIDBm: -70, Antenna: 1}, true},
		{Card{Token: "a", RSSIDBm: -60, Antenna: 2}, false},
		{Card{Token: "a", TID: "t", RSSIDBm: -90}, true},
		{Card{Token: "a", TID: "t"}, false},
		{Card{Token: "a", TID: "other", RSSIDBm: -99}, true},
	} {
		if s := at(CardRead, tc.c, Plate{}); s.Changed != tc.changed {
			t.Errorf("read %d: changed %t", i, s.Changed)
		}
	}
	if c := m.Evidence().Cards[0]; c.Reads != 5 || c.RSSIDBm != 0 && c.RSSIDBm != -60 || c.TID != "t" || !c.TIDConflict {
		t.Errorf("card %+v", c)
	}
	at(FrontPlate, Card{}, Plate{NoRead: true})
	at(FrontPlate, Card{}, Plate{Bare: "p", Confidence: 0.5})
	at(FrontPlate, Card{}, Plate{Bare: "p", Full: "f", Jurisdiction: "BC", Confidence: 0.4})
	at(FrontPlate, Card{}, Plate{NoRead: true})
	at(FrontPlate, Card{}, Plate{Bare: "q", Confidence: 0.3})
	if p := m.Evidence().Front; p.Bare != "p" || p.Full != "f" || p.Confidence != 0.5 || p.NoRead {
		t.Errorf("plate %+v", p)
	}
}

// Whatever happens on the road: one passage at a time, no read of one in
// another, and every passage ends once the road is empty and the limits passed.
func TestMachineOverRandomInputs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMachine(rapid.Bool().Draw(t, "closed"))
		now := noon
		owner := map[Token]string{} // each card is read once, within one passage
		open := ""
		check := func(s Step, id string) {
			if s.Ended != nil {
				if s.Ended.ID != open {
					t.Fatalf("ended %q, open was %q", s.Ended.ID, open)
				}
				for _, c := range s.Ended.Cards {
					if owner[c.Token] != s.Ended.ID {
						t.Fatalf("card %s of %q ended with %q", c.Token, owner[c.Token], s.Ended.ID)
					}
				}
				open = ""
			}
			if s.Started {
				if open != "" {
					t.Fatalf("started while %q is open", open)
				}
				open = m.Evidence().ID
			}
			if (open != "") != m.Active() {
				t.Fatalf("open %q, active %t", open, m.Active())
			}
			if m.Active() && s.WakeAt.IsZero() {
				t.Fatal("a passage without a limit")
			}
		}
		for i := range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(t, "ms")) * time.Millisecond)
			in := Input{At: now, Kind: Kind(rapid.IntRange(0, int(ReleaseTaken)+1).Draw(t, "kind")), NewID: fmt.Sprint("p", i)}
			in.Count = rapid.IntRange(-1, 9).Draw(t, "count")
			in.Card = Card{Token: Token(fmt.Sprint("c", i))}
			in.Plate = Plate{Bare: "p", Confidence: 0.5}
			s := m.Step(in)
			check(s, in.NewID)
			if in.Kind == CardRead && !s.Dropped {
				owner[in.Card.Token] = m.Evidence().ID
			}
		}
		for i, k := range []Kind{ApproachOff, BoothOff, ExitOff, Tick, Tick, Tick} {
			now = now.Add(20 * time.Minute)
			check(m.Step(Input{At: now, Kind: k, NewID: fmt.Sprint("end", i)}), "")
		}
		if m.Active() {
			t.Fatalf("a passage is open on an empty road: %+v", m.Evidence())
		}
	})
}
