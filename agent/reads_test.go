package agent

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/devices"
)

// wanted puts a plate on the lookouts, with its confusable characters folded,
// as headquarters does.
func (b *bench) wanted(plate devices.Ident) {
	from := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	p := b.key.Plate(plate, "BC", 1)
	for t, match := range map[passage.Token]contract.Match{p.Full: contract.MatchExact, p.Fold: contract.MatchFold} {
		row, err := contract.LookoutRow{Lookouts: []contract.Lookout{{ID: "L-2", Version: 1, Match: match, Action: passage.Stop, Subject: "PLATE",
			ReasonCode: "R1", Agency: "RCMP", Region: "Pacific", ValidFrom: from, ValidUntil: from.AddDate(0, 1, 0)}}}.Append(nil)
		if err != nil {
			b.t.Fatal(err)
		}
		b.rows["lookouts/"+string(t)] = row
	}
}

// A plate that the camera was not sure of may be the one that is looked for:
// possible (303), until the officer has looked. It never is a hit, and a
// confusable character alone is none either.
func TestCandidatesOfAPlateAreLookedFor(t *testing.T) {
	for _, tc := range []struct {
		name  string
		says  []devices.Plate
		keyed devices.Ident
		want  bool // possible
	}{
		{"another", []devices.Plate{{Text: goodPlate, Confidence: 0.95}}, "", false},
		{"a candidate", []devices.Plate{{Text: goodPlate, Confidence: 0.95, Candidates: []devices.Ident{"ZZZ999", "WANT10"}}}, "", true},
		{"a candidate with a confusable character", []devices.Plate{{Text: goodPlate, Confidence: 0.95, Candidates: []devices.Ident{"WANTIO"}}}, "", true},
		{"a report that lost", []devices.Plate{{Text: "WANT10", Confidence: 0.2}, {Text: goodPlate, Confidence: 0.95}}, "", true},
		{"a report that lost, later", []devices.Plate{{Text: goodPlate, Confidence: 0.95}, {Text: "WANT10", Confidence: 0.2}}, "", true},
		{"a confusable character", []devices.Plate{{Text: "WANT1O", Confidence: 0.95}}, "", true},
		{"a candidate, and the officer has looked", []devices.Plate{{Text: goodPlate, Confidence: 0.95, Candidates: []devices.Ident{"WANT10"}}}, goodPlate, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.wanted("WANT10")
			b.run(func() {
				b.point("approach_loop", true)
				b.tag(goodCard)
				for _, p := range tc.says {
					p.Jurisdiction = "BC"
					b.lane.inbox.read(devices.Read{Device: "cam", Role: devices.RolePlateFront, At: time.Now(), Plate: &p})
					synctest.Wait()
				}
				if tc.keyed != "" {
					b.lane.inbox.read(devices.Read{Device: "pad", Role: devices.RoleKeypad, At: time.Now(), Key: &devices.Key{Plate: tc.keyed, Jurisdiction: "BC"}})
					synctest.Wait()
				}
				b.point("approach_loop", false)
				b.point("booth_loop", true)
			})
			var told []passage.Hit
			for _, e := range b.kept {
				if a, ok := e.(contract.LookoutAlert); ok {
					told = a.Hits
				}
			}
			if got := len(told) == 1 && told[0].Possible; got != tc.want || len(told) > 0 && !tc.want {
				t.Errorf("%s: the watch desk is told of %+v, want a possible hit: %t", tc.name, told, tc.want)
			}
			if lead := b.now().Decision.Reasons; slices.Contains(lead, passage.LookoutStop) {
				t.Errorf("%s: %v: it is no certain hit", tc.name, lead)
			}
		})
	}
}

// Reads of nobody in the lane, of somebody who may be the next, and of a card
// that is too weak to be this lane's, are counted and kept nowhere.
func TestReadsOfOthersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lane.weakest = map[string]int{"pre": -60}
		weak := func(dBm int) {
			b.lane.inbox.read(devices.Read{Device: "pre", Role: devices.RoleCard, At: time.Now(), Tag: &devices.Tag{EPC: otherCard, RSSIDBm: dBm, Antenna: 1}})
			synctest.Wait()
		}
		b.run(func() {
			b.tag(goodCard) // no vehicle
			b.plate(goodPlate)
			b.arrive(goodCard)
			weak(-61)
			b.point("approach_loop", true) // the next one waits
			weak(-50)
			b.tag(goodCard) // known already
			time.Sleep(2 * pulseEvery)
		})
		if p := b.now(); p.Totals.Unplaced != 4 || len(p.Evidence.Cards) != 1 || p.Evidence.Cards[0].Reads != 2 {
			t.Errorf("%d reads of others, cards %+v", p.Totals.Unplaced, p.Evidence.Cards)
		}
	})
}
