package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"boothd/cmd/boothhq/internal/receiver/receivertest"
	"boothd/test/long"
)

// engine is a broker of some kind, one node or more, that can be struck.
type engine struct {
	ca    *issuer
	mqtt  []string // host:port of the nodes
	nats  []string // likewise, where receivers pull; nil: they subscribe
	blows []blow   // in turn
}

// blow kills something as kill -9 does and starts it again.
type blow struct {
	name     string
	down, up func() error
}

// journey is one run of events through everything that can go wrong.
type journey struct {
	*testing.T
	engine
	long   bool
	pg     *receivertest.Postgres
	db     string // headquarters' present database
	stands []*stand
	lines  [][]*badLine // of each booth, by node
	hq     []*badLine   // the receiver's
	middle *meddler
	all    *replicas
	args   []string
	end    func() // kills the receiver

	left, acked, behind int
}

// boothNames are the booths of a run. The last one's line goes silent.
func boothNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("lane-%d", i))
	}
	return names
}

// newRun lays out lines, booths and headquarters around an engine.
func newRun(t *testing.T, e engine, booths, events int) *journey {
	t.Helper()
	r := &journey{T: t, engine: e, left: events, long: long.Times() > 0}
	r.pg, r.db = newPostgres(t)
	r.middle = &meddler{as: make(map[string]*tls.Config)}
	names := boothNames(booths)
	for _, name := range append([]string{"HQ-receiver", "line"}, names...) {
		r.middle.as[name] = e.ca.client(t, name)
	}
	r.middle.server = r.middle.as["line"].Clone()
	r.middle.server.ClientAuth, r.middle.server.ClientCAs = tls.RequireAndVerifyClientCert, r.middle.server.RootCAs
	for _, node := range e.mqtt {
		l := newLine(t, node, r.middle.speak)
		r.hq, r.args = append(r.hq, l), append(r.args, "--broker", "ssl://"+l.addr)
	}
	for _, node := range e.nats {
		l := newLine(t, node, plain)
		r.hq, r.args = append(r.hq, l), append(r.args, "--nats", "tls://"+l.addr)
	}
	if len(e.nats) == 1 {
		r.args = append(r.args, "--nats-replicas", "1")
	}
	r.receive()
	for i, name := range names {
		var lines []*badLine
		var urls []string
		for at := range e.mqtt { // each begins at another node
			l := newLine(t, e.mqtt[(i+at)%len(e.mqtt)], r.middle.speak)
			lines, urls = append(lines, l), append(urls, "ssl://"+l.addr)
		}
		r.lines = append(r.lines, lines)
		r.stands = append(r.stands, newStand(t, name, r.middle.as[name], urls...))
	}
	return r
}

// receive starts headquarters on its present database.
func (r *journey) receive() {
	r.Helper()
	r.all = newReplicas(r.T, append([]string{"--db", r.db, "--booth-rate", "3000"}, r.args...)...)
	r.end = r.all.start(r.ca, "HQ-receiver")
}

// must ends a run that cannot go on.
func (r *journey) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// until waits for a condition of the world outside.
func (r *journey) until(what string, so func() bool) {
	r.Helper()
	for end := time.Now().Add(time.Duration(max(1, long.Times())) * 2 * time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		select {
		case name := <-r.all.died:
			r.Fatalf("%s: %s has ended by itself", what, name)
		default:
		}
		if time.Now().After(end) {
			for _, s := range r.stands {
				r.Logf("%s: %d stored, %d waiting, %+v", s.name, s.Last(), s.waiting(), s.link.Status())
			}
			r.Fatalf("%s: not in time", what)
		}
	}
}

// store spreads n events over the booths, or what is left of all.
func (r *journey) store(n int) {
	r.Helper()
	n = min(n, r.left)
	r.left -= n
	for i, s := range r.stands {
		s.store(r.T, (n+i)/len(r.stands))
	}
}

func (r *journey) stored() (n int) {
	for _, s := range r.stands {
		n += int(s.Last())
	}
	return n
}

func (r *journey) waiting() (n int) {
	for _, s := range r.stands {
		n += int(s.waiting())
	}
	return n
}

// here counts what headquarters has.
func (r *journey) here() (n int) {
	r.Helper()
	c, err := pgx.Connect(r.Context(), r.db)
	r.must(err)
	defer c.Close(r.Context())
	r.must(c.QueryRow(r.Context(), "SELECT count(*) FROM event").Scan(&n))
	return n
}

func become(w weather, lines ...*badLine) {
	for _, l := range lines {
		l.become(w)
	}
}

