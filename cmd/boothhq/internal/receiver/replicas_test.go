package receiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"boothd/agent/contract"
)

func openStore(t *testing.T, db string) Store {
	t.Helper()
	s, _ := newStore(t, db)
	return s
}

// shuffled gives the events 1 to n of some booths, each at least once, in an
// order and with repetitions of a seed's.
func shuffled(seed uint64, n uint64, booths ...string) []Delivery {
	rng := rand.New(rand.NewPCG(seed, 7))
	var ds []Delivery
	for _, booth := range booths {
		for seq := uint64(1); seq <= n; seq++ {
			for range 1 + rng.IntN(2) {
				ds = append(ds, audit(booth, seq))
			}
		}
	}
	rng.Shuffle(len(ds), func(i, j int) { ds[i], ds[j] = ds[j], ds[i] })
	return ds
}

// Four receivers hear all of three booths in different orders at once, as they
// do behind brokers that know nothing of each other.
func TestI4_ReplicasAtOnceKeepEachOnce(t *testing.T) {
	const events, replicas = 400, 4
	url := newPostgres(t)
	booths := []string{boothA, "lacolle-2", "peace-bridge-1"}
	var stored [replicas]int
	var wg sync.WaitGroup
	for i := range replicas {
		s := openStore(t, url)
		wg.Go(func() {
			for batch := range slices.Chunk(shuffled(uint64(i), events, booths...), 50+13*i) {
				heard, err := s.Add(t.Context(), batch)
				if err != nil {
					t.Error(err)
					return
				}
				kept := 0
				for _, h := range heard {
					stored[i] += h.Stored
					kept += h.Stored
				}
				if n := len(slices.DeleteFunc(batch, func(d Delivery) bool { return !d.Kept })); n != kept {
					t.Errorf("%d stand as kept, %d were", n, kept)
				}
			}
		})
	}
	ctx, done := context.WithCancel(t.Context())
	var witness sync.WaitGroup
	witness.Go(func() { neverAhead(ctx, t, url, booths) })
	wg.Wait()
	done()
	witness.Wait()
	total := 0
	for _, n := range stored {
		total += n
	}
	sum := summary(t, url)
	if total != events*len(booths) || sum.Events != int64(total) || sum.Missing != 0 || sum.Doubled != 0 || sum.Conflicts != 0 {
		t.Errorf("%d said to be stored, summary %+v", total, sum)
	}
	s := openStore(t, url)
	for _, booth := range booths {
		if diff := cmp.Diff(contract.Receipt{Epoch: epochA, Upto: events}, mustReceipt(t, s, booth)); diff != "" {
			t.Errorf("receipt of %s (-want +got):\n%s", booth, diff)
		}
	}
}

