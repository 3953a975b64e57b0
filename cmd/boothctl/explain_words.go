package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

// words tells a passage: each decision in a line, and the one asked for, else
// the last, with all it stood on.
func (s *story) words(one uint64) string {
	var b strings.Builder
	first, last := s.decisions[0], len(s.decisions)-1
	fmt.Fprintf(&b, "passage %s, began %s\n", s.passage, stamp(first.decided.Evidence.StartedAt))
	full := slices.IndexFunc(s.decisions, func(x crossing) bool { return x.Seq == one })
	if full < 0 {
		full = last
	}
	for i, x := range s.decisions {
		d := x.decided
		fmt.Fprintf(&b, "  %s  decision %d, event %d: %s, %s\n", d.Facts.Now.UTC().Format("15:04:05.000"), d.Revision, x.Seq, d.Decision.Outcome, code(d.Decision.Lead))
		if i == full {
			b.WriteString(indent(x.words()))
		}
	}
	if e := s.ended; e != nil {
		fmt.Fprintf(&b, "  %s  ended: %s after %s, %s%s\n", e.EndedAt.UTC().Format("15:04:05.000"), e.End, span(e.EndedAt.Sub(e.StartedAt)), e.Outcome, pressed(*e))
	} else {
		b.WriteString("  not ended yet\n")
	}
	return b.String()
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("      " + strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// words tells one decision with all it stood on.
func (x crossing) words() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	d, f := x.decided, x.decided.Facts
	row := func(what string, lines ...string) {
		for _, l := range lines {
			fmt.Fprintf(w, "%s\t%s\n", what, l)
			what = ""
		}
	}
	row("outcome", d.Decision.Outcome+": "+effect(d.Decision.Outcome))
	for i, c := range ordered(d.Decision) {
		what := "also"
		if i == 0 {
			what = "lead"
		}
		row(what, code(c)+": "+c.Words())
	}
	row("why it leads", whyLead(d.Decision))
	if d.Decision.Ready > 0 {
		row("ready", fmt.Sprintf("READY %d: nothing but the count is missing", d.Decision.Ready))
	}
	row("vehicle", vehicle(d.Evidence))
	row("plates", plates(d.Evidence)...)
	if s := onFile(f); s != "" {
		row("", s)
	}
	row("cards", cards(d.Evidence.Cards, f.Cards)...)
	row("documents", documents(d.Evidence.Documents, f.Documents)...)
	if t := d.Evidence.Trade; t != nil {
		row("truck and load", trade(t, f.Trade)...)
	}
	if s := d.Evidence.Session; s != nil {
		row("session", session(s, f.PartyGood)...)
	}
	row("officer", officer(d.Evidence))
	row("lists", lists(f.Lists, x.policy)...)
	row("booth", boothFacts(f))
	row("clock", fmt.Sprintf("%s, within %d ms", d.Clock.Quality, d.Clock.ErrMS))
	row("draw", draw(f.Draw, x.policy))
	row("policy", policy(d.Policy, x.policy)...)
	if x.alert != nil {
		row("LOOKOUT", lookout(*x.alert)...)
	}
	row("took", fmt.Sprintf("%d us from the deciding input to the decision", d.LatencyUS))
	row("headquarters", stateWord(x.State))
	row("again", again(x.verdict()))
	_ = w.Flush() // a Builder takes everything
	return b.String()
}

func effect(outcome string) string {
	switch outcome {
	case "EXPEDITE":
		return "the officer may release after the visual check"
	case "PRIMARY":
		return "ordinary examination by the officer"
	case "REFER":
		return "secondary is advised"
	}
	return "nobody moves on this signal"
}

// ordered gives the reasons with the lead first.
func ordered(d contract.Decision) []passage.Code {
	out := []passage.Code{d.Lead}
	for _, c := range d.Reasons {
		if c != d.Lead {
			out = append(out, c)
		}
	}
	return out
}

// whyLead says why of several reasons this one is shown.
func whyLead(d contract.Decision) string {
	switch {
	case len(d.Reasons) <= 1:
		return "it is the only reason"
	case d.Lead == passage.Eligible:
		return "nothing speaks against it; the others are remarks without effect"
	case d.Lead.Family() == passage.FamilySystem:
		return "what is wrong with the booth itself goes before cards, people and vehicle (domain reference 7.2)"
	case d.Lead.Family() == passage.FamilyOfficer:
		return "the officer and the draw go before the ordinary reasons (domain reference 7.2)"
	}
	return "of these it stands first in the order of precedence (domain reference 7.2)"
}

func vehicle(ev passage.Evidence) string {
	parts := []string{"not at the booth yet"}
	if ev.AtBooth {
		parts[0] = "at the booth"
	}
	for _, x := range []struct {
		is   bool
		word string
	}{
		{ev.Unreadable > 0, fmt.Sprintf("%d unreadable cards", ev.Unreadable)}, {ev.VehicleWrong, "of a class that does not belong here"},
		{ev.Ambiguous, "reads cannot be attributed to it alone"}, {ev.Presence, "a loop was out of order"},
		{ev.WrongWay, "it came the wrong way"}, {ev.Closed, "the lane was closed"},
	} {
		if x.is {
			parts = append(parts, x.word)
		}
	}
	return strings.Join(parts, "; ")
}

func plates(ev passage.Evidence) (out []string) {
	for _, p := range []struct {
		where string
		plate *passage.Plate
	}{{"front", ev.Front}, {"rear", ev.Rear}, {"keyed by the officer", ev.Keyed}} {
		switch {
		case p.plate == nil:
		case p.plate.NoRead:
			out = append(out, p.where+": seen and not read, by "+p.plate.Reader)
		default:
			out = append(out, fmt.Sprintf("%s: %s, confidence %s, token %s, by %s", p.where, jurisdiction(p.plate.Jurisdiction), confidence(p.plate.Confidence), dash(string(p.plate.Bare)), p.plate.Reader))
		}
	}
	if out == nil {
		return []string{"none read or keyed"}
	}
	return out
}

// onFile tells whether the vehicle is one of a member's; "" if none has any.
func onFile(f passage.Facts) string {
	switch {
	case f.VehicleLinked:
		return "on file for one of the members"
	case f.VehiclesOnFile:
		return "not one of those on file for the members"
	}
	return ""
}

func jurisdiction(s string) string {
	if s == "" {
		return "no province or state"
	}
	return s
}

func confidence(c float64) string {
	if c < 0 {
		return "not reported"
	}
	return fmt.Sprintf("%.2f", c)
}

// cards pairs what was read with what the lists say of it.
func cards(read []passage.Card, facts []passage.CardFact) (out []string) {
	for i, c := range read {
		out = append(out, fmt.Sprintf("token %s: read %d times by %s, antenna %d, %d dBm", c.Token, c.Reads, c.Reader, c.Antenna, c.RSSIDBm))
		if c.TIDConflict {
			out = append(out, "  its number came from two chips")
		}
		if i < len(facts) {
			out = append(out, "  "+cardFact(facts[i]))
		}
	}
	if out == nil {
		return []string{"none read"}
	}
	return out
}

func cardFact(f passage.CardFact) string {
	if !f.Found {
		return "in no list"
	}
	s := fmt.Sprintf("card %s, membership %s, programmes %s", statusWord(f.Card), statusWord(f.Membership), dash(strings.Join(f.Programs, " ")))
	if !f.ValidUntil.IsZero() {
		s += ", valid until " + date(f.ValidUntil)
	}
	if !f.CardUntil.IsZero() {
		s += ", card until " + date(f.CardUntil)
		if f.Extended {
			s += " (extended)"
		}
	}
	if f.Recent >= 0 {
		s += ", passed here " + span(millis(f.Recent)) + " before"
	}
	if f.Concurrent {
		s += ", in another lane at once"
	}
	return s
}

func statusWord(s passage.Status) string {
	words := [...]string{"unknown", "active", "suspended", "revoked", "pending", "issued", "superseded", "lost", "stolen"}
	if int(s) < len(words) {
		return words[s]
	}
	return fmt.Sprintf("unknown (%d)", s)
}

func officer(ev passage.Evidence) string {
	parts := []string{"occupants not counted"}
	if ev.Occupants > 0 {
		parts[0] = fmt.Sprintf("%d occupants counted", ev.Occupants)
	}
	for _, x := range []struct {
		is   bool
		word string
	}{
		{ev.Releases > 0, fmt.Sprintf("release pressed %d times", ev.Releases)}, {ev.Refers > 0, fmt.Sprintf("refer pressed %d times", ev.Refers)},
		{ev.Released, "released"}, {ev.Overridden, "against the advice"}, {ev.Declaration, "goods to declare"}, {ev.Goods, "commercial goods"},
	} {
		if x.is {
			parts = append(parts, x.word)
		}
	}
	return strings.Join(parts, ", ")
}

func lists(all []passage.List, pol *passage.Policy) (out []string) {
	for _, l := range all {
		s := l.Kind + " missing"
		if l.Generation > 0 {
			s = fmt.Sprintf("%s generation %d, vouched for %s before", l.Kind, l.Generation, span(millis(l.Age)))
			switch {
			case pol == nil:
			case l.Age > pol.HardAge:
				s += fmt.Sprintf(", over the hard limit of %s", span(millis(pol.HardAge)))
			case l.Age > pol.SoftAge:
				s += fmt.Sprintf(", over the soft limit of %s", span(millis(pol.SoftAge)))
			}
		}
		if l.Rejected {
			s += "; a newer one was refused"
		}
		out = append(out, s)
	}
	if out == nil {
		return []string{"none"}
	}
	return out
}

// boothFacts names what was wrong with the booth.
func boothFacts(f passage.Facts) string {
	var parts []string
	for _, x := range []struct {
		wrong bool
		word  string
	}{
		{!f.Config, "configuration contradictory"}, {!f.Key, "token key not loaded"}, {!f.Store, "store not answering"}, {f.Late, "over its time"},
		{!f.Readers, "card reader offline"}, {!f.LPR, "plate reader offline"}, {!f.Presence, "loops not readable"}, {!f.Signals, "a lamp not as told"},
	} {
		if x.wrong {
			parts = append(parts, x.word)
		}
	}
	if parts == nil {
		return "in order: key, store, readers, loops, lamps"
	}
	return strings.Join(parts, ", ")
}

func draw(n int, pol *passage.Policy) string {
	if pol == nil {
		return fmt.Sprintf("%d of 10000", n)
	}
	limit := pol.RandomRate * 10_000
	word := "not drawn"
	if float64(n) < limit {
		word = "drawn"
	}
	return fmt.Sprintf("%d of 10000; under %g is drawn: %s", n, limit, word)
}

func policy(digest string, p *passage.Policy) []string {
	if p == nil {
		return []string{digest, "  not kept any more"}
	}
	out := []string{digest, fmt.Sprintf("  %s lane into %s at %s, programmes %s, same card again within %s refers: %s, plate confidence from %g",
		p.Lane, p.Direction, p.Port, strings.Join(p.AcceptedPrograms, " "), span(millis(p.AntiPassbackFor)), yes(p.AntiPassback), p.PlateConfidence)}
	if p.Lane == passage.FAST {
		out = append(out, fmt.Sprintf("  traders must be %s, port takes part in FAST: %s, empty trucks may be expedited: %s", p.FAST, yes(p.FASTPort), yes(p.AllowEmpty)))
	}
	return out
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// lookout tells what only the watch desk, and whoever may read the journal,
// should know.
func lookout(a contract.LookoutAlert) []string {
	out := []string{fmt.Sprintf("for the watch desk alone: truly %s, led by %s; everybody else is shown what stands above", a.Decision.Outcome, code(a.Decision.Lead))}
	for _, h := range a.Hits {
		s := fmt.Sprintf("  %s version %d asks to %s: %s, %s, %s %s, from %s to %s", h.ID, h.Version, strings.ToLower(string(h.Action)), strings.ToLower(h.Subject), h.ReasonCode, h.Agency, h.Region, date(h.ValidFrom), date(h.ValidUntil))
		if h.Possible {
			s += ", by an uncertain reading"
		}
		if h.OfficerSafety {
			s += ", officer safety"
		}
		out = append(out, s)
	}
	return append(out, fmt.Sprintf("  real draw %d", a.Draw))
}

func again(verdict string) string {
	switch verdict {
	case "same":
		return "decided again from the record: the same, byte for byte"
	case "incomplete":
		return "cannot be decided again: its policy or its alert is not kept any more"
	}
	return "DECIDED AGAIN: OTHERWISE THAN RECORDED"
}

func millis(m passage.Millis) time.Duration { return time.Duration(m) * time.Millisecond }
