package main

import (
	"fmt"
	"strings"

	"boothd/agent/passage"
)

// documents pairs what was read with what the lists say of it.
func documents(read []passage.Document, facts []passage.DocumentFact) (out []string) {
	for i, d := range read {
		s := fmt.Sprintf("token %s", d.Token)
		if d.CheckFailed {
			s = "one whose check digits are wrong"
		}
		if i < len(facts) && !d.CheckFailed {
			if f := facts[i]; f.Found {
				s += fmt.Sprintf(" is card %s: %s", f.Card, cardFact(f.Fact))
			} else {
				s += ": in no list"
			}
		}
		out = append(out, s)
	}
	return out
}

// marks tells what was scanned of one kind.
func marks(kind string, all []passage.Mark, facts func(i int) string) (out []string) {
	for i, m := range all {
		s := fmt.Sprintf("%s token %s", kind, m.Token)
		if m.Malformed {
			s = kind + " whose pattern or check digit is wrong"
		} else if said := facts(i); said != "" {
			s += ": " + said
		}
		out = append(out, s)
	}
	return out
}

// trade tells truck and load, as scanned and as the lists have them.
func trade(t *passage.Trade, f *passage.TradeFacts) (out []string) {
	if f == nil {
		f = new(passage.TradeFacts)
	}
	nothing := func(int) string { return "" }
	out = append(out, marks("carrier", t.Carriers, func(i int) string { return traderAt(f.Carriers, i) })...)
	out = append(out, marks("importer", t.Importers, nothing)...)
	out = append(out, marks("cargo", t.Cargo, nothing)...)
	out = append(out, marks("trip", t.Trips, nothing)...)
	out = append(out, marks("container", t.Containers, func(i int) string {
		if i < len(f.Containers) {
			return container(f.Containers[i])
		}
		return ""
	})...)
	out = append(out, marks("seal", t.Seals, nothing)...)
	switch {
	case t.Trailer && t.Empty:
		out = append(out, "a trailer was seen, the officer says that it is empty")
	case t.Trailer:
		out = append(out, "a trailer was seen")
	case t.Empty:
		out = append(out, "the officer says that it is empty")
	}
	for _, x := range f.Importers {
		out = append(out, fmt.Sprintf("looked up: importer token %s: %s", x.Token, trader(x)))
	}
	for _, x := range f.Trips {
		out = append(out, trip(x)...)
	}
	if out == nil {
		return []string{"nothing scanned"}
	}
	return out
}

func traderAt(all []passage.Trader, i int) string {
	if i < len(all) {
		return trader(all[i])
	}
	return ""
}

func trader(t passage.Trader) string {
	if !t.Found {
		return "in no list"
	}
	s := fmt.Sprintf("%s, programmes %s", statusWord(t.Status), dash(strings.Join(t.Programs, " ")))
	if !t.ValidUntil.IsZero() {
		s += ", valid until " + date(t.ValidUntil)
	}
	return s
}

// trip tells one pre-arrival record.
func trip(t passage.Trip) []string {
	s := fmt.Sprintf("announced: trip token %s of carrier %s, %d shipments, %d containers", t.Token, t.Carrier, len(t.Shipments), len(t.Containers))
	for _, x := range []struct {
		is   bool
		word string
	}{
		{t.Empty, "empty"}, {t.Trailer, "with a trailer"}, {t.SealNeeded && !t.HighSeal, "sealed"}, {t.HighSeal, "with a high-security seal"},
		{t.Screening, "screening required"},
	} {
		if x.is {
			s += ", " + x.word
		}
	}
	if !t.ValidUntil.IsZero() {
		s += fmt.Sprintf(", from %s to %s", stamp(t.ValidFrom), stamp(t.ValidUntil))
	}
	out := []string{s}
	for _, x := range t.Shipments {
		eligible, goods := "eligible for FAST (FLE)", "goods that FAST takes"
		if !x.Eligible {
			eligible = "not eligible for FAST"
		}
		if !x.Goods {
			goods = "goods that FAST does not take"
		}
		out = append(out, fmt.Sprintf("  shipment %s of importer %s: %s, %s", x.Cargo, dash(string(x.Importer)), eligible, goods))
	}
	return out
}

func container(c passage.Container) string {
	if !c.Found {
		return "in no list"
	}
	words := [...]string{"status unknown", "nothing against it", "prescreened", "ON HOLD", "DO NOT RELEASE"}
	s := fmt.Sprintf("status unknown (%d)", c.Status)
	if int(c.Status) < len(words) {
		s = words[c.Status]
	}
	if c.Seal != "" {
		s += fmt.Sprintf(", seal token %s of class %s", c.Seal, dash(c.SealClass))
	}
	if c.SizeType != "" {
		s += ", size and type " + c.SizeType
	}
	if !c.ValidUntil.IsZero() {
		s += ", valid until " + date(c.ValidUntil)
	}
	return s
}

// session tells a kiosk's questions and answers.
func session(s *passage.Session, good int) []string {
	party := "party not stated"
	if s.Party > 0 {
		party = fmt.Sprintf("party of %d, %d of it before without objection", s.Party, good)
	}
	goods := "not asked for goods yet"
	switch {
	case s.Answered && s.Declared:
		goods = "declares goods"
	case s.Answered:
		goods = "declares no goods"
	}
	out := []string{party + ", " + goods}
	if s.TimedOut {
		out[0] += ", out of time"
	}
	for _, v := range s.Verdicts {
		seal, whose := "", ""
		if !v.Sealed {
			seal = ", NOT SEALED with the matcher's key"
		}
		if v.Nonce != s.Nonce {
			whose = ", of another session"
		}
		out = append(out, fmt.Sprintf("face: %s for card %s, made %s before it came%s%s", v.Result, v.Card, span(v.ReceivedAt.Sub(v.ProducedAt)), seal, whose))
	}
	if s.Waited {
		out = append(out, "face: no verdict came in time")
	}
	return out
}
