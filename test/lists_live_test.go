package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/token"
	"boothd/devices"
	"boothd/test/long"
)

// A whole list of two million cards comes to a booth, twice, while vehicles pass:
// no decision waits for it or does without lists, each is made of one publication
// alone, the one that it names, and nothing is lost. A person's number, standing
// and vehicle are others in each publication, so that no two of them fit together.
func TestI4I5I6_AWholeListComesWhileVehiclesPass(t *testing.T) {
	t.Parallel() // it waits most of the time
	cards, times := 120_000, 2
	if n := long.Times(); n > 0 {
		cards, times = 2_000_000, 2*n
	}
	c := newCenter(t)
	k := &faulted{killing: &killing{post: newPost(t, c, "live", `# light_mode = "staffed"`, `light_mode = "auto"`), rand: rand.New(rand.NewPCG(1, 0x115)), pace: 2}}
	k.gap = k.idle
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { k.watch(ctx) })
	k.open()
	road, end := context.WithCancel(ctx)
	var traffic sync.WaitGroup
	traffic.Go(func() { k.traffic(road) })

	var taking []span
	for gen := 2; gen < 2+times; gen++ {
		c.republish(gen, cards)
		k.expeditedSoon(t, "beside nothing")
		began := time.Now()
		if _, err := run(t, "boothctl", "--config", k.file, "list", "import", filepath.Join(c.dir, "hq", "repository")); err != nil {
			t.Fatal(err)
		}
		taking = append(taking, span{began, time.Now()})
		t.Logf("publication %d, of %d cards, taken in %v", gen, cards, time.Since(began).Round(time.Millisecond))
	}
	k.expeditedSoon(t, "by the last publication")

	end()
	traffic.Wait()
	k.await("healthy", healthy)
	if stored, got := k.rest(), c.tally(); got != (tally{Events: stored}) {
		t.Errorf("I4: headquarters has %+v of %d", got, stored)
	}
	stop()
	all.Wait()
	k.look(false)
	replays(t, k.dir)
	k.ofOnePublication(1+times, taking)
}

// personIn is a person's number in a publication, as are the year in which it
// ends and whether the card is lost.
func personIn(gen, i int) (member string, until int, lost bool) {
	if gen == 1 { // the center's own
		return fmt.Sprintf("M%d", i), 2099, false
	}
	return fmt.Sprintf("M%dG%d", i, gen), 2040 + gen, i%4 == gen%4
}

// republish makes another publication of everybody, and of so many cards more.
func (c *center) republish(gen, cards int) {
	c.t.Helper()
	dir := filepath.Join(c.dir, fmt.Sprint("csv-", gen))
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(c.dir, "csv"))); err != nil {
		c.t.Fatal(err)
	}
	write := func(name, head string, row func(w io.Writer, i int), more int, another func(w io.Writer, i int)) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			c.t.Fatal(err)
		}
		w := bufio.NewWriterSize(f, 1<<20)
		fmt.Fprintln(w, head)
		for i := range c.people {
			row(w, i)
		}
		for i := range more {
			another(w, i)
		}
		if err := errors.Join(w.Flush(), f.Close()); err != nil {
			c.t.Fatal(err)
		}
	}
	write("members.csv", "member,status,programs,valid_from,valid_until", func(w io.Writer, i int) {
		member, until, _ := personIn(gen, i)
		fmt.Fprintf(w, "%s,ACTIVE,NEXUS,2020-01-01,%d-01-01\n", member, until)
	}, 1, func(w io.Writer, _ int) { fmt.Fprintln(w, "OTHERS,ACTIVE,NEXUS,2020-01-01,2099-01-01") })
	write("cards.csv", "epc,status,member,card_until,extended,tid", func(w io.Writer, i int) {
		member, until, lost := personIn(gen, i)
		status := "ISSUED"
		if lost {
			status = "LOST"
		}
		fmt.Fprintf(w, "%s,%s,%s,%d-01-01,no,\n", epcOf(i), status, member, until)
	}, cards, func(w io.Writer, i int) { fmt.Fprintf(w, "E28011%018X,ISSUED,OTHERS,%d-01-01,no,\n", i, 2040+gen) })
	write("vehicles.csv", "member,plate,jurisdiction", func(w io.Writer, i int) {
		member, _, _ := personIn(gen, i)
		fmt.Fprintf(w, "%s,%s,ON\n", member, plateFor(i))
	}, 0, nil)
	office, built := filepath.Join(c.dir, "hq"), filepath.Join(c.dir, fmt.Sprint("built-", gen))
	c.hq("lists", "build", "--in", dir, "--out", built, "--token-key", filepath.Join(office, "token.key"))
	c.hq("lists", "publish", office, "--lists", built, "--timestamp", "24h", "--passphrase-file", filepath.Join(c.dir, "phrase"))
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(built)); err != nil {
		c.t.Fatal(err)
	}
}

