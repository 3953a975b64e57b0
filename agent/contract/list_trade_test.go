package contract

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"boothd/agent/passage"
)

// rowsOfTrade are one of each, with everything set.
func rowsOfTrade() map[string]interface{ Append([]byte) ([]byte, error) } {
	whole := noon.Truncate(time.Second) // rows keep no more
	from, until := whole.AddDate(-1, 0, 0), whole.AddDate(1, 0, 0)
	return map[string]interface{ Append([]byte) ([]byte, error) }{
		ListDocuments: DocumentRow{Card: tok(1)},
		ListCarriers:  TraderRow{Status: passage.Active, Programs: []string{"CSA", "PIP"}, ValidFrom: from, ValidUntil: until},
		ListTrips: TripRow{Carrier: tok(2), Trailer: true, SealNeeded: true, HighSeal: true, Screening: true, ValidFrom: from, ValidUntil: until,
			Shipments:  []passage.Shipment{{Cargo: tok(3), Importer: tok(4), Eligible: true, Goods: true}, {Cargo: tok(5), Importer: tok(4)}},
			Containers: []passage.Token{tok(6), tok(7)}},
		ListContainers: ContainerRow{Status: passage.ContainerPrescreened, Seal: tok(8), SealClass: "H", SizeType: "45G1", Source: "CSI",
			ValidFrom: from, ValidUntil: until},
	}
}

func parseTrade(kind string, value []byte) (any, error) {
	switch kind {
	case ListDocuments:
		return ParseDocumentRow(value)
	case ListCarriers:
		return ParseTraderRow(value)
	case ListTrips:
		return ParseTripRow(value)
	}
	return ParseContainerRow(value)
}

func TestRowsOfTradeSurviveTheirBytes(t *testing.T) {
	for kind, row := range rowsOfTrade() {
		value, err := row.Append(nil)
		if err != nil {
			t.Fatal(kind, err)
		}
		if err := CheckListRow(kind, value); err != nil {
			t.Error(kind, err)
		}
		back, err := parseTrade(kind, value)
		if err != nil || !reflect.DeepEqual(back, row) {
			t.Errorf("%s: %+v, %v; want %+v", kind, back, err, row)
		}
		// Cut short anywhere, or longer by a byte, it is refused.
		for n := range len(value) {
			if CheckListRow(kind, value[:n]) == nil {
				t.Errorf("%s: %d of %d bytes were taken", kind, n, len(value))
			}
		}
		if err := CheckListRow(kind, append(value[:len(value):len(value)], 0)); !errors.Is(err, ErrListRow) {
			t.Errorf("%s with a byte more: %v", kind, err)
		}
		value[0]++
		if err := CheckListRow(kind, value); !errors.Is(err, ErrListRow) {
			t.Errorf("%s of another version: %v", kind, err)
		}
	}
}

func TestCargoPointsToItsTrip(t *testing.T) {
	value, err := TripRow{Of: tok(9)}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseTripRow(value)
	if err != nil || !reflect.DeepEqual(back, TripRow{Of: tok(9)}) {
		t.Errorf("%+v, %v", back, err)
	}
	value[1] |= tripTrailer
	if _, err := ParseTripRow(value); !errors.Is(err, ErrListRow) {
		t.Errorf("a reference with a trailer: %v", err)
	}
}

func TestRowsOfTradeRefuse(t *testing.T) {
	many := make([]passage.Shipment, maxShipments+1)
	for i := range many {
		many[i] = passage.Shipment{Cargo: passage.Token(fmt.Sprintf("%032x", i)), Importer: tok(1)}
	}
	for name, row := range map[string]interface{ Append([]byte) ([]byte, error) }{
		"document without card":       DocumentRow{},
		"trader of another programme": TraderRow{Status: passage.Active, Programs: []string{"NEXUS"}},
		"trader issued":               TraderRow{Status: passage.Issued},
		"trip without carrier":        TripRow{},
		"trip of too many":            TripRow{Carrier: tok(1), Shipments: many},
		"shipment twice":              TripRow{Carrier: tok(1), Shipments: []passage.Shipment{{Cargo: tok(1), Importer: tok(1)}, {Cargo: tok(1), Importer: tok(2)}}},
		"container of no status":      ContainerRow{},
		"container of another status": ContainerRow{Status: 9},
		"seal of another class":       ContainerRow{Status: passage.ContainerNone, SealClass: "X"},
		"size and type":               ContainerRow{Status: passage.ContainerNone, SizeType: "45G"},
		"before 1970":                 TraderRow{Status: passage.Active, ValidUntil: time.Unix(-5, 0)},
	} {
		if v, err := row.Append(nil); !errors.Is(err, ErrListRow) {
			t.Errorf("%s: % x, %v", name, v, err)
		}
	}
}

func FuzzTradeRows(f *testing.F) {
	kinds := []string{ListDocuments, ListCarriers, ListTrips, ListContainers}
	for i, kind := range kinds {
		value, err := rowsOfTrade()[kind].Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), value)
	}
	f.Fuzz(func(t *testing.T, kind byte, value []byte) {
		k := kinds[int(kind)%len(kinds)]
		row, err := parseTrade(k, value)
		if err != nil {
			return
		}
		again, err := row.(interface{ Append([]byte) ([]byte, error) }).Append(nil)
		if err != nil || string(again) != string(value) {
			t.Errorf("%s: %x is taken and written as %x, %v", k, value, again, err)
		}
	})
}
