package passage

import (
	"fmt"
	"testing"
	"time"
)

// atBooth is a machine with a vehicle at the booth.
func atBooth() *Machine {
	m := NewMachine(false)
	m.Step(Input{At: noon, Kind: ApproachOn, NewID: "p1"})
	m.Step(Input{At: noon, Kind: ApproachOff})
	m.Step(Input{At: noon.Add(time.Second), Kind: BoothOn})
	return m
}

func everyPaper() []Input {
	in := []Input{{Kind: DocumentRead, Document: Document{Token: "d"}}, {Kind: TrailerSeen}, {Kind: TruckSeen}}
	for kind := ScanCarrier; kind <= ScanSeal; kind++ {
		in = append(in, Input{Kind: Scan, ScanKind: kind, Mark: Mark{Token: Token(fmt.Sprint("m", kind))}})
	}
	return in
}

// What is handed over belongs to the vehicle at the booth, and to none without
// one there.
func TestPapersBelongToTheVehicleAtTheBooth(t *testing.T) {
	for _, in := range everyPaper() {
		m := NewMachine(false)
		in.At = noon
		if s := m.Step(in); !s.Dropped || s.Changed {
			t.Errorf("%+v on an empty road: %+v", in, s)
		}
		m.Step(Input{At: noon, Kind: ApproachOn, NewID: "p1"})
		if s := m.Step(in); !s.Dropped || s.Changed {
			t.Errorf("%+v on the approach: %+v", in, s)
		}
		m = atBooth()
		in.At = noon.Add(2 * time.Second)
		if s := m.Step(in); s.Dropped || !s.Changed {
			t.Errorf("%+v at the booth: %+v", in, s)
		}
		if s := m.Step(in); s.Changed {
			t.Errorf("%+v again: %+v", in, s)
		}
	}
}

func TestScansAreKeptByKind(t *testing.T) {
	m := atBooth()
	for _, in := range everyPaper() {
		in.At = noon.Add(2 * time.Second)
		m.Step(in)
	}
	ev := m.Evidence()
	for i, marks := range [][]Mark{ev.Trade.Carriers, ev.Trade.Importers, ev.Trade.Cargo, ev.Trade.Trips, ev.Trade.Containers, ev.Trade.Seals} {
		if len(marks) != 1 || marks[0].Token != Token(fmt.Sprint("m", i+1)) {
			t.Errorf("kind %d: %+v", i+1, marks)
		}
	}
	if !ev.Trade.Trailer || !ev.VehicleWrong || len(ev.Documents) != 1 {
		t.Errorf("%+v", ev)
	}
	if s := m.Step(Input{At: noon.Add(3 * time.Second), Kind: Scan, ScanKind: 99}); s.Changed {
		t.Error("a scan of no kind changed something")
	}
	if s := m.Step(Input{At: noon.Add(3 * time.Second), Kind: PressEmpty}); !s.Changed || !m.Evidence().Trade.Empty {
		t.Error("empty")
	}
	m.Step(Input{At: noon.Add(4 * time.Second), Kind: PressEmpty})
	if m.Evidence().Trade.Empty {
		t.Error("a second press takes it back")
	}
	// The same container, now with its size.
	box := Input{At: noon.Add(5 * time.Second), Kind: Scan, ScanKind: ScanContainer, Mark: Mark{Token: "m5", SizeType: "45G1"}}
	if s := m.Step(box); !s.Changed || len(m.Evidence().Trade.Containers) != 1 || m.Evidence().Trade.Containers[0].SizeType != "45G1" {
		t.Errorf("%+v", m.Evidence().Trade.Containers)
	}
	ev.Trade.Carriers[0].Token, ev.Documents[0].Token = "changed", "changed"
	if now := m.Evidence(); now.Trade.Carriers[0].Token == "changed" || now.Documents[0].Token == "changed" {
		t.Error("evidence that was given out is the machine's own")
	}
}

func TestScansAreBounded(t *testing.T) {
	m := atBooth()
	for i := range evidenceMost {
		m.Step(Input{At: noon.Add(2 * time.Second), Kind: Scan, ScanKind: ScanCargo, Mark: Mark{Token: Token(fmt.Sprint(i))}})
	}
	if ev := m.Evidence(); len(ev.Trade.Cargo) != evidenceMost/markWeight || !ev.Ambiguous {
		t.Errorf("%d scans are kept, ambiguous %v", len(ev.Trade.Cargo), ev.Ambiguous)
	}
}

// A lane without an officer lets a vehicle go by its light. One that stays is
// judged anew.
func TestLetGo(t *testing.T) {
	m := atBooth()
	at := noon.Add(3 * time.Second)
	if s := m.Step(Input{At: at, Kind: LetGo}); !s.Changed || m.Evidence().State != Acted {
		t.Fatalf("%+v", s)
	}
	if s := m.Step(Input{At: at, Kind: LetGo}); s.Changed {
		t.Error("let go twice")
	}
	m.Step(Input{At: at, Kind: ExitOn})
	m.Step(Input{At: at, Kind: BoothOff})
	if s := m.Step(Input{At: at, Kind: ExitOff}); s.How != Cleared || s.Ended.Presence || s.Ended.Released {
		t.Errorf("%+v", s.Ended)
	}
	m = atBooth()
	m.Step(Input{At: at, Kind: LetGo})
	m.Step(Input{At: at.Add(actedLimit), Kind: Tick})
	if ev := m.Evidence(); ev.State != AtBooth || !ev.Presence {
		t.Errorf("it stayed: %+v", ev)
	}
	if s := NewMachine(false).Step(Input{At: at, Kind: LetGo}); s.Changed {
		t.Error("nobody was let go")
	}
}
