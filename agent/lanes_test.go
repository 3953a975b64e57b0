package agent

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/verdict"
	"boothd/devices"
)

// as makes another lane of the bench.
func (b *bench) as(lane passage.LaneType, programs ...string) {
	b.lane.policy.Lane, b.lane.policy.AcceptedPrograms = lane, programs
	b.lane.policy.FAST, b.lane.policy.FASTPort = passage.PIPOrBoth, true
	b.lane.policy.VerdictFor = passage.Of(30 * time.Second)
	b.lane.machine = newRoad(lane, false)
}

func (b *bench) row(kind string, t passage.Token, row interface{ Append([]byte) ([]byte, error) }) {
	b.t.Helper()
	value, err := row.Append(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.rows[kind+"/"+string(t)] = value
}

const (
	carrier   = devices.Ident("1234")
	importer  = devices.Ident("123456782RM0001")
	crn       = devices.Ident("1234TRIP77")
	ccn       = devices.Ident("1234PARS56789")
	container = devices.Ident("CSQU3054383")
	seal      = devices.Ident("H-998877")
)

// truck puts an eligible truck with one sealed container on file.
func (b *bench) truck(edit func(*contract.TripRow)) {
	b.as(passage.FAST, "FAST", "CDRP")
	k := b.key
	m := k.Membership(goodCard)
	until := time.Now().AddDate(1, 0, 0).Truncate(time.Second).UTC()
	b.row(contract.ListMembers, m, contract.MemberRow{Status: passage.Active, Programs: []string{"CDRP"}, ValidUntil: until})
	b.row(contract.ListCarriers, k.Carrier(carrier), contract.TraderRow{Status: passage.Active, Programs: []string{"PIP"}, ValidUntil: until})
	b.row(contract.ListImporters, k.Importer(importer), contract.TraderRow{Status: passage.Active, Programs: []string{"CSA", "PIP"}, ValidUntil: until})
	p := k.Plate(goodPlate, "BC", 1)
	b.row(contract.ListVehicles, k.Tractor(k.Carrier(carrier), p.Full), contract.VehicleRow{Plates: []contract.VehiclePlate{{Full: p.Full, Bare: p.Bare}}})
	trip := contract.TripRow{Carrier: k.Carrier(carrier), Trailer: true, SealNeeded: true, Containers: []passage.Token{k.Container(container)},
		Shipments: []passage.Shipment{{Cargo: k.Cargo(ccn), Importer: k.Importer(importer), Eligible: true, Goods: true}}}
	if edit != nil {
		edit(&trip)
	}
	b.row(contract.ListTrips, k.Cargo(crn), trip)
	b.row(contract.ListTrips, k.Cargo(ccn), contract.TripRow{Of: k.Cargo(crn)})
	b.row(contract.ListContainers, k.Container(container), contract.ContainerRow{Status: passage.ContainerPrescreened, Seal: k.Seal(seal), SealClass: "H", SizeType: "45G1"})
}

func (b *bench) scan(role devices.Role, text devices.Ident) {
	b.lane.inbox.read(devices.Read{Device: "scanner", Role: role, At: time.Now(), Scan: &devices.Scan{Text: text}})
	synctest.Wait()
}

// present drives the truck up and hands everything over.
func (b *bench) present(codes ...devices.Ident) {
	b.arrive(goodCard)
	b.lane.inbox.read(devices.Read{Device: "rear", Role: devices.RolePlateRear, At: time.Now(), Plate: &devices.Plate{Text: "TRL 9", Jurisdiction: "ON", Confidence: 0.9}})
	synctest.Wait()
	for _, c := range codes {
		b.scan(devices.RoleScan, c)
	}
	b.scan(devices.RoleSeal, seal)
}

// newest is the last decision on record.
func (b *bench) newest() string {
	all := b.decided()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

func TestFASTTruckIsExpedited(t *testing.T) {
	for name, codes := range map[string][]devices.Ident{
		"in order":          {carrier, importer, crn, ccn, container},
		"backwards":         {container, ccn, crn, importer, carrier},
		"without the trip":  {carrier, ccn, container},
		"size beside it":    {carrier, ccn, "CSQU 305438-3 45G1"},
		"twice, lower case": {carrier, carrier, "1234pars56789", ccn, container},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.truck(nil)
				b.run(func() {
					b.present(codes...)
					if d := b.last.Decision; d.Outcome != passage.Primary || d.Ready != 1 {
						t.Errorf("before the officer counts: %v %v ready %d", d.Outcome, d.Reasons, d.Ready)
					}
					b.press("count_1")
					if got := b.newest(); got != "EXPEDITE [100]" {
						t.Errorf("decided %s", got)
					}
					b.press("release")
					b.leave()
				})
				if trace := strings.Join(b.trace, "\n"); strings.Index(trace, "traveller=2") < strings.Index(trace, "store EXPEDITE") {
					t.Error("green before the record")
				}
			})
		})
	}
}