// exactlyOnce sends events through every fault of the contract's list and then
// compares. Each fault must have happened.
func exactlyOnce(t *testing.T, e engine, booths, events int) *journey {
	t.Helper()
	r := newRun(t, e, booths, events)
	part := events / 10
	r.store(part)
	r.all.await(part / 2)
	yesterday := r.backup()
	r.store(part)
	r.drops(part)
	r.crawls(part)
	for i, b := range e.blows {
		r.strike(b, part/len(e.blows), i == 0)
	}
	r.restore(yesterday, part)
	r.store(r.left)
	r.settle()
	r.verdict(events)
	return r
}

// backup kills headquarters and copies its database.
func (r *journey) backup() (url string) {
	r.Helper()
	r.end()
	url, err := r.pg.Copy(r.Context(), r.db)
	r.must(err)
	r.receive()
	return url
}

// drops resets lines in turn, headquarters' too, in the middle of events.
func (r *journey) drops(part int) {
	r.Helper()
	ways := append(r.lines[:len(r.lines):len(r.lines)], r.hq)
	for i, lines := range ways {
		r.store(part * 2 / len(ways))
		var conn uint64
		if i < len(r.stands) {
			r.until("a link", func() bool { return r.stands[i].link.Status().Connected })
			conn = r.stands[i].link.Status().Conn
		}
		become(cut, lines...)
		r.store(part / len(ways))
		if i < len(r.stands) { // and more than one try comes to nothing
			r.until("tries on a cut line", func() bool { return r.stands[i].link.Status().Conn > conn+1 })
		}
		become(fair, lines...)
	}
}

// crawls slows a booth's line and headquarters' down to a byte a second.
func (r *journey) crawls(part int) {
	r.Helper()
	lines := append(r.lines[0][:len(r.lines[0]):len(r.lines[0])], r.hq...)
	become(crawl, lines...)
	r.store(part)
	r.until("bytes at one a second", func() bool { return r.lines[0][0].crept.Load() >= 3 })
	become(fair, lines...)
}

// strike deals a blow after the broker has acknowledged events that
// headquarters has not, and while the last booth's line is silent: that booth
// believes in a connection that is no more. Headquarters begins anew after it:
// two connections that end within 5 s would be a twin's to it (mqtt contract,
// section 5), and it would stay away for minutes.
func (r *journey) strike(b blow, part int, first bool) {
	r.Helper()
	last := len(r.stands) - 1
	r.until("the last receipt", func() bool { return r.waiting() == 0 })
	r.until("all links", func() bool { return r.connected() == len(r.stands) })
	r.end()
	become(silent, r.lines[last]...)
	r.store(part)
	r.until("PUBACKs", func() bool {
		for _, s := range r.stands[:last] {
			if n := s.link.Status(); n.Connected && n.InFlight == 0 && n.Unreceipt > 0 {
				return true
			}
		}
		return false
	})
	for _, s := range r.stands[:last] {
		if n := s.link.Status(); n.Connected {
			r.acked += n.Unreceipt - n.InFlight
		}
	}
	r.must(b.down())
	r.store(part / 2)
	blind := r.stands[last].link.Status()
	if !blind.Connected {
		r.Errorf("%s: the booth behind the silent line knows that its broker is gone", b.name)
	}
	if first && r.long {
		r.until("a booth that gives up a silent line by itself", func() bool { n := r.stands[last].link.Status(); return n.Conn > blind.Conn })
	}
	r.must(b.up())
	r.receive()
	become(fair, r.lines[last]...)
}

func (r *journey) connected() (n int) {
	for _, s := range r.stands {
		if s.link.Status().Connected {
			n++
		}
	}
	return n
}

// restore sets headquarters back to the database of yesterday.
func (r *journey) restore(yesterday string, part int) {
	r.Helper()
	r.store(part)
	r.until("receipts", func() bool { return r.waiting() < part/2 })
	r.end()
	receipted := r.stored() - r.waiting()
	r.db = yesterday
	r.behind = receipted - r.here()
	r.receive()
}

// settle lets everything be well until all is at headquarters.
func (r *journey) settle() {
	r.Helper()
	r.until("all links", func() bool { return r.connected() == len(r.stands) })
	for _, s := range r.stands { // by this headquarters learns what it lacks
		s.store(r.T, 1)
	}
	r.until("the last receipt", func() bool { return r.waiting() == 0 })
	r.until("the last event", func() bool { return r.here() >= r.stored() })
}

