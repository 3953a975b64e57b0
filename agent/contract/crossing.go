package contract

import (
	"cmp"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"boothd/agent/passage"
)

// A decided crossing is encoded between the decision and the record that the
// green waits for, by a processor that has just woken up. It is written out
// here by hand, which takes a quarter of the time that the encoder needs to find
// its way through the types (product design, section 9: P2). What is rare in it
// is left to the encoder, and a test holds that both give the same bytes.

// members writes the members of an object, each with a comma behind it.
type members struct {
	b   []byte
	err error // the first
}

func (m *members) name(name string) {
	m.b = append(append(append(m.b, '"'), name...), `":`...)
}

func (m *members) text(name, value string) {
	m.name(name)
	m.word(value)
	m.b = append(m.b, ',')
}

// word writes a text alone. Most are tokens and words of ours, which need no escape.
func (m *members) word(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			quoted, err := jsontext.AppendQuote(m.b, s)
			m.b, m.err = quoted, cmp.Or(m.err, err)
			return
		}
	}
	m.b = append(append(append(m.b, '"'), s...), '"')
}

// some writes a text unless it is empty.
func (m *members) some(name, value string) {
	if value != "" {
		m.text(name, value)
	}
}

func (m *members) number(name string, n int64) {
	m.name(name)
	m.b = append(strconv.AppendInt(m.b, n, 10), ',')
}

func (m *members) flag(name string, is bool) {
	m.name(name)
	m.b = append(strconv.AppendBool(m.b, is), ',')
}

// instant writes a time. One that RFC 3339 cannot say is left to the encoder, to
// refuse it.
func (m *members) instant(name string, t time.Time) {
	if _, zone := t.Zone(); zone != 0 || t.Year() < 0 || t.Year() > 9999 {
		m.other(name, t)
		return
	}
	m.name(name)
	m.b = append(t.AppendFormat(append(m.b, '"'), time.RFC3339Nano), `",`...)
}

// share writes a part of one. What is written with an exponent, or is no number,
// is left to the encoder.
func (m *members) share(name string, f float64) {
	if f != 0 && (math.Abs(f) < 1e-6 || !(math.Abs(f) < 1e21)) {
		m.other(name, f)
		return
	}
	m.name(name)
	m.b = append(strconv.AppendFloat(m.b, f, 'f', -1, 64), ',')
}

// other writes what is rare as the encoder has it.
func (m *members) other(name string, v any) {
	b, err := json.Marshal(v)
	m.err = cmp.Or(m.err, err)
	m.name(name)
	m.b = append(append(m.b, b...), ',')
}

// end closes an object or array of which each part has a comma behind it, and
// puts a comma behind that.
func (m *members) end(by byte) {
	if last := len(m.b) - 1; m.b[last] == ',' {
		m.b[last] = by
	} else {
		m.b = append(m.b, by) // there is nothing in it
	}
	m.b = append(m.b, ',')
}

// array writes an array of what each writes with a comma behind it.
func array[T any](m *members, name string, all []T, each func(*members, *T)) {
	m.name(name)
	m.b = append(m.b, '[')
	for i := range all {
		each(m, &all[i])
	}
	m.end(']')
}

// record writes what inside writes as an object.
func record[T any](m *members, v *T, inside func(*members, *T)) {
	m.b = append(m.b, '{')
	inside(m, v)
	m.end('}')
}

// records is an array of them.
func records[T any](m *members, name string, all []T, inside func(*members, *T)) {
	array(m, name, all, func(m *members, v *T) { record(m, v, inside) })
}

// crossingRoom is more than most crossings need, bytes.
const crossingRoom = 2048

// encode gives the bytes that json.Marshal would.
func (c *CrossingDecided) encode() ([]byte, error) {
	m := members{b: make([]byte, 0, crossingRoom)}
	record(&m, c, crossing)
	return m.b[:len(m.b)-1], m.err
}

func crossing(m *members, c *CrossingDecided) {
	m.text("passage", c.Passage)
	m.number("revision", int64(c.Revision))
	m.name("decision")
	record(m, &c.Decision, decision)
	m.text("mode", c.Mode)
	m.name("evidence")
	record(m, &c.Evidence, evidence)
	m.name("facts")
	record(m, &c.Facts, facts)
	m.text("policy", c.Policy)
	m.name("clock")
	record(m, &c.Clock, clock)
	m.number("latency_us", c.LatencyUS)
}

func decision(m *members, d *Decision) {
	m.text("outcome", d.Outcome)
	m.number("lead", int64(d.Lead))
	array(m, "reasons", d.Reasons, func(m *members, c *passage.Code) { m.b = append(strconv.AppendInt(m.b, int64(*c), 10), ',') })
	if d.Ready != 0 {
		m.number("ready", int64(d.Ready))
	}
	if d.Silent {
		m.flag("silent", true)
	}
	if d.Caution {
		m.flag("caution", true)
	}
}

