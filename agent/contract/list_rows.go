package contract

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"time"

	"boothd/agent/passage"
)

// CardRow is what the cards list says of one card.
type CardRow struct {
	Status    passage.Status // Issued, Superseded, Lost or Stolen
	Member    passage.Token  // whose card: key into the members list
	CardUntil time.Time      // printed on the card, whole seconds UTC; zero: none
	Extended  bool           // renewed in time: benefits outlast CardUntil
	TID       passage.Token  // enrolled chip; none if not enrolled
}

const (
	cardExtended byte = 1 << iota
	cardHasUntil
	cardHasTID
)

// Append appends the row's value to b: version, status, flags, member, then
// CardUntil and TID as far as there are any.
func (c CardRow) Append(b []byte) ([]byte, error) {
	w := newBuild()
	w.byte(w.status(c.Status, cardStatuses))
	w.byte(bitIf(c.Extended, cardExtended) | bitIf(!c.CardUntil.IsZero(), cardHasUntil) | bitIf(c.TID != "", cardHasTID))
	w.token("member", c.Member)
	if !c.CardUntil.IsZero() {
		w.time("card_until", c.CardUntil)
	}
	if c.TID != "" {
		w.token("tid", c.TID)
	}
	return appendTo(b, w)
}

// ParseCardRow is the inverse of Append, with ErrListRow for anything else.
func ParseCardRow(value []byte) (CardRow, error) {
	var c CardRow
	r := newCut(value)
	c.Status = r.status(cardStatuses)
	f := r.flags(cardExtended | cardHasUntil | cardHasTID)
	c.Extended = f&cardExtended != 0
	c.Member = r.token()
	if f&cardHasUntil != 0 {
		c.CardUntil = r.time()
	}
	if f&cardHasTID != 0 {
		c.TID = r.token()
	}
	if err := r.done(); err != nil {
		return CardRow{}, err
	}
	return c, nil
}

// MemberRow is what the members list says of one membership. Expiry is no
// status: it is judged at the officer's act, from ValidUntil.
type MemberRow struct {
	Status     passage.Status // Active, Suspended, Revoked or Pending
	Programs   []string       // ascending, see Programs
	ValidFrom  time.Time      // whole seconds UTC; zero: always
	ValidUntil time.Time      // zero: no expiry
}

// Programs names the programmes by their bit in a member row.
func Programs() []string { return []string{"NEXUS", "FAST", "CDRP", "SENTRI", "GLOBAL_ENTRY"} }

const (
	memberHasFrom byte = 1 << iota
	memberHasUntil
)

// Append appends the row's value to b: version, status, flags, programme
// bits (16), then ValidFrom and ValidUntil as far as there are any.
func (m MemberRow) Append(b []byte) ([]byte, error) {
	w := newBuild()
	w.byte(w.status(m.Status, memberStatuses))
	w.byte(bitIf(!m.ValidFrom.IsZero(), memberHasFrom) | bitIf(!m.ValidUntil.IsZero(), memberHasUntil))
	var programs uint16
	for _, p := range m.Programs {
		i := slices.Index(Programs(), p)
		if i < 0 {
			w.fail("programme %q is none of %s", p, strings.Join(Programs(), ", "))
			continue
		}
		programs |= 1 << i
	}
	w.b = binary.BigEndian.AppendUint16(w.b, programs)
	if !m.ValidFrom.IsZero() {
		w.time("valid_from", m.ValidFrom)
	}
	if !m.ValidUntil.IsZero() {
		w.time("valid_until", m.ValidUntil)
	}
	return appendTo(b, w)
}

