package contract

import (
	"bytes"
	"math/bits"
	"slices"
	"strings"
	"time"

	"boothd/agent/passage"
)

// Limits of the rows of trade, in items.
const (
	maxShipments  = 12 // with their importers they must fit an event of 16 KiB
	maxContainers = 8  // of one trip
	maxSealClass  = 1
	sizeTypeSize  = 4
)

// DocumentRow says which card a travel document is.
type DocumentRow struct {
	Card passage.Token // key into the cards list
}

// Append appends the row's value to b: version, card.
func (d DocumentRow) Append(b []byte) ([]byte, error) {
	w := newBuild()
	w.token("card", d.Card)
	return appendTo(b, w)
}

// ParseDocumentRow is the inverse of Append, with ErrListRow for anything else.
func ParseDocumentRow(value []byte) (DocumentRow, error) {
	r := newCut(value)
	d := DocumentRow{Card: r.token()}
	if err := r.done(); err != nil {
		return DocumentRow{}, err
	}
	return d, nil
}

// TraderRow is what a list says of one carrier or importer.
type TraderRow struct {
	Status     passage.Status // Active, Suspended, Revoked or Pending
	Programs   []string       // ascending, see TraderPrograms
	ValidFrom  time.Time      // whole seconds UTC; zero: always
	ValidUntil time.Time      // zero: no expiry
}

// TraderPrograms names the trusted traders' programmes by their bit in a row.
func TraderPrograms() []string { return []string{"CSA", "PIP", "CTPAT"} }

// Append appends the row's value to b: version, status, flags, programme bits
// (8), then ValidFrom and ValidUntil as far as there are any.
func (t TraderRow) Append(b []byte) ([]byte, error) {
	w := newBuild()
	w.byte(w.status(t.Status, memberStatuses))
	var programs byte
	for _, p := range t.Programs {
		i := slices.Index(TraderPrograms(), p)
		if i < 0 {
			w.fail("programme %q is none of %s", p, strings.Join(TraderPrograms(), ", "))
			continue
		}
		programs |= 1 << i
	}
	w.byte(validityFlags(t.ValidFrom, t.ValidUntil))
	w.byte(programs)
	w.validity(t.ValidFrom, t.ValidUntil)
	return appendTo(b, w)
}

// ParseTraderRow is the inverse of Append, with ErrListRow for anything else.
func ParseTraderRow(value []byte) (TraderRow, error) {
	var t TraderRow
	r := newCut(value)
	t.Status = r.status(memberStatuses)
	f := r.flags(memberHasFrom | memberHasUntil)
	programs := r.byte()
	if bits.Len8(programs) > len(TraderPrograms()) {
		r.fail("unknown programme bits %#x", programs)
	}
	for i, p := range TraderPrograms() {
		if programs&(1<<i) != 0 {
			t.Programs = append(t.Programs, p)
		}
	}
	slices.Sort(t.Programs)
	t.ValidFrom, t.ValidUntil = r.validity(f)
	if err := r.done(); err != nil {
		return TraderRow{}, err
	}
	return t, nil
}

// Trader is the row as Decide takes it.
func (t TraderRow) Trader(token passage.Token) passage.Trader {
	return passage.Trader{Token: token, Found: true, Status: t.Status, Programs: t.Programs, ValidFrom: t.ValidFrom, ValidUntil: t.ValidUntil}
}

// TripRow is a pre-arrival record, by the token of the trip's number; or, by
// the token of a cargo control number, only which trip it belongs to.
type TripRow struct {
	Of passage.Token // the trip, for a cargo control number; then nothing else is set

	Carrier    passage.Token
	Empty      bool
	Trailer    bool
	SealNeeded bool
	HighSeal   bool // class H
	Screening  bool // CSI status
	ValidFrom  time.Time
	ValidUntil time.Time
	Shipments  []passage.Shipment // ascending by Cargo; no repeats
	Containers []passage.Token    // ascending; no repeats
}

const (
	tripIsRef byte = 1 << iota
	tripEmpty
	tripTrailer
	tripSealNeeded
	tripHighSeal
	tripScreening
	tripHasFrom
	tripHasUntil
)