// Receivers that hear tombstones and what they explain in different orders at
// once come to the same end, and none is ever ahead.
func TestI4_ReplicasAtOnceAgreeOnWhatIsGone(t *testing.T) {
	url := newPostgres(t)
	b := thinned(rand.New(rand.NewPCG(1, 5)))
	var wg sync.WaitGroup
	for i := range uint64(4) {
		s, mine := openStore(t, url), slices.Clone(b.sends)
		rng := rand.New(rand.NewPCG(i, 6))
		rng.Shuffle(len(mine), func(x, y int) { mine[x], mine[y] = mine[y], mine[x] })
		wg.Go(func() {
			for batch := range slices.Chunk(mine, 1+rng.IntN(9)) {
				if _, err := s.Add(t.Context(), batch); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	ctx, done := context.WithCancel(t.Context())
	var witness sync.WaitGroup
	witness.Go(func() { neverAhead(ctx, t, url, []string{boothA}) })
	wg.Wait()
	done()
	witness.Wait()
	if diff := cmp.Diff(contract.Receipt{Epoch: epochA, Upto: b.last}, mustReceipt(t, openStore(t, url), boothA)); diff != "" {
		t.Errorf("receipt (-want +got):\n%s", diff)
	}
	sum := summary(t, url)
	if sum.Missing != 0 || sum.Conflicts != 0 || uint64(sum.Events)+sum.Thinned != b.last || sum.Thinned == 0 {
		t.Errorf("%+v, the last is %d", sum, b.last)
	}
}

// neverAhead reads receipts while others write: a mark never goes back and is
// never ahead of the tables.
func neverAhead(ctx context.Context, t *testing.T, url string, booths []string) {
	s, db := openStore(t, url), openStore(t, url).(*Postgres).db
	last := make(map[string]uint64)
	looks := 0
	for ctx.Err() == nil || looks == 0 { // once more after the last write, or for the first time
		receipts, err := s.Receipts(t.Context(), booths, 0)
		if err != nil {
			t.Error(err)
			return
		}
		for booth, r := range receipts {
			var n uint64
			if err := db.queryRow(t.Context(), `SELECT count(*) FROM (SELECT epoch, seq FROM event UNION ALL SELECT epoch, seq FROM gone) v JOIN epoch e ON e.id = v.epoch JOIN booth b ON b.id = e.booth
				WHERE b.name = $1 AND v.seq <= $2`, booth, int64(r.Upto)).Scan(&n); err != nil {
				t.Error(err)
			}
			if n != r.Upto || r.Upto < last[booth] {
				t.Errorf("%s: receipt up to %d after %d, with %d of them in the tables", booth, r.Upto, last[booth], n)
			}
			last[booth] = r.Upto
			looks++
		}
	}
}

// Whatever comes in whatever batches, both stores say the same of it.
func TestStoresAgree(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 11))
		var ds []Delivery
		for range 300 {
			d := audit([]string{boothA, "lacolle-2"}[rng.IntN(2)], 1+rng.Uint64N(60))
			switch rng.IntN(8) {
			case 0:
				d.Body = []byte(string(d.Body[:1]) + `"x":1,` + string(d.Body[1:])) // other bytes of the same event
			case 1:
				d.Topic = contract.EventTopic(boothA, contract.ClassCrossing)
			case 3:
				n := 20 + rng.Uint64N(30)
				d = tombstone(n+10, [2]uint64{n, n + rng.Uint64N(3)}, [2]uint64{n + 5, n + 5 + rng.Uint64N(4)})
			case 2:
				d = alert(100+rng.Uint64N(9), passage1, noon, hit(fmt.Sprint("LK-", rng.IntN(3))))
			}
			ds = append(ds, d)
		}
		size := 1 + rng.IntN(40)
		type seen struct {
			Heard    []map[string]Heard
			Receipts map[string]contract.Receipt
			Kept     []bool
			Hits     []Hit
			Summary  Summary
		}
		look := func(db string) (s seen) {
			store := openStore(t, db)
			mine := slices.Clone(ds)
			for batch := range slices.Chunk(mine, size) {
				s.Heard = append(s.Heard, mustAdd(t, store, batch...))
				for _, d := range batch {
					s.Kept = append(s.Kept, d.Kept)
				}
			}
			s.Receipts = map[string]contract.Receipt{boothA: mustReceipt(t, store, boothA), "lacolle-2": mustReceipt(t, store, "lacolle-2")}
			for _, r := range s.Receipts {
				slices.SortFunc(r.Reject, func(a, b contract.Reject) int { return int(a.Seq) - int(b.Seq) })
			}
			s.Hits, s.Summary = hits(t, newDesk(t, db), Which{}, noon), summary(t, db)
			return s
		}
		if diff := cmp.Diff(look(t.TempDir()+"/events.db"), look(newPostgres(t))); diff != "" {
			t.Fatalf("seed %d (-sqlite +postgres):\n%s", seed, diff)
		}
	}
}

// Receivers share the pace: a booth is told once in a while, by whoever comes
// first, and the other still knows that it owes it something.
func TestABoothIsToldAtOnePace(t *testing.T) {
	url := newPostgres(t)
	first, second := openStore(t, url), openStore(t, url)
	mustAdd(t, first, audit(boothA, 1))
	ask := func(s Store, least time.Duration) (uint64, bool) {
		rs, err := s.Receipts(t.Context(), []string{boothA, "nobody-1"}, least)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := rs[boothA]
		return r.Upto, ok
	}
	if upto, ok := ask(first, time.Hour); upto != 1 || !ok {
		t.Errorf("the first is told to say %d, %v", upto, ok)
	}
	mustAdd(t, second, audit(boothA, 2))
	if _, ok := ask(second, time.Hour); ok {
		t.Error("the second may speak at once")
	}
	if upto, ok := ask(second, 0); upto != 2 || !ok {
		t.Errorf("the second is told to say %d, %v in the end", upto, ok)
	}
}

// A booth that leaves every second number out is bounded, and mended by
// sending in order.
func TestTooManyHolesAreLeftOut(t *testing.T) { each(t, testTooManyHoles) }

func testTooManyHoles(t *testing.T, fresh func() string) {
	s := openStore(t, fresh())
	send := func(from, step, n uint64) (later int) {
		var ds []Delivery
		for i := range n {
			ds = append(ds, audit(boothA, from+step*i))
		}
		for batch := range slices.Chunk(ds, batch) {
			later += mustAdd(t, s, batch...)[boothA].Later
		}
		return later
	}
	if later := send(2, 2, mostIslands+2*batch); later < batch || later > 2*batch {
		t.Errorf("%d left out, want all but a batch of %d", later, 2*batch)
	}
	if later := send(1, 1, 100); later != 0 {
		t.Errorf("%d left out of those that fill holes", later)
	}
	if r := mustReceipt(t, s, boothA); r.Upto < 100 || len(r.Have) > mostRanges || r.Want[0] != [2]uint64{r.Upto + 1, r.Upto + 1} {
		t.Errorf("receipt up to %d, %d ranges", r.Upto, len(r.Have))
	}
}

// The highest number there is breaks nothing.
func TestTheLastNumber(t *testing.T) { each(t, testLastNumber) }

func testLastNumber(t *testing.T, fresh func() string) {
	s := openStore(t, fresh())
	const last = 1<<63 - 1
	mustAdd(t, s, audit(boothA, last), audit(boothA, 1))
	r := mustReceipt(t, s, boothA)
	if diff := cmp.Diff(contract.Receipt{Epoch: epochA, Upto: 1, Have: [][2]uint64{{last, last}}, Want: [][2]uint64{{2, last - 1}}}, r); diff != "" {
		t.Error(diff)
	}
}

// A server that was away is there again: what was answered is there, what was
// not can be said again.
func TestI4_TheServerMayCrash(t *testing.T) {
	url := newPostgres(t)
	s := openStore(t, url)
	mustAdd(t, s, audit(boothA, 1))
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Add(t.Context(), []Delivery{audit(boothA, 2)})
	if e, ok := err.(*storeError); !ok || !e.passing {
		t.Fatalf("Add on a connection that is gone: %v, want an error that passes", err)
	}
	mustAdd(t, s, audit(boothA, 2))
	if r := mustReceipt(t, s, boothA); r.Upto != 2 {
		t.Errorf("receipt %+v, want up to 2", r)
	}
}

// A server set up for speed commits to memory; nobody may be told then.
func TestCommitsAreDurableWhateverTheServerSays(t *testing.T) {
	url := newPostgres(t)
	first := openStore(t, url).(*Postgres)
	var name string
	if err := first.db.queryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	if err := first.db.exec(t.Context(), "ALTER DATABASE "+name+" SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{"synchronous_commit": "on", "idle_in_transaction_session_timeout": "10s", "lock_timeout": "15s"} {
		var got string
		if err := openStore(t, url).(*Postgres).db.queryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, want %s (%v)", setting, got, want, err)
		}
	}
}