// ParseMemberRow is the inverse of Append, with ErrListRow for anything else.
func ParseMemberRow(value []byte) (MemberRow, error) {
	var m MemberRow
	r := newCut(value)
	m.Status = r.status(memberStatuses)
	f := r.flags(memberHasFrom | memberHasUntil)
	programs := binary.BigEndian.Uint16(r.take(2))
	if bits.Len16(programs) > len(Programs()) {
		r.fail("unknown programme bits %#x", programs)
	}
	for i, p := range Programs() {
		if programs&(1<<i) != 0 {
			m.Programs = append(m.Programs, p)
		}
	}
	slices.Sort(m.Programs)
	if f&memberHasFrom != 0 {
		m.ValidFrom = r.time()
	}
	if f&memberHasUntil != 0 {
		m.ValidUntil = r.time()
	}
	if err := r.done(); err != nil {
		return MemberRow{}, err
	}
	return m, nil
}

// VehicleRow holds the vehicles on file for one member. A member without one
// has no row.
type VehicleRow struct {
	Plates []VehiclePlate // ascending by Full, then Bare; no repeats
}

// VehiclePlate is one plate on file, as tokens with and without jurisdiction.
type VehiclePlate struct{ Full, Bare passage.Token }

// Linked reports whether the plate read is on file: compared with its
// jurisdiction where one was read (full is not none), else without.
func (v VehicleRow) Linked(full, bare passage.Token) bool {
	for _, p := range v.Plates {
		if full != "" && p.Full == full || full == "" && bare != "" && p.Bare == bare {
			return true
		}
	}
	return false
}

// Append appends the row's value to b: version, count, pairs of tokens.
func (v VehicleRow) Append(b []byte) ([]byte, error) {
	w := newBuild()
	plates := slices.Clone(v.Plates)
	slices.SortFunc(plates, comparePlates)
	plates = slices.Compact(plates)
	if len(plates) == 0 || len(plates) > maxVehicles {
		w.fail("%d vehicles, want 1 to %d", len(plates), maxVehicles)
	}
	w.byte(byte(len(plates)))
	for _, p := range plates {
		w.token("plate with jurisdiction", p.Full)
		w.token("plate", p.Bare)
	}
	return appendTo(b, w)
}

// ParseVehicleRow is the inverse of Append, with ErrListRow for anything else.
func ParseVehicleRow(value []byte) (VehicleRow, error) {
	var v VehicleRow
	r := newCut(value)
	n := int(r.byte())
	if r.err == nil && (n == 0 || n > maxVehicles) {
		r.fail("%d vehicles, want 1 to %d", n, maxVehicles)
	}
	for i := 0; i < n && r.err == nil; i++ {
		p := VehiclePlate{Full: r.token(), Bare: r.token()}
		if i > 0 && r.err == nil && comparePlates(v.Plates[i-1], p) >= 0 {
			r.fail("vehicles are not in ascending order")
		}
		v.Plates = append(v.Plates, p)
	}
	if err := r.done(); err != nil {
		return VehicleRow{}, err
	}
	return v, nil
}

func comparePlates(a, b VehiclePlate) int {
	if c := strings.Compare(string(a.Full), string(b.Full)); c != 0 {
		return c
	}
	return strings.Compare(string(a.Bare), string(b.Bare))
}

// Statuses by their number on the wire, which starts at 1 and is append-only:
// passage.Status may be reordered, a signed list may not.
var (
	cardStatuses   = [...]passage.Status{passage.Issued, passage.Superseded, passage.Lost, passage.Stolen}
	memberStatuses = [...]passage.Status{passage.Active, passage.Suspended, passage.Revoked, passage.Pending}
)

func (w *build) status(s passage.Status, all [4]passage.Status) byte {
	i := slices.Index(all[:], s)
	if i < 0 {
		w.fail("status %d is not of this kind", s)
	}
	return byte(i + 1)
}

func (r *cut) status(all [4]passage.Status) passage.Status {
	i := int(r.byte())
	if i < 1 || i > len(all) {
		r.fail("unknown status %d", i)
		return passage.StatusUnknown
	}
	return all[i-1]
}

func appendTo(b []byte, w *build) ([]byte, error) {
	v, err := w.done()
	if err != nil {
		return b, err
	}
	return append(b, v...), nil
}