const (
	shipmentEligible byte = 1 << iota
	shipmentGoods
)

// Append appends the row's value to b: version, flags, then either the trip or
// carrier, validity, shipments and containers, each with their count.
func (t TripRow) Append(b []byte) ([]byte, error) {
	w := newBuild()
	if t.Of != "" {
		w.byte(tripIsRef)
		w.token("trip", t.Of)
		return appendTo(b, w)
	}
	w.byte(bitIf(t.Empty, tripEmpty) | bitIf(t.Trailer, tripTrailer) | bitIf(t.SealNeeded, tripSealNeeded) | bitIf(t.HighSeal, tripHighSeal) |
		bitIf(t.Screening, tripScreening) | bitIf(!t.ValidFrom.IsZero(), tripHasFrom) | bitIf(!t.ValidUntil.IsZero(), tripHasUntil))
	w.token("carrier", t.Carrier)
	w.validity(t.ValidFrom, t.ValidUntil)
	shipments := slices.SortedFunc(slices.Values(t.Shipments), compareShipments)
	if len(shipments) > maxShipments || len(t.Containers) > maxContainers {
		w.fail("%d shipments and %d containers, at most %d and %d", len(shipments), len(t.Containers), maxShipments, maxContainers)
	}
	w.byte(byte(len(shipments)))
	for i, s := range shipments {
		if i > 0 && shipments[i-1].Cargo == s.Cargo {
			w.fail("a shipment is there twice")
		}
		w.byte(bitIf(s.Eligible, shipmentEligible) | bitIf(s.Goods, shipmentGoods))
		w.token("cargo", s.Cargo)
		w.token("importer", s.Importer)
	}
	containers := slices.Compact(slices.Sorted(slices.Values(t.Containers)))
	w.byte(byte(len(containers)))
	for _, c := range containers {
		w.token("container", c)
	}
	return appendTo(b, w)
}

// ParseTripRow is the inverse of Append, with ErrListRow for anything else.
func ParseTripRow(value []byte) (TripRow, error) {
	var t TripRow
	r := newCut(value)
	f := r.byte()
	if f&tripIsRef != 0 {
		t.Of = r.token()
		if f != tripIsRef {
			r.fail("a reference with flags %#x", f)
		}
		if err := r.done(); err != nil {
			return TripRow{}, err
		}
		return t, nil
	}
	t.Empty, t.Trailer, t.SealNeeded = f&tripEmpty != 0, f&tripTrailer != 0, f&tripSealNeeded != 0
	t.HighSeal, t.Screening = f&tripHighSeal != 0, f&tripScreening != 0
	t.Carrier = r.token()
	if f&tripHasFrom != 0 {
		t.ValidFrom = r.time()
	}
	if f&tripHasUntil != 0 {
		t.ValidUntil = r.time()
	}
	t.Shipments = r.shipments()
	n := int(r.byte())
	if n > maxContainers {
		r.fail("%d containers, at most %d", n, maxContainers)
	}
	for i := 0; i < n && r.err == nil; i++ {
		c := r.token()
		if i > 0 && r.err == nil && t.Containers[i-1] >= c {
			r.fail("containers are not in ascending order")
		}
		t.Containers = append(t.Containers, c)
	}
	if err := r.done(); err != nil {
		return TripRow{}, err
	}
	return t, nil
}

func (r *cut) shipments() (out []passage.Shipment) {
	n := int(r.byte())
	if n > maxShipments {
		r.fail("%d shipments, at most %d", n, maxShipments)
	}
	for i := 0; i < n && r.err == nil; i++ {
		f := r.flags(shipmentEligible | shipmentGoods)
		s := passage.Shipment{Eligible: f&shipmentEligible != 0, Goods: f&shipmentGoods != 0, Cargo: r.token(), Importer: r.token()}
		if i > 0 && r.err == nil && compareShipments(out[i-1], s) >= 0 {
			r.fail("shipments are not in ascending order")
		}
		out = append(out, s)
	}
	return out
}