// A receiver that is stopped in the middle of a transaction, as a process or
// with its machine, holds its booths for ten seconds and no longer.
func TestI5_AFrozenReceiverHoldsNobody(t *testing.T) {
	t.Parallel() // it waits for the server
	url := newPostgres(t)
	frozen, other := openStore(t, url).(*Postgres), openStore(t, url)
	mustAdd(t, frozen, audit(boothA, 1))
	tx, err := frozen.db.begin(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.exec(t.Context(), "UPDATE epoch SET upto = 99"); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, other, audit(boothA, 2))
	if err := tx.commit(t.Context()); err == nil {
		t.Error("what was frozen is committed")
	}
	tx.rollback()
	if r := mustReceipt(t, other, boothA); r.Upto != 2 {
		t.Errorf("receipt up to %d, want 2", r.Upto)
	}
	mustAdd(t, frozen, audit(boothA, 3)) // it wakes, and works again
}

// Whatever a booth sends, it stops no receiver: an error of the database would,
// and all of them, since the message would come again.
func FuzzNoDeliveryBreaksAStore(f *testing.F) {
	add := func(d Delivery) { f.Add(d.Topic, d.Body) }
	good := audit(boothA, 3)
	add(good)
	add(alert(1, passage1, noon, hit("LK-1")))
	for _, edit := range [][2]string{
		{`"signal"`, `"sig\u0000nal"`}, {`"signal"`, "\"\xff\""}, {`"signal"`, `"\ud800"`}, {`"1.0"`, `"9"`}, {epochA, "x"}, {epochA, "\x00"}, {epochA, "urn:uuid:" + epochA},
		{`"boothseq":3`, `"boothseq":9223372036854775807`}, {`"boothseq":3`, `"boothseq":9223372036854775808`}, {`"boothseq":3`, `"boothseq":0`},
		{"2026", "0000"}, {"2026", "9999"}, {"audit.stopped", "\x00"}, {"audit.stopped", "crossing.ended"},
	} {
		f.Add(good.Topic, bytes.ReplaceAll(good.Body, []byte(edit[0]), []byte(edit[1])))
	}
	lite, err := Open(f.Context(), filepath.Join(f.TempDir(), "events.db"))
	if err != nil {
		f.Fatal(err)
	}
	url, err := server.Database(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	pg, err := Open(f.Context(), url)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := errors.Join(lite.Close(), pg.Close()); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, topic string, body []byte) {
		if len(body) > contract.MaxPacket {
			return
		}
		var heard [2]map[string]Heard
		for i, s := range []Store{lite, pg} {
			var err error
			if heard[i], err = s.Add(t.Context(), []Delivery{{Topic: topic, Body: body, At: noon}}); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(heard[0], heard[1]); diff != "" {
			t.Errorf("(-sqlite +postgres):\n%s", diff)
		}
		var said Said
		booth, kind, ok := stateSource(topic)
		if state, good := stateOf(message{topic: topic, body: body, kept: true}, noon); ok && good {
			said.State = map[string]State{kind: state}
		}
		if b, err := contract.StatusSource(topic); err == nil {
			if st, err := contract.DecodeStatus(body); err == nil {
				booth, said.Status = b, &st
			}
		}
		if said.Status == nil && said.State == nil {
			return
		}
		for _, s := range []Store{lite, pg} {
			if err := s.Hear(t.Context(), map[string]Said{booth: said}, noon); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The peak of ten thousand booths is 2,000 events a second (headquarters,
// section 4); one receiver should take it with ease. SQLite syncs here as it does
// at work, the tests' PostgreSQL does not.
func BenchmarkAdd(b *testing.B) {
	for _, store := range []string{"sqlite", "postgres"} {
		b.Run("store="+store, func(b *testing.B) {
			db := filepath.Join(b.TempDir(), "events.db")
			if store == "postgres" {
				var err error
				if db, err = server.Database(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			s, err := Open(b.Context(), db)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			seq := uint64(0)
			for b.Loop() {
				var ds []Delivery
				for i := range uint64(batch) {
					ds = append(ds, audit(fmt.Sprint("lane-", i%50), seq+i/50+1))
				}
				seq += batch / 50
				heard, err := s.Add(b.Context(), ds)
				if err != nil || len(heard) != 50 || heard["lane-7"].Stored != batch/50 {
					b.Fatal(heard, err)
				}
			}
			persecond := float64(b.N) * batch / b.Elapsed().Seconds()
			b.ReportMetric(persecond, "events/s")
			b.ReportMetric(persecond/2000, "x-peak")
		})
	}
}
