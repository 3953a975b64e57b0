package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"boothd/agent/contract"
	"boothd/cmd/boothhq/internal/receiver"
)

// When a booth is late (mqtt contract, sections 1, 5 and 6).
const (
	silentAfter  = 3 * time.Minute  // health comes every minute
	backlogAfter = 5 * time.Minute  // an event without receipt goes again after one
	spreadAfter  = 10 * time.Minute // booths fetch a list within five of its notice, and build it
	// Two boxes under one name throw each other off the broker, which makes them
	// wait up to five minutes for the next try; a journal's last events may come in
	// behind the first of the one that follows it.
	twinsWithin = time.Hour
	behindMost  = 10 * time.Minute
	newsFor     = 24 * time.Hour // that a journal or a counter began anew is told

	mostText   = 80 // bytes shown of a word that a booth chose
	mostFaults = 20 // of a booth
)

// board is who is on, who is late and who lacks what, at one moment.
type board struct {
	At      time.Time  `json:"at"`
	Heard   time.Time  `json:"heard,omitzero"` // the latest of all that came in
	Deaf    bool       `json:"deaf"`           // nothing has come in from anybody for long: look at the receivers
	On      int        `json:"on"`
	Off     int        `json:"off"`
	Late    int        `json:"late"`
	Lacking int        `json:"lacking"`
	Booths  []boothRow `json:"booths"` // the most troubled first
}

// boothRow is one booth's line.
type boothRow struct {
	Booth     string    `json:"booth"`
	Port      string    `json:"port,omitempty"`
	Direction string    `json:"direction,omitempty"`
	Lane      string    `json:"lane,omitempty"`
	Version   string    `json:"v,omitempty"`
	Program   string    `json:"program,omitempty"` // digest of the file that runs there
	Simulated bool      `json:"simulated,omitempty"`
	On        bool      `json:"on"`
	Status    string    `json:"status"` // online, offline, stopping; never heard
	Conn      uint64    `json:"conn"`
	Since     time.Time `json:"since,omitzero"`
	Late      []fault   `json:"late,omitempty"`
	Lacks     []fault   `json:"lacks,omitempty"`
	Level     string    `json:"level,omitempty"` // healthy, degraded, out; as it said last
	HealthAt  time.Time `json:"health_at,omitzero"`
	HeardAt   time.Time `json:"heard_at,omitzero"` // its latest event
	Upto      uint64    `json:"upto"`
	Last      uint64    `json:"last"`
	Missing   uint64    `json:"missing"`
	Thinned   uint64    `json:"thinned"` // given up by the booth for want of room; not missing
	Rejected  uint64    `json:"rejected"`
	Conflicts uint64    `json:"conflicts"`
	Again     int64     `json:"again"`
	Epoch     string    `json:"epoch,omitempty"`   // of the journal heard last
	Journals  int       `json:"journals"`          // heard of in all
	EpochAt   time.Time `json:"epoch_at,omitzero"` // when the newest of several began; zero: there is one
	Falls     uint64    `json:"conn_falls"`        // times that a lower connection number followed
	Outbox    *outbox   `json:"outbox,omitempty"`
	Lists     []listRow `json:"lists,omitempty"`
}

// fault is one thing that is wrong: a word for programs and one for people.
type fault struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// outbox is what waits at the booth.
type outbox struct {
	Depth       int64 `json:"depth"`
	OldestS     int64 `json:"oldest_s"`
	Quarantined int64 `json:"quarantined"`
}

// listRow is one list at one booth.
type listRow struct {
	List       string `json:"list"`
	Generation uint64 `json:"gen"`
	Newest     uint64 `json:"newest"` // that any booth has
	AgeS       int64  `json:"age_s"`
}