func TestFASTTruckIsSlowed(t *testing.T) {
	for name, tt := range map[string]struct {
		trip  func(*contract.TripRow)
		other func(*bench)
		codes []devices.Ident
		want  string
	}{
		"no document at all":    {nil, nil, nil, "PRIMARY [603 605 700 702 704 705]"},
		"ineligible notice":     {func(r *contract.TripRow) { r.Shipments[0].Eligible = false }, nil, []devices.Ident{carrier, ccn, container}, "PRIMARY [706]"},
		"another's cargo":       {nil, nil, []devices.Ident{carrier, ccn, "9999PARS1", container}, "PRIMARY [705 707]"},
		"another's container":   {nil, nil, []devices.Ident{carrier, ccn, "MEDU8707688"}, "PRIMARY [802]"},
		"misread container":     {nil, nil, []devices.Ident{carrier, ccn, "CSQU3054384"}, "PRIMARY [800 802]"},
		"other size":            {nil, nil, []devices.Ident{carrier, ccn, "CSQU3054383 22G1"}, "PRIMARY [803]"},
		"importer not approved": {nil, func(b *bench) { delete(b.rows, "importers/"+string(b.key.Importer(importer))) }, []devices.Ident{carrier, ccn, container}, "PRIMARY [702]"},
		"container on hold": {nil, func(b *bench) {
			b.row(contract.ListContainers, b.key.Container(container), contract.ContainerRow{Status: passage.ContainerOnHold, Seal: b.key.Seal(seal)})
		}, []devices.Ident{carrier, ccn, container}, "REFER [801]"},
		"other seal": {nil, func(b *bench) {
			b.row(contract.ListContainers, b.key.Container(container), contract.ContainerRow{Status: passage.ContainerNone, Seal: b.key.Seal("H1")})
		}, []devices.Ident{carrier, ccn, container}, "REFER [805]"},
		"row half understood": {nil, func(b *bench) { b.rows["carriers/"+string(b.key.Carrier(carrier))] = []byte{9} },
			[]devices.Ident{carrier, ccn, container}, "PRIMARY [206 700]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.truck(tt.trip)
				if name == "no document at all" {
					b.lane.policy.PlatePresent = false
				}
				if tt.other != nil {
					tt.other(b)
				}
				b.run(func() {
					if tt.codes == nil {
						b.arrive(goodCard)
						b.press("trailer")
					} else {
						b.present(tt.codes...)
					}
					b.press("count_1")
				})
				if got := b.newest(); got != tt.want {
					t.Errorf("decided %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// A lookout on carrier or container is as silent as one on a card.
func TestI3_LookoutOnTheLoadIsSilent(t *testing.T) {
	run := func(on func(b *bench) passage.Token) string {
		var shown string
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.truck(nil)
			if on != nil {
				b.lookout(passage.Observe)
				b.rows["lookouts/"+string(on(b))] = b.rows["lookouts/"+string(b.key.Card(goodCard))]
				delete(b.rows, "lookouts/"+string(b.key.Card(goodCard)))
			}
			b.run(func() { b.present(carrier, ccn, container); b.press("count_1"); b.press("release"); b.leave() })
			alerts := 0
			for _, e := range b.kept {
				if _, ok := e.(contract.LookoutAlert); ok {
					alerts++
				}
			}
			if (alerts > 0) != (on != nil) {
				t.Errorf("%d alerts", alerts)
			}
			shown = strings.Join(b.trace, "\n")
		})
		return shown
	}
	plain := run(nil)
	for name, on := range map[string]func(b *bench) passage.Token{
		"carrier":   func(b *bench) passage.Token { return b.key.Carrier(carrier) },
		"cargo":     func(b *bench) passage.Token { return b.key.Cargo(ccn) },
		"container": func(b *bench) passage.Token { return b.key.Container(container) },
	} {
		if got := run(on); got != plain {
			t.Errorf("%s: shows\n%s\nwithout\n%s", name, got, plain)
		}
	}
}

func TestGeneralLaneNeverExpedites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.as(passage.Ready, "NEXUS")
		b.run(func() {
			b.arrive(goodCard)
			b.press("count_1")
			b.press("release")
			b.leave()
		})
		wantDecided(t, b, "PRIMARY [101]", "PRIMARY [101 102]", "PRIMARY [101 102 902]")
	})
}

