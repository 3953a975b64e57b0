package contract

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"boothd/agent/passage"
)

// Match says how closely a token stands for the subject of a lookout.
type Match uint8

const (
	// MatchExact: the subject as listed. For a plate, with its jurisdiction;
	// without, if the lookout names none.
	MatchExact Match = iota + 1
	// MatchBare: the plate without the jurisdiction that the lookout names.
	MatchBare
	// MatchFold: the plate with confusable characters folded.
	MatchFold
)

// Lookout is one lookout on one token. There is no free text in it and no
// name; a person's lookout is resolved at headquarters to cards and documents.
type Lookout struct {
	ID            string
	Version       uint64
	Match         Match
	Action        passage.Action
	Subject       string // PLATE, CARD, DOCUMENT, CONTAINER or CARRIER
	ReasonCode    string
	Caveat        string
	Agency        string
	Region        string
	OfficerSafety bool
	ValidFrom     time.Time // whole seconds UTC, mandatory
	ValidUntil    time.Time // mandatory, at most 90 days after ValidFrom
}

// Hit is the lookout as Decide takes it. Only an exact match is certain; one
// by another form of the plate is possible (reason 303).
func (l Lookout) Hit() passage.Hit {
	return passage.Hit{ID: l.ID, Version: l.Version, Action: l.Action, Subject: l.Subject, ReasonCode: l.ReasonCode,
		Caveat: l.Caveat, Agency: l.Agency, Region: l.Region, OfficerSafety: l.OfficerSafety,
		ValidFrom: l.ValidFrom, ValidUntil: l.ValidUntil, Possible: l.Match != MatchExact}
}

// LookoutRow holds every lookout on one token.
type LookoutRow struct {
	Lookouts []Lookout // ascending by ID, then Match; no repeats
}

// Subjects names what a lookout may be on, by its number on the wire from 1.
func Subjects() []string { return []string{"PLATE", "CARD", "DOCUMENT", "CONTAINER", "CARRIER"} }

// actions by their number on the wire from 1.
var actions = [...]passage.Action{passage.Stop, passage.Check, passage.Observe}

// maxLookoutSpan is the longest validity (domain reference 6).
const maxLookoutSpan = 90 * 24 * time.Hour

const lookoutOfficerSafety byte = 1

// Append appends the row's value to b: version, count, then the lookouts.
func (l LookoutRow) Append(b []byte) ([]byte, error) {
	w := newBuild()
	all := slices.SortedFunc(slices.Values(l.Lookouts), compareLookouts)
	if len(all) == 0 || len(all) > maxLookouts {
		w.fail("%d lookouts on one subject, want 1 to %d", len(all), maxLookouts)
	}
	w.byte(byte(len(all)))
	for i, o := range all {
		if i > 0 && compareLookouts(all[i-1], o) == 0 {
			w.fail("lookout %s is there twice", o.ID)
		}
		w.lookout(o)
	}
	return appendTo(b, w)
}

func (w *build) lookout(o Lookout) {
	if o.ID == "" || o.Version == 0 || o.ReasonCode == "" || o.Agency == "" {
		w.fail("lookout without id, version, reason_code or origin agency")
	}
	w.text("id", o.ID, maxLookoutID)
	w.b = binary.BigEndian.AppendUint64(w.b, o.Version)
	if o.Match < MatchExact || o.Match > MatchFold {
		w.fail("match %d is none", o.Match)
	}
	w.byte(byte(o.Match))
	action, subject := slices.Index(actions[:], o.Action), slices.Index(Subjects(), o.Subject)
	if action < 0 || subject < 0 {
		w.fail("action %q or subject %q is none", o.Action, o.Subject)
	}
	w.byte(byte(action + 1))
	w.byte(byte(subject + 1))
	w.byte(bitIf(o.OfficerSafety, lookoutOfficerSafety))
	w.text("reason_code", o.ReasonCode, maxReasonCode)
	w.text("caveat", o.Caveat, maxCaveat)
	w.text("agency", o.Agency, maxAgency)
	w.text("region", o.Region, maxRegion)
	w.time("valid_from", o.ValidFrom)
	w.time("valid_until", o.ValidUntil)
	if !spanOK(o.ValidFrom.Truncate(time.Second), o.ValidUntil.Truncate(time.Second)) {
		w.fail("validity is not within 90 days")
	}
}

// ParseLookoutRow is the inverse of Append, with ErrListRow for anything else.
func ParseLookoutRow(value []byte) (LookoutRow, error) {
	var l LookoutRow
	r := newCut(value)
	n := int(r.byte())
	if r.err == nil && (n == 0 || n > maxLookouts) {
		r.fail("%d lookouts, want 1 to %d", n, maxLookouts)
	}
	for i := 0; i < n && r.err == nil; i++ {
		o := r.lookout()
		if i > 0 && r.err == nil && compareLookouts(l.Lookouts[i-1], o) >= 0 {
			r.fail("lookouts are not in ascending order")
		}
		l.Lookouts = append(l.Lookouts, o)
	}
	if err := r.done(); err != nil {
		return LookoutRow{}, err
	}
	return l, nil
}

func (r *cut) lookout() Lookout {
	o := Lookout{ID: r.text(maxLookoutID), Version: binary.BigEndian.Uint64(r.take(8)), Match: Match(r.byte())}
	if o.Match < MatchExact || o.Match > MatchFold {
		r.fail("unknown match %d", o.Match)
	}
	if a := int(r.byte()); a >= 1 && a <= len(actions) {
		o.Action = actions[a-1]
	} else {
		r.fail("unknown action %d", a)
	}
	if s := int(r.byte()); s >= 1 && s <= len(Subjects()) {
		o.Subject = Subjects()[s-1]
	} else {
		r.fail("unknown subject %d", s)
	}
	o.OfficerSafety = r.flags(lookoutOfficerSafety) != 0
	o.ReasonCode, o.Caveat = r.text(maxReasonCode), r.text(maxCaveat)
	o.Agency, o.Region = r.text(maxAgency), r.text(maxRegion)
	o.ValidFrom, o.ValidUntil = r.time(), r.time()
	if r.err == nil && (o.ID == "" || o.Version == 0 || o.ReasonCode == "" || o.Agency == "" || !spanOK(o.ValidFrom, o.ValidUntil)) {
		r.fail("lookout lacks a mandatory part or is valid too long")
	}
	return o
}

func spanOK(from, until time.Time) bool {
	return until.After(from) && until.Sub(from) <= maxLookoutSpan
}

func compareLookouts(a, b Lookout) int {
	return cmp.Or(strings.Compare(a.ID, b.ID), cmp.Compare(a.Match, b.Match))
}