// judgeBoard says who is on, late and lacking at now. It reads no clock and no
// store.
func judgeBoard(standings []receiver.Standing, now time.Time) board {
	b := board{At: now, Booths: make([]boothRow, 0, len(standings))}
	said := make([]states, len(standings))
	spread := make(map[string]uint64) // by list: the newest that some booth has had for long
	newest := make(map[string]uint64)
	for i, s := range standings {
		said[i] = readStates(s)
		for _, at := range []time.Time{s.HeardAt, s.StatusAt, said[i].healthAt} {
			b.Heard = later(b.Heard, at)
		}
		for kind, l := range said[i].lists {
			newest[kind] = max(newest[kind], l.Generation)
			if now.Sub(said[i].listsAt) >= spreadAfter {
				spread[kind] = max(spread[kind], l.Generation)
			}
		}
	}
	b.Deaf = len(standings) > 0 && now.Sub(b.Heard) > silentAfter
	for i, s := range standings {
		row := judgeBooth(s, said[i], newest, spread, now)
		b.count(row)
		b.Booths = append(b.Booths, row)
	}
	slices.SortStableFunc(b.Booths, func(x, y boothRow) int {
		return cmp.Or(cmp.Compare(y.trouble(), x.trouble()), cmp.Compare(x.Booth, y.Booth))
	})
	return b
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (b *board) count(row boothRow) {
	if row.On {
		b.On++
	} else {
		b.Off++
	}
	if len(row.Late) > 0 {
		b.Late++
	}
	if len(row.Lacks) > 0 {
		b.Lacking++
	}
}

// trouble orders the rows: off before late before lacking before well.
func (r boothRow) trouble() int {
	n := 0
	if !r.On {
		n += 4
	}
	if len(r.Late) > 0 {
		n += 2
	}
	if len(r.Lacks) > 0 {
		n++
	}
	return n
}

// states is what a booth's states say, where they can be read.
type states struct {
	info     contract.StateInfo
	health   *contract.StateHealth
	healthAt time.Time
	lists    map[string]contract.ListState // nil if it never said
	listsAt  time.Time
}

func readStates(s receiver.Standing) (out states) {
	if x, ok := s.State["info"]; ok && json.Unmarshal(x.Body, &out.info) != nil {
		out.info = contract.StateInfo{}
	}
	if x, ok := s.State["health"]; ok {
		out.healthAt = x.At
		var h contract.StateHealth
		if json.Unmarshal(x.Body, &h) == nil {
			out.health = &h
		}
	}
	if x, ok := s.State["lists"]; ok {
		var l contract.StateLists
		if json.Unmarshal(x.Body, &l) == nil {
			out.lists, out.listsAt = make(map[string]contract.ListState), x.At
			for _, one := range l.Lists {
				if slices.Contains(contract.ListKinds(), one.Kind) {
					out.lists[one.Kind] = one
				}
			}
		}
	}
	return out
}

// judgeBooth judges one booth.
func judgeBooth(s receiver.Standing, said states, newest, spread map[string]uint64, now time.Time) boothRow {
	row := boothRow{
		Booth: s.Booth, Port: clip(said.info.Port), Direction: clip(said.info.Direction), Lane: clip(said.info.Lane), Version: clip(s.Version), Program: clip(said.info.Program),
		Simulated: said.info.Simulated, On: s.Status == contract.Online, Status: cmp.Or(s.Status, "never heard"), Conn: s.Conn, Since: s.StatusAt,
		HealthAt: said.healthAt, HeardAt: s.HeardAt, Upto: s.Upto, Last: s.Last, Missing: s.Missing, Thinned: s.Thinned, Rejected: s.Rejected, Conflicts: s.Conflicts, Again: s.Again,
		Epoch: s.Epoch, Journals: s.Journals.Count, Falls: s.Falls.Count,
	}
	if row.On {
		// The connection may be newer than what it said last.
		if quiet := now.Sub(later(said.healthAt, s.StatusAt)); quiet > silentAfter {
			row.Late = append(row.Late, fault{"silent", "says it is on, and nothing of its health for " + span(quiet)})
		}
	}
	if h := said.health; h != nil {
		row.Level = clip(h.Level)
		row.Simulated = row.Simulated || h.Simulated
		row.Outbox = &outbox{h.Outbox.Depth, h.Outbox.OldestS, h.Outbox.Quarantined}
		if oldest := time.Duration(h.Outbox.OldestS) * time.Second; h.Outbox.Depth > 0 && h.Outbox.OldestS < 1e9 && oldest > backlogAfter {
			row.Late = append(row.Late, fault{"backlog", fmt.Sprintf("%d events wait, the oldest for %s", h.Outbox.Depth, span(oldest))})
		}
		row.Lacks = healthFaults(h)
	}
	if s.Missing > 0 {
		row.Lacks = append(row.Lacks, fault{"events", fmt.Sprintf("%d events below its number %d are not here", s.Missing, s.Last)})
	}
	if s.Rejected > 0 {
		row.Lacks = append(row.Lacks, fault{"rejected", fmt.Sprintf("%d events refused", s.Rejected)})
	}
	if s.Conflicts > 0 {
		row.Lacks = append(row.Lacks, fault{"conflicts", fmt.Sprintf("%d times other bytes under a number that was taken", s.Conflicts)})
	}
	row.identity(s, now)
	row.lists(said, newest, spread)
	row.Lacks = row.Lacks[:min(len(row.Lacks), mostFaults)]
	return row
}

// identity adds what tells of a second box under the name, or of one whose
// store was lost or put back. Two boxes take turns: of their journals the older
// goes on behind the newer, and their connection numbers fall again and again.
func (r *boothRow) identity(s receiver.Standing, now time.Time) {
	j, f := s.Journals, s.Falls
	recent := func(at time.Time, within time.Duration) bool { return !at.IsZero() && now.Sub(at) < within }
	journals := recent(j.Other, twinsWithin) && recent(j.HeardAt, twinsWithin) && j.Other.Sub(j.BeganAt) > behindMost
	numbers := recent(f.At, twinsWithin) && !f.Before.IsZero() && f.At.Sub(f.Before) < twinsWithin
	if journals || numbers {
		r.Lacks = append(r.Lacks, fault{"twins", "two boxes speak under its name: take one away, and its certificate"})
	}
	if j.Count > 1 {
		r.EpochAt = j.BeganAt
		if !journals && recent(j.BeganAt, newsFor) {
			r.Lacks = append(r.Lacks, fault{"journal", "its journal began anew at " + when(j.BeganAt) + ": what the old one had not sent is there alone"})
		}
	}
	if !numbers && recent(f.At, newsFor) {
		r.Lacks = append(r.Lacks, fault{"counter", fmt.Sprintf("its connections were counted anew at %s, %d now: its status counts from %d on again", when(f.At), f.Conn, s.Conn)})
	}
}

// healthFaults is what the booth itself says that it lacks.
func healthFaults(h *contract.StateHealth) (out []fault) {
	if h.Level == "out" {
		out = append(out, fault{"out", "its lane does not decide"})
	}
	for _, d := range h.Devices {
		if !d.Online {
			out = append(out, fault{"device", "device " + clip(d.Name) + " is away"})
		}
	}
	if q := h.Clock.Quality; q == "unset" || q == "restored" {
		out = append(out, fault{"clock", "its clock is " + q})
	}
	if h.Outbox.Quarantined > 0 {
		out = append(out, fault{"quarantine", fmt.Sprintf("%d events in its quarantine", h.Outbox.Quarantined)})
	}
	for _, l := range h.Lists {
		if l.AgeS < 0 && slices.Contains(contract.ListKinds(), l.Kind) {
			out = append(out, fault{"list", "has no list of " + l.Kind})
		}
	}
	return out
}

// lists adds the booth's lists, and those in which it is behind others.
func (r *boothRow) lists(said states, newest, spread map[string]uint64) {
	for _, kind := range contract.ListKinds() {
		l, ok := said.lists[kind]
		if !ok {
			continue
		}
		r.Lists = append(r.Lists, listRow{kind, l.Generation, newest[kind], l.AgeS})
		if l.Generation < spread[kind] {
			r.Lacks = append(r.Lacks, fault{"list", fmt.Sprintf("list of %s is generation %d, others have had %d for ten minutes", kind, l.Generation, spread[kind])})
		}
	}
}

// span is a duration as people say it.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 72*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// clip bounds what is shown of a word that a booth chose.
func clip(s string) string {
	if len(s) <= mostText {
		return s
	}
	cut := mostText
	for cut > 0 && s[cut]&0xC0 == 0x80 { // not within a letter
		cut--
	}
	return s[:cut] + "…"
}