// challenges are what the lane asked its matcher, read while it runs.
type challenges struct {
	t   *testing.T
	mu  sync.Mutex
	all []verdict.Challenge
}

func (c *challenges) add(one verdict.Challenge) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, one)
	return nil
}

func (c *challenges) last() verdict.Challenge {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) == 0 {
		c.t.Fatal("nobody was asked for")
	}
	return c.all[len(c.all)-1]
}

// kiosk makes the bench one, with a matcher whose lines the test writes.
func (b *bench) kiosk() (asked *challenges, faces chan verdict.Arrival, printed *[]receipt) {
	b.as(passage.NEXUSAir, "NEXUS")
	b.lane.mode = signal.Auto
	asked, faces, printed = &challenges{t: b.t}, make(chan verdict.Arrival, 4), new([]receipt)
	b.lane.ask = asked.add
	b.lane.faces = faces
	b.lane.print = func(r receipt) { *printed = append(*printed, r) }
	return asked, faces, printed
}

// face answers the latest challenge.
func (b *bench) face(asked *challenges, faces chan verdict.Arrival, result verdict.Result) {
	b.t.Helper()
	faces <- verdict.Arrival{At: time.Now(), Bound: true, Verdict: verdict.Verdict{Challenge: asked.last(), Result: result, ProducedAt: time.Now()}}
	synctest.Wait()
}

func TestKioskPrintsAOrB(t *testing.T) {
	for name, tt := range map[string]struct {
		result  verdict.Result
		goods   string
		edit    func(*bench)
		proceed bool
		want    string
	}{
		"match":     {verdict.Match, "declare_no", nil, true, "EXPEDITE [100]"},
		"no match":  {verdict.NoMatch, "declare_no", nil, false, "REFER [850]"},
		"goods":     {verdict.Match, "declare_yes", nil, false, "PRIMARY [855]"},
		"suspended": {verdict.Match, "declare_no", func(b *bench) { b.card(goodCard, passage.Issued, passage.Suspended) }, false, "REFER [406 501]"},
		"drawn":     {verdict.Match, "declare_no", func(b *bench) { b.lane.policy.RandomRate = 1 }, false, "REFER [900]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				asked, faces, printed := b.kiosk()
				if tt.edit != nil {
					tt.edit(b)
				}
				b.run(func() {
					b.tag(goodCard)
					b.press("count_1")
					b.press(tt.goods)
					b.face(asked, faces, tt.result)
					time.Sleep(time.Second)
					synctest.Wait()
					if last := asked.last(); last != (verdict.Challenge{}) {
						t.Error("the matcher still looks for the traveller")
					}
					time.Sleep(time.Minute)
					synctest.Wait()
				})
				if got := b.newest(); got != tt.want {
					t.Errorf("decided %s, want %s", got, tt.want)
				}
				if len(*printed) != 1 || (*printed)[0].Proceed != tt.proceed {
					t.Fatalf("printed %+v", *printed)
				}
				// Every B is the same but for passage and time.
				if text := strings.Join((*printed)[0].lines("k"), "|"); !tt.proceed && !strings.HasPrefix(text, "B|SEE AN OFFICER") {
					t.Error(text)
				}
				if green := strings.Contains(strings.Join(b.trace, "\n"), "traveller=2"); green != tt.proceed {
					t.Errorf("green %v", green)
				}
			})
		})
	}
}