// verdict ends everything and compares.
func (r *journey) verdict(events int) {
	r.Helper()
	r.end()
	got, n, err := compare(r.Context(), r.db, r.stands)
	r.must(err)
	if got != (held{}) || n != events+len(r.stands) {
		r.Errorf("PostgreSQL has %d of %d events: %+v", n, events+len(r.stands), got)
	}
	var reset, held, crept int64
	for _, l := range append(r.lines, r.hq) {
		for _, b := range l {
			reset, held, crept = reset+b.reset.Load(), held+b.held.Load(), crept+b.crept.Load()
		}
	}
	var again int64
	c, err := pgx.Connect(r.Context(), r.db)
	r.must(err)
	defer c.Close(r.Context())
	r.must(c.QueryRow(r.Context(), "SELECT sum(again)::bigint FROM epoch").Scan(&again))
	met := map[string]int64{
		"connections reset": reset, "waits in silence": held, "bytes at one a second": crept, "PUBLISHes doubled": r.middle.doubled.Load(),
		"PUBLISHes overtaken": r.middle.overtaken.Load(), "acknowledged and not at headquarters when the broker was struck": int64(r.acked),
		"missing in yesterday's database": int64(r.behind), "repetitions at headquarters": again,
	}
	for what, n := range met {
		if n <= 0 {
			r.Errorf("%s: %d; this run shows less than it says", what, n)
		}
	}
	r.Logf("%d events: %+v; %v", n, got, met)
}

// lossy is mosquitto, which forgets everything.
func lossy(t *testing.T) engine {
	t.Helper()
	m := newMosquitto(t)
	return engine{ca: m.ca, mqtt: []string{strings.TrimPrefix(m.url, "ssl://")}, blows: []blow{{"mosquitto", m.forget, func() error { m.start(); return nil }}}}
}

// clustered are n nodes of nats-server, struck in turn. One alone loses what it
// has kept; of three the others have it.
func clustered(t *testing.T, n, booths int) engine {
	t.Helper()
	nodes, ways := newNATS(t, n, boothNames(booths)...)
	e := engine{ca: ways[0].ca}
	for i := range n {
		down := func() error { return nodes.Kill(i) }
		if n == 1 {
			down = func() error { return nodes.Lose(i) }
		}
		e.mqtt = append(e.mqtt, strings.TrimPrefix(ways[i].url, "ssl://"))
		e.nats = append(e.nats, strings.TrimPrefix(nodes.URLs()[i], "tls://"))
		e.blows = append(e.blows, blow{fmt.Sprintf("node %d", i+1), down, func() error { return errors.Join(nodes.Restart(i), nodes.Ready()) }})
	}
	return e
}

// I4: a thousand events through a broker that forgets, lines that are cut, go
// silent and crawl, PUBLISHes doubled and reordered, and a headquarters set back
// to yesterday. In the long run they are ten thousand, with every kind of broker.
func TestI4_ExactlyOnce(t *testing.T) {
	t.Parallel()
	events, booths := 1000, 3
	engines := []struct {
		name string
		make func(*testing.T) engine
	}{
		{"mosquitto", lossy},
		{"nats-server", func(t *testing.T) engine { return clustered(t, 1, booths) }},
		{"three nats-servers", func(t *testing.T) engine { return clustered(t, 3, booths) }},
		{"RabbitMQ", func(t *testing.T) engine { return newRabbitMQ(t, boothNames(booths)) }},
	}
	if n := long.Times(); n > 0 {
		events, booths = 10_000*n, 5
	} else {
		engines = engines[:1]
	}
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel() // it waits, mostly
			spoil(t, exactlyOnce(t, e.make(t), booths, events))
		})
	}
}

// spoil changes what PostgreSQL has, which the comparison must see.
func spoil(t *testing.T, r *journey) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), r.db)
	r.must(err)
	defer c.Close(t.Context())
	for _, spoil := range []string{
		"DELETE FROM event WHERE epoch = 1 AND seq = 2",
		"UPDATE event SET body = body || '\\x20' WHERE epoch = 1 AND seq = 3",
		"INSERT INTO event SELECT epoch, seq + 1000000, id, type, class, at, received_at, live, simulated, outcome, body FROM event WHERE epoch = 1 AND seq = 5",
	} {
		_, err := c.Exec(t.Context(), spoil)
		r.must(err)
	}
	got, _, err := compare(t.Context(), r.db, r.stands)
	if want := (held{Missing: 1, Altered: 1, Extra: 1, Doubled: 1}); err != nil || got != want {
		t.Errorf("a spoiled database compares as %+v, %v, want %+v", got, err, want)
	}
}
