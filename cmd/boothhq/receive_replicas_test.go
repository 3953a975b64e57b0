package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
	"boothd/cmd/boothhq/internal/receiver/receivertest"
)

// newPostgres starts a server and gives the URL of an empty database.
func newPostgres(t *testing.T) (*receivertest.Postgres, string) {
	t.Helper()
	p, err := receivertest.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	url, err := p.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p, url
}

// replicas are processes of "boothhq receive" on one database.
type replicas struct {
	t     *testing.T
	args  []string
	out   *os.File
	kept  chan struct{} // one for each event that any of them prints
	ended chan struct{}
	died  chan string // names of those that ended by themselves
}

func newReplicas(t *testing.T, args ...string) *replicas {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &replicas{t: t, args: args, out: out, kept: make(chan struct{}, 1<<20), ended: make(chan struct{}), died: make(chan string, 10)}
	go func() {
		defer close(r.ended)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			r.kept <- struct{}{}
		}
		in.Close()
	}()
	return r
}

// start starts one that calls itself by name; kill ends it as kill -9 does.
func (r *replicas) start(ca *issuer, name string) (kill func()) {
	r.t.Helper()
	cert, key := ca.issue(r.t, name)
	program, err := os.Executable() // which is boothhq by that name, see TestMain
	if err != nil {
		r.t.Fatal(err)
	}
	p := exec.Command(program)
	p.Args = append([]string{"boothhq", "receive", "--ca", filepath.Join(ca.dir, "ca.pem"), "--cert", cert, "--key", key, "--client-id", name,
		"--interval", "50ms", "--print"}, r.args...)
	log, err := os.Create(filepath.Join(r.t.TempDir(), name+".log"))
	if err != nil {
		r.t.Fatal(err)
	}
	p.Stdout, p.Stderr = r.out, log
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // however the test ends
	if err := p.Start(); err != nil {
		r.t.Fatal(err)
	}
	log.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		err := p.Wait()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() { // and was not killed
			r.died <- name
		}
	}()
	kill = func() {
		if err := p.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			r.t.Error(err)
		}
		<-gone
	}
	r.t.Cleanup(func() {
		kill()
		if text, err := os.ReadFile(log.Name()); r.t.Failed() && err == nil {
			r.t.Logf("%s:\n%s", name, text)
		}
	})
	return kill
}

// await waits until they have printed so many events more.
func (r *replicas) await(n int) {
	r.t.Helper()
	late := time.After(3 * time.Minute)
	for i := range n {
		select {
		case <-r.kept:
		case <-late:
			r.t.Fatalf("%d events of %d after three minutes", i, n)
		case name := <-r.died:
			r.t.Fatalf("%s has ended by itself", name)
		}
	}
}

// startBooth runs the real uplink on a journal in memory that says when
// headquarters has n events. end stops it.
func startBooth(t *testing.T, ca *issuer, name string, n int, brokers ...string) (journal *told, end func()) {
	t.Helper()
	journal = &told{Memory: uplinktest.NewMemory(epoch), n: n, all: make(chan struct{}, 1)}
	var conn atomic.Uint64
	u, err := uplink.New(uplink.Config{
		Booth: name, Brokers: brokers, TLS: ca.client(t, name), Dial: new(net.Dialer).DialContext,
		Log: slog.New(slog.DiscardHandler), Conn: func() (uint64, error) { return conn.Add(1), nil },
		State:        func() contract.State { return contract.State{} },
		BackoffFirst: 50 * time.Millisecond, BackoffMost: 200 * time.Millisecond, TwinPause: 200 * time.Millisecond, ResendFirst: time.Second,
	}, journal)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	return journal, func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("uplink ended with %v", err)
		}
	}
}

// auditOf is an event of any booth, by number.
func auditOf(name string) func(seq uint64, live bool) []byte {
	return func(seq uint64, live bool) []byte {
		b, err := contract.Encode(contract.Stamp{Epoch: epoch, Seq: seq, ID: eventID(name, seq), Live: live}, contract.Head{Booth: name, Time: noon},
			contract.Stopped{Reason: "signal"})
		if err != nil {
			panic(err) // the arguments above are wrong
		}
		return b
	}
}

func eventID(name string, seq uint64) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s %d", name, seq)).String()
}