func evidence(m *members, e *passage.Evidence) {
	m.text("id", e.ID)
	m.number("state", int64(e.State))
	m.instant("started_at", e.StartedAt)
	m.flag("at_booth", e.AtBooth)
	records(m, "cards", e.Cards, card)
	m.number("unreadable", int64(e.Unreadable))
	for _, p := range []struct {
		name  string
		plate *passage.Plate
	}{{"front", e.Front}, {"rear", e.Rear}, {"keyed", e.Keyed}} {
		if p.plate != nil {
			m.name(p.name)
			record(m, p.plate, plate)
		}
	}
	m.number("occupants", int64(e.Occupants))
	m.number("releases", int64(e.Releases))
	m.number("refers", int64(e.Refers))
	m.flag("released", e.Released)
	m.flag("overridden", e.Overridden)
	m.flag("declaration", e.Declaration)
	m.flag("goods", e.Goods)
	m.flag("vehicle_wrong", e.VehicleWrong)
	m.flag("ambiguous", e.Ambiguous)
	m.flag("presence", e.Presence)
	m.flag("wrong_way", e.WrongWay)
	m.flag("closed", e.Closed)
	if e.Documents != nil {
		m.other("documents", e.Documents)
	}
	if e.Trade != nil {
		m.other("trade", e.Trade)
	}
	if e.Session != nil {
		m.other("session", e.Session)
	}
}

func card(m *members, c *passage.Card) {
	m.text("token", string(c.Token))
	m.some("tid", string(c.TID))
	m.text("reader", c.Reader)
	m.number("rssi_dbm", int64(c.RSSIDBm))
	m.number("antenna", int64(c.Antenna))
	m.number("reads", int64(c.Reads))
	m.flag("tid_conflict", c.TIDConflict)
}

func plate(m *members, p *passage.Plate) {
	m.some("full", string(p.Full))
	m.some("bare", string(p.Bare))
	m.some("fold", string(p.Fold))
	m.some("jurisdiction", p.Jurisdiction)
	m.share("confidence", p.Confidence)
	m.flag("no_read", p.NoRead)
	m.text("reader", p.Reader)
	if len(p.Candidates) > 0 {
		array(m, "candidates", p.Candidates, token)
	}
}

func token(m *members, t *passage.Token) {
	m.word(string(*t))
	m.b = append(m.b, ',')
}

func facts(m *members, f *passage.Facts) {
	m.instant("now", f.Now)
	m.number("clock", int64(f.Clock))
	m.flag("key", f.Key)
	m.flag("store", f.Store)
	m.flag("late", f.Late)
	m.flag("readers", f.Readers)
	m.flag("lpr", f.LPR)
	m.flag("presence", f.Presence)
	m.flag("signals", f.Signals)
	m.flag("config", f.Config)
	m.number("draw", int64(f.Draw))
	records(m, "lists", f.Lists, listFact)
	records(m, "cards", f.Cards, cardFact)
	m.flag("vehicles_on_file", f.VehiclesOnFile)
	m.flag("vehicle_linked", f.VehicleLinked)
	if len(f.Hits) > 0 {
		m.other("hits", f.Hits)
	}
	if f.Documents != nil {
		m.other("documents", f.Documents)
	}
	if f.Trade != nil {
		m.other("trade", f.Trade)
	}
	if f.PartyGood != 0 {
		m.number("party_good", int64(f.PartyGood))
	}
}

func listFact(m *members, l *passage.List) {
	m.text("kind", l.Kind)
	m.name("gen")
	m.b = append(strconv.AppendUint(m.b, l.Generation, 10), ',')
	m.some("digest", l.Digest)
	m.number("age_ms", int64(l.Age))
	m.flag("rejected", l.Rejected)
}

func cardFact(m *members, c *passage.CardFact) {
	m.flag("found", c.Found)
	m.number("card", int64(c.Card))
	m.number("membership", int64(c.Membership))
	m.some("member", string(c.Member))
	array(m, "programs", c.Programs, func(m *members, p *string) {
		m.word(*p)
		m.b = append(m.b, ',')
	})
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"valid_from", c.ValidFrom}, {"valid_until", c.ValidUntil}, {"card_until", c.CardUntil}} {
		if !t.at.IsZero() {
			m.instant(t.name, t.at)
		}
	}
	m.flag("extended", c.Extended)
	m.some("tid", string(c.TID))
	m.number("recent_ms", int64(c.Recent))
	m.flag("concurrent", c.Concurrent)
}

func clock(m *members, c *Clock) {
	m.text("boot", c.Boot)
	m.number("mono_us", c.MonoUS)
	m.text("quality", c.Quality)
	if c.ErrMS != 0 {
		m.number("err_ms", c.ErrMS)
	}
	if c.Source != "" {
		m.text("src", c.Source)
	}
	if c.Offset != 0 {
		m.name("offset_id")
		m.b = append(strconv.AppendUint(m.b, c.Offset, 10), ',')
	}
}