// span is from one moment to another.
type span struct{ from, to time.Time }

// ofOnePublication holds every decision against the publication that it names,
// and tells how long they took while none was taken and meanwhile.
func (k *killing) ofOnePublication(last int, taking []span) {
	k.Helper()
	credential, err := os.ReadFile(filepath.Join(k.c.dir, "hq", "token.key"))
	if err != nil {
		k.Fatal(err)
	}
	keys, err := token.ParseKeys(credential, time.Now())
	if err != nil {
		k.Fatal(err)
	}
	who := map[passage.Token]int{}
	for i := range k.c.people {
		who[keys.Current.Card(devices.Ident(epcOf(i)))] = i
	}
	j := k.journal()
	defer func() { _ = j.Close() }()
	of, slow := map[uint64]int{}, 0
	var idle, beside []time.Duration
	for body, err := range k.bodies(j) {
		if err != nil {
			k.Fatal(err)
		}
		e, err := contract.Decode(body)
		if err != nil {
			k.Fatal(err)
		}
		if e.Type != contract.TypeCrossingDecided {
			continue
		}
		d, err := contract.As[contract.CrossingDecided](e)
		if err != nil {
			k.Fatal(err)
		}
		gen := k.publication(d)
		of[gen]++
		for i, fact := range d.Facts.Cards {
			person, ok := who[d.Evidence.Cards[i].Token]
			member, until, lost := personIn(int(gen), person)
			want := passage.CardFact{Found: true, Card: passage.Issued, Membership: passage.Active, Member: keys.Current.Membership(devices.Ident(member))}
			if lost {
				want.Card = passage.Lost
			}
			if !ok || fact.Found != want.Found || fact.Card != want.Card || fact.Membership != want.Membership || fact.Member != want.Member ||
				!about(fact.ValidUntil, until) || !about(fact.CardUntil, until) || !d.Facts.VehiclesOnFile && d.Evidence.Front != nil {
				k.Errorf("I6: person %d by publication %d is %+v, %t, want %+v", person, gen, fact, d.Facts.VehiclesOnFile, want)
			}
			if lost && d.Decision.Outcome == passage.Expedite.String() {
				k.Errorf("I1: person %d, whose card is lost, is expedited by publication %d", person, gen)
			}
		}
		if slices.Contains(d.Decision.Reasons, passage.StoreFault) || slices.Contains(d.Decision.Reasons, passage.DecisionTimeout) {
			slow++
		}
		took := time.Duration(d.LatencyUS) * time.Microsecond
		if slices.ContainsFunc(taking, func(s span) bool { return e.Time.After(s.from) && e.Time.Before(s.to) }) {
			beside = append(beside, took)
		} else {
			idle = append(idle, took)
		}
	}
	for gen := range uint64(last) {
		if of[gen+1] == 0 {
			k.Errorf("nobody came under publication %d: %v", gen+1, of)
		}
	}
	if len(beside) == 0 {
		if long.Times() > 0 { // the others are taken within a moment
			k.Error("nobody came while a list was taken")
		}
		return
	}
	at := func(all []time.Duration, p float64) time.Duration { return all[int(p*float64(len(all)-1))] }
	slices.Sort(idle)
	slices.Sort(beside)
	k.Logf("decisions by publication: %v; %d for 206 or 210, which is the machine's pace; from input to decision p50 %v p99 %v of %d beside nothing, p50 %v p99 %v of %d while a list was taken",
		of, slow, at(idle, 0.5), at(idle, 0.99), len(idle), at(beside, 0.5), at(beside, 0.99), len(beside))
}

// about tells whether a time is the first of a year, wherever that begins.
func about(at time.Time, year int) bool {
	return at.Sub(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)).Abs() < 48*time.Hour
}

// publication is the one that a decision was made of, which had lists.
func (k *killing) publication(d contract.CrossingDecided) uint64 {
	k.Helper()
	gens := map[string]uint64{}
	for _, l := range d.Facts.Lists {
		gens[l.Kind] = l.Generation
		if l.Rejected {
			k.Errorf("%s is refused", l.Kind)
		}
	}
	if gens[contract.ListCards] == 0 || gens[contract.ListCards] != gens[contract.ListMembers] {
		k.Errorf("I6: decided by %v", gens)
	}
	for _, code := range []passage.Code{passage.ListMissing, passage.ListStale, passage.ListRejected} {
		if slices.Contains(d.Decision.Reasons, code) {
			k.Errorf("I5: decided for %d while a list was taken", code)
		}
	}
	return gens[contract.ListCards]
}