// I4: two receivers hear everything twice, and are killed in turn in the middle
// of it; PostgreSQL holds each event once and every booth knows.
func TestI4_ReceiversDieInTurnOverOneDatabase(t *testing.T) {
	t.Parallel()
	const booths, events = 3, 1500 // events of each booth
	_, url := newPostgres(t)
	m := newMosquitto(t)
	all := newReplicas(t, "--db", url, "--broker", m.url)
	killFirst, killSecond := all.start(m.ca, "HQ-receiver"), all.start(m.ca, "HQ-receiver-2")
	var journals []*told
	var ends []func()
	for i := range booths {
		journal, end := startBooth(t, m.ca, fmt.Sprintf("lane-%d", i), events, m.url)
		journals, ends = append(journals, journal), append(ends, end)
	}
	third := func() {
		for i, j := range journals {
			j.Append(contract.ClassAudit, events/3, auditOf(fmt.Sprintf("lane-%d", i)))
		}
	}
	third()
	all.await(booths * events / 8)
	killFirst()
	third()
	all.await(booths * events / 8)
	killFirst = all.start(m.ca, "HQ-receiver")
	all.await(booths * events / 8)
	killSecond()
	third()
	for _, j := range journals {
		<-j.all
	}
	for _, end := range ends {
		end()
	}
	killFirst()
	all.out.Close()
	<-all.ended

	h := &headquarters{t: t, db: url}
	s := h.report()
	if s.Missing != 0 || s.Doubled != 0 || s.Conflicts != 0 || s.Events != booths*events || len(s.Booths) != booths {
		t.Errorf("headquarters holds %+v", s)
	}
	again := int64(0)
	for _, b := range s.Booths {
		again += b.Epochs[0].Again
	}
	if again == 0 {
		t.Error("nothing came twice: the two did not work at once")
	}
	t.Logf("%d came again", again)
}

// I4: PostgreSQL crashes twice under a receiver, which waits for it and does
// not end.
func TestI4_TheDatabaseCrashesUnderTheReceiver(t *testing.T) {
	t.Parallel()
	const events = 900
	p, url := newPostgres(t)
	m := newMosquitto(t)
	all := newReplicas(t, "--db", url, "--broker", m.url)
	kill := all.start(m.ca, "HQ-receiver")
	journal, end := startBooth(t, m.ca, booth, events, m.url)
	for range 2 {
		journal.Append(contract.ClassAudit, events/3, auditOf(booth))
		all.await(events / 6)
		if err := p.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	journal.Append(contract.ClassAudit, events/3, auditOf(booth))
	select {
	case <-journal.all:
	case name := <-all.died:
		t.Fatalf("%s has ended by itself", name)
	}
	end()
	kill()
	if s := (&headquarters{t: t, db: url}).report(); s.Missing != 0 || s.Doubled != 0 || s.Events != events {
		t.Errorf("headquarters holds %+v", s)
	}
}

// I4: headquarters comes back with the database of yesterday. What it lacks the
// booth sends again, though it had a receipt for it.
func TestI4_HeadquartersRestoredFromYesterday(t *testing.T) {
	t.Parallel()
	const day = 500 // events
	p, today := newPostgres(t)
	m := newMosquitto(t)
	first := newReplicas(t, "--db", today, "--broker", m.url)
	kill := first.start(m.ca, "HQ-receiver")
	journal, end := startBooth(t, m.ca, booth, 2*day, m.url)
	journal.Append(contract.ClassAudit, day, auditOf(booth))
	first.await(day)
	kill()
	yesterday, err := p.Copy(t.Context(), today)
	if err != nil {
		t.Fatal(err)
	}
	kill = first.start(m.ca, "HQ-receiver")
	journal.Append(contract.ClassAudit, day, auditOf(booth))
	<-journal.all
	kill()

	restored := newReplicas(t, "--db", yesterday, "--broker", m.url)
	kill = restored.start(m.ca, "HQ-receiver-2")
	journal.Append(contract.ClassAudit, 1, auditOf(booth)) // by this it learns what it lacks
	restored.await(day + 1)
	end()
	kill()
	for _, db := range []string{today, yesterday} {
		want := int64(2 * day)
		if db == yesterday {
			want++
		}
		if s := (&headquarters{t: t, db: db}).report(); s.Missing != 0 || s.Doubled != 0 || s.Events != want {
			t.Errorf("headquarters holds %+v, want %d", s, want)
		}
	}
}