// A party prints once, and A only if each of it was good.
func TestKioskParty(t *testing.T) {
	for _, second := range []verdict.Result{verdict.Match, verdict.NoMatch} {
		t.Run(fmt.Sprint(second), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.card(otherCard, passage.Issued, passage.Active)
				asked, faces, printed := b.kiosk()
				b.run(func() {
					for i, card := range []devices.Ident{goodCard, otherCard} {
						b.tag(card)
						b.press("count_2")
						b.press("declare_no")
						b.face(asked, faces, []verdict.Result{verdict.Match, second}[i])
						time.Sleep(15 * time.Second)
						synctest.Wait()
					}
				})
				if len(*printed) != 1 || (*printed)[0].Proceed != (second == verdict.Match) {
					t.Errorf("printed %+v, decided %v", *printed, b.decided())
				}
			})
		})
	}
}

// A session that is given up prints nothing, and the next traveller finds
// nothing of it.
func TestKioskSessionGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.card(otherCard, passage.Issued, passage.Active)
		asked, faces, printed := b.kiosk()
		b.run(func() {
			b.tag(goodCard)
			b.press("count_1")
			old := asked.last()
			time.Sleep(time.Minute)
			synctest.Wait()
			b.tag(otherCard)
			b.press("count_1")
			b.press("declare_no")
			// The matcher answers late, for the one before.
			faces <- verdict.Arrival{At: time.Now(), Bound: true, Verdict: verdict.Verdict{Challenge: old, Result: verdict.Match, ProducedAt: time.Now()}}
			synctest.Wait()
			time.Sleep(25 * time.Second)
			synctest.Wait()
		})
		if len(*printed) != 1 || (*printed)[0].Proceed {
			t.Errorf("printed %+v", *printed)
		}
		if got := b.newest(); got != "PRIMARY [853]" {
			t.Errorf("decided %s", got)
		}
		if ended, ok := b.end(0); !ok || ended.End != "timedout" {
			t.Errorf("the first ended %+v", ended)
		}
	})
}

// end gives the n-th passage's end.
func (b *bench) end(n int) (contract.CrossingEnded, bool) {
	for _, e := range b.kept {
		if c, ok := e.(contract.CrossingEnded); ok {
			if n == 0 {
				return c, true
			}
			n--
		}
	}
	return contract.CrossingEnded{}, false
}

// The buzzer of HOLD goes on until the officer has seen it, and no lamp changes
// by that; another advice is not seen yet.
func TestAckEndsTheBuzzer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lane.machine = newRoad(passage.NEXUS, true)
		var views []signal.Aspects
		b.lane.show = func(v signal.View) { views = append(views, signal.Show(v)) }
		last := func() signal.Aspects { return views[len(views)-1] }
		b.run(func() {
			b.press(ackButton) // nobody is there: nothing to see
			b.arrive(goodCard)
			before := last()
			if before.Buzzer != signal.Fast {
				t.Fatalf("%+v", before)
			}
			b.press(ackButton)
			before.Buzzer = signal.Off
			if last() != before {
				t.Errorf("acknowledged: %+v, want %+v", last(), before)
			}
			b.press("refer")
			if last().Buzzer != signal.Fast {
				t.Errorf("another advice is silent: %+v", last())
			}
			b.lane.inbox.read(devices.Read{Device: "pad", Role: devices.RoleKeypad, At: time.Now(), Key: &devices.Key{Button: ackButton}})
			synctest.Wait()
			if last().Buzzer != signal.Off {
				t.Errorf("the keypad's ack: %+v", last())
			}
		})
	})
}
