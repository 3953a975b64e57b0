package contract

import (
	"fmt"
	"testing"

	"boothd/agent/passage"
)

// fullest drives everything that fits into one passage past the machine of a
// lane and gives the evidence, with facts as long as they can be.
func fullest(lane passage.LaneType) Judged {
	pol, _, f := clean()
	pol.Lane = lane
	n := 0
	token := func() passage.Token { n++; return passage.Token(fmt.Sprintf("%032x", n)) }
	var step func(passage.Input) passage.Step
	var evidence func() passage.Evidence
	if lane == passage.NEXUSAir {
		k := passage.NewKiosk(false)
		step, evidence = k.Step, k.Evidence
	} else {
		m := passage.NewMachine(false)
		step, evidence = m.Step, m.Evidence
		step(passage.Input{At: noon, Kind: passage.ApproachOn, NewID: passageID})
		step(passage.Input{At: noon, Kind: passage.ApproachOff})
		step(passage.Input{At: noon, Kind: passage.BoothOn})
	}
	for range 200 {
		step(passage.Input{At: noon, Kind: passage.CardRead, NewID: passageID, NewNonce: string(token()),
			Card: passage.Card{Token: token(), TID: token(), Reader: "a-reader-with-a-name-of-32-chars", RSSIDBm: -55, Antenna: 4}})
		step(passage.Input{At: noon, Kind: passage.DocumentRead, Document: passage.Document{Token: token()}})
		for kind := passage.ScanSeal; kind >= passage.ScanCarrier; kind-- {
			step(passage.Input{At: noon, Kind: passage.Scan, ScanKind: kind, Mark: passage.Mark{Token: token(), Carrier: token(), SizeType: "45G1"}})
		}
		step(passage.Input{At: noon, Kind: passage.VerdictIn, Verdict: passage.Verdict{Passage: passageID, Card: token(), Nonce: string(token()), Result: "NOT_ENROLLED", ProducedAt: noon}})
	}
	plate := passage.Plate{Full: token(), Bare: token(), Fold: token(), Jurisdiction: "ON", Confidence: 0.93, Reader: "a-reader-with-a-name-of-32-chars"}
	for _, kind := range []passage.Kind{passage.FrontPlate, passage.RearPlate, passage.PlateKeyed} {
		step(passage.Input{At: noon, Kind: kind, Plate: plate})
	}
	ev := evidence()
	fact := f.Cards[0]
	fact.TID, fact.Programs = token(), Programs()
	f.Cards, f.Documents = nil, nil
	for range ev.Cards {
		f.Cards = append(f.Cards, fact)
	}
	for range ev.Documents {
		f.Documents = append(f.Documents, passage.DocumentFact{Found: true, Card: token(), Fact: fact})
	}
	f.Lists = nil
	for _, kind := range passage.RequiredLists(passage.Policy{Lane: passage.FAST, Documents: true}) {
		f.Lists = append(f.Lists, passage.List{Kind: kind, Generation: 884_100, Digest: fmt.Sprintf("%064x", 1), Age: 540_000})
	}
	if t := ev.Trade; t != nil {
		f.Trade = &passage.TradeFacts{}
		trader := passage.Trader{Token: token(), Found: true, Status: passage.Active, Programs: TraderPrograms(), ValidFrom: noon, ValidUntil: noon}
		trip := passage.Trip{Token: token(), Carrier: token(), Trailer: true, SealNeeded: true, HighSeal: true, Screening: true, ValidFrom: noon, ValidUntil: noon}
		for range maxShipments {
			trip.Shipments = append(trip.Shipments, passage.Shipment{Cargo: token(), Importer: token(), Eligible: true, Goods: true})
			f.Trade.Importers = append(f.Trade.Importers, trader)
		}
		for range maxContainers {
			trip.Containers = append(trip.Containers, token())
		}
		f.Trade.Trips = []passage.Trip{trip}
		for range t.Carriers {
			f.Trade.Carriers = append(f.Trade.Carriers, trader)
		}
		for range t.Importers {
			f.Trade.Importers = append(f.Trade.Importers, trader)
		}
		for range t.Containers {
			f.Trade.Containers = append(f.Trade.Containers, passage.Container{Found: true, Status: passage.ContainerPrescreened, Seal: token(), SealClass: "H", SizeType: "45G1", ValidFrom: noon, ValidUntil: noon})
		}
	}
	return Judged{Revision: 1, Policy: pol, Digest: pol.Digest(), Evidence: ev, Facts: f, Decision: passage.Decide(pol, ev, f), Mode: "staffed", Clock: Clock{Boot: "5f3c2f9e", Quality: "synced"}}
}

// Whatever is presented, the record of a decision fits an event: what could not
// be recorded would be PRIMARY/206 for ever, and evidence lost.
func TestI2_TheFullestPassageFitsAnEvent(t *testing.T) {
	for _, lane := range []passage.LaneType{passage.NEXUS, passage.FAST, passage.NEXUSAir, passage.General} {
		crossing, _ := fullest(lane).Events()
		b, err := Encode(stamp(18234), Head{Booth: "a-booth-with-a-name-of-forty-characters0", Time: noon}, crossing)
		if err != nil {
			t.Errorf("%s: %v", lane, err)
			continue
		}
		t.Logf("%s: %d bytes", lane, len(b))
	}
}