// Trip is the row as Decide takes it.
func (t TripRow) Trip(token passage.Token) passage.Trip {
	return passage.Trip{Token: token, Carrier: t.Carrier, Empty: t.Empty, Trailer: t.Trailer, Shipments: t.Shipments, Containers: t.Containers,
		SealNeeded: t.SealNeeded, HighSeal: t.HighSeal, Screening: t.Screening, ValidFrom: t.ValidFrom, ValidUntil: t.ValidUntil}
}

func compareShipments(a, b passage.Shipment) int {
	return strings.Compare(string(a.Cargo), string(b.Cargo))
}

// ContainerRow is what the list says of one container (domain reference,
// section 5).
type ContainerRow struct {
	Status     passage.ContainerStatus // not unknown
	Seal       passage.Token           // none if there is none on record
	SealClass  string                  // I, S, H or none
	SizeType   string                  // 4 characters, ISO 6346, or none
	Source     string                  // who says so; for audit
	ValidFrom  time.Time
	ValidUntil time.Time
}

const (
	containerHasFrom byte = 1 << iota
	containerHasUntil
	containerHasSeal
)

// Append appends the row's value to b: version, status, flags, validity, seal,
// its class, size and type, source.
func (c ContainerRow) Append(b []byte) ([]byte, error) {
	w := newBuild()
	if c.Status == passage.ContainerUnknown || c.Status > passage.ContainerDoNotRelease {
		w.fail("container status %d is none", c.Status)
	}
	w.byte(byte(c.Status))
	w.byte(bitIf(!c.ValidFrom.IsZero(), containerHasFrom) | bitIf(!c.ValidUntil.IsZero(), containerHasUntil) | bitIf(c.Seal != "", containerHasSeal))
	w.validity(c.ValidFrom, c.ValidUntil)
	if c.Seal != "" {
		w.token("seal", c.Seal)
	}
	if !sealClass(c.SealClass) || c.SizeType != "" && len(c.SizeType) != sizeTypeSize {
		w.fail("seal class %q or size and type %q is none", c.SealClass, c.SizeType)
	}
	w.text("seal class", c.SealClass, maxSealClass)
	w.text("size and type", c.SizeType, sizeTypeSize)
	w.text("source", c.Source, maxAgency)
	return appendTo(b, w)
}

// ParseContainerRow is the inverse of Append, with ErrListRow for anything else.
func ParseContainerRow(value []byte) (ContainerRow, error) {
	var c ContainerRow
	r := newCut(value)
	c.Status = passage.ContainerStatus(r.byte())
	f := r.flags(containerHasFrom | containerHasUntil | containerHasSeal)
	c.ValidFrom, c.ValidUntil = r.validity(f & (containerHasFrom | containerHasUntil))
	if f&containerHasSeal != 0 {
		c.Seal = r.token()
	}
	c.SealClass, c.SizeType, c.Source = r.text(maxSealClass), r.text(sizeTypeSize), r.text(maxAgency)
	if err := r.done(); err != nil {
		return ContainerRow{}, err
	}
	// What Append refuses is refused here, so that there is one form only.
	if again, err := c.Append(nil); err != nil || !bytes.Equal(again, value) {
		r.fail("not a container row in its one form")
		return ContainerRow{}, r.err
	}
	return c, nil
}

// Container is the row as Decide takes it.
func (c ContainerRow) Container() passage.Container {
	return passage.Container{Found: true, Status: c.Status, Seal: c.Seal, SealClass: c.SealClass, SizeType: c.SizeType,
		ValidFrom: c.ValidFrom, ValidUntil: c.ValidUntil}
}

func sealClass(s string) bool { return s == "" || s == "I" || s == "S" || s == "H" }

func validityFlags(from, until time.Time) byte {
	return bitIf(!from.IsZero(), memberHasFrom) | bitIf(!until.IsZero(), memberHasUntil)
}

// validity writes the two times as far as there are any; the flags tell.
func (w *build) validity(from, until time.Time) {
	if !from.IsZero() {
		w.time("valid_from", from)
	}
	if !until.IsZero() {
		w.time("valid_until", until)
	}
}

func (r *cut) validity(flags byte) (from, until time.Time) {
	if flags&memberHasFrom != 0 {
		from = r.time()
	}
	if flags&memberHasUntil != 0 {
		until = r.time()
	}
	return from, until
}
