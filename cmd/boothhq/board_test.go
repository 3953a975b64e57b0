package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/cmd/boothhq/internal/receiver"
)

// program is what booths say that they run.
const program = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// well is a booth of which nothing bad is known at noon, with one thing made
// different.
func well(name string, edit func(s *receiver.Standing, h *contract.StateHealth, l *contract.StateLists)) receiver.Standing {
	s := receiver.Standing{Booth: name, Status: contract.Online, Conn: 7, Version: "1.4.0", StatusAt: noon.Add(-time.Hour), Epoch: epoch, Upto: 9, Last: 9, HeardAt: noon}
	h := contract.StateHealth{Level: "healthy", Devices: []contract.DeviceHealth{{Name: "pre-read", Online: true}}, Clock: contract.ClockHealth{Quality: "synced"},
		Lists: []contract.ListAge{{Kind: contract.ListCards, AgeS: 60}}}
	l := contract.StateLists{Lists: []contract.ListState{{ListRef: contract.ListRef{Kind: contract.ListCards, Generation: 5}}}}
	s.State = map[string]receiver.State{"health": {At: noon.Add(-time.Minute)}, "lists": {At: noon.Add(-time.Hour)},
		"info": {At: noon, Body: []byte(`{"port":"CBSA/0813","lane":"nexus","direction":"CA","program":"` + program + `","simulated":true}`)}}
	edit(&s, &h, &l)
	for kind, v := range map[string]any{"health": h, "lists": l} {
		if state, ok := s.State[kind]; ok && state.Body == nil {
			body, err := json.Marshal(v)
			if err != nil {
				panic(err) // the arguments above are wrong
			}
			s.State[kind] = receiver.State{Body: body, At: state.At}
		}
	}
	return s
}

func codes(fs []fault) (out []string) {
	for _, f := range fs {
		out = append(out, f.Code)
	}
	return out
}

func TestWhoIsLateAndWhoLacksWhat(t *testing.T) {
	type edit = func(s *receiver.Standing, h *contract.StateHealth, l *contract.StateLists)
	at := func(kind string, d time.Duration) edit {
		return func(s *receiver.Standing, _ *contract.StateHealth, _ *contract.StateLists) {
			s.State[kind] = receiver.State{At: noon.Add(-d)}
		}
	}
	type H = *contract.StateHealth
	for _, tt := range []struct {
		name        string
		edit        edit
		off         bool
		late, lacks []string
	}{
		{"well", func(*receiver.Standing, H, *contract.StateLists) {}, false, nil, nil},
		{"offline", func(s *receiver.Standing, _ H, _ *contract.StateLists) { s.Status = contract.Offline }, true, nil, nil},
		{"offline is not silent", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.Status, s.State["health"] = contract.Stopping, receiver.State{}
		}, true, nil, nil},
		{"never heard", func(s *receiver.Standing, _ H, _ *contract.StateLists) { s.Status = "" }, true, nil, nil},
		{"three minutes without health", at("health", silentAfter), false, nil, nil},
		{"and one second", at("health", silentAfter+time.Second), false, []string{"silent"}, nil},
		{"just come, old health", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.StatusAt, s.State["health"] = noon, receiver.State{At: noon.Add(-time.Hour)}
		}, false, nil, nil},
		{"no health at all", func(s *receiver.Standing, _ H, _ *contract.StateLists) { delete(s.State, "health") }, false, []string{"silent"}, nil},
		{"events wait five minutes", func(_ *receiver.Standing, h H, _ *contract.StateLists) { h.Outbox.Depth, h.Outbox.OldestS = 3, 300 }, false, nil, nil},
		{"and one second more", func(_ *receiver.Standing, h H, _ *contract.StateLists) { h.Outbox.Depth, h.Outbox.OldestS = 3, 301 }, false, []string{"backlog"}, nil},
		{"missing", func(s *receiver.Standing, _ H, _ *contract.StateLists) { s.Missing = 1 }, false, nil, []string{"events"}},
		{"given up", func(s *receiver.Standing, _ H, _ *contract.StateLists) { s.Thinned = 1 }, false, nil, nil},
		{"rejected", func(s *receiver.Standing, _ H, _ *contract.StateLists) { s.Rejected = 1 }, false, nil, []string{"rejected"}},
		{"conflicts", func(s *receiver.Standing, _ H, _ *contract.StateLists) { s.Conflicts = 1 }, false, nil, []string{"conflicts"}},
		{"out", func(_ *receiver.Standing, h H, _ *contract.StateLists) { h.Level = "out" }, false, nil, []string{"out"}},
		{"device", func(_ *receiver.Standing, h H, _ *contract.StateLists) { h.Devices[0].Online = false }, false, nil, []string{"device"}},
		{"clock", func(_ *receiver.Standing, h H, _ *contract.StateLists) { h.Clock.Quality = "unset" }, false, nil, []string{"clock"}},
		{"quarantine", func(_ *receiver.Standing, h H, _ *contract.StateLists) { h.Outbox.Quarantined = 1 }, false, nil, []string{"quarantine"}},
		{"no list", func(_ *receiver.Standing, h H, _ *contract.StateLists) { h.Lists[0].AgeS = -1 }, false, nil, []string{"list"}},
		{"behind", func(_ *receiver.Standing, _ H, l *contract.StateLists) { l.Lists[0].Generation = 4 }, false, nil, []string{"list"}},
		{"a list of its own making", func(_ *receiver.Standing, h H, l *contract.StateLists) {
			h.Lists[0] = contract.ListAge{Kind: "plates", AgeS: -1}
			l.Lists = append(l.Lists, contract.ListState{ListRef: contract.ListRef{Kind: "plates", Generation: 1}})
		}, false, nil, nil},
		{"a journal that began anew", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.Journals = receiver.Journals{Count: 2, BeganAt: noon.Add(-time.Hour), HeardAt: noon, Other: noon.Add(-time.Hour + behindMost)}
		}, false, nil, []string{"journal"}},
		{"and long ago", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.Journals = receiver.Journals{Count: 2, BeganAt: noon.Add(-newsFor), HeardAt: noon, Other: noon.Add(-newsFor)}
		}, false, nil, nil},
		{"two journals in turn", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.Journals = receiver.Journals{Count: 2, BeganAt: noon.Add(-time.Hour), HeardAt: noon, Other: noon.Add(-time.Hour + behindMost + time.Second)}
		}, false, nil, []string{"twins"}},
		{"which is over", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.Journals = receiver.Journals{Count: 2, BeganAt: noon.AddDate(0, -1, 0), HeardAt: noon, Other: noon.Add(-twinsWithin)}
		}, false, nil, nil},
		{"counted anew", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.Falls = receiver.Falls{Conn: 1, Count: 1, At: noon.Add(-time.Minute)}
		}, false, nil, []string{"counter"}},
		{"counted anew twice in a year", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.Falls = receiver.Falls{Conn: 1, Count: 2, At: noon.Add(-time.Minute), Before: noon.AddDate(-1, 0, 0)}
		}, false, nil, []string{"counter"}},
		{"connections in turn", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.Falls = receiver.Falls{Conn: 8, Count: 2, At: noon.Add(-time.Minute), Before: noon.Add(-10 * time.Minute)}
		}, false, nil, []string{"twins"}},
		{"which was yesterday", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			s.Falls = receiver.Falls{Conn: 8, Count: 2, At: noon.Add(-newsFor), Before: noon.Add(-newsFor - 10*time.Minute)}
		}, false, nil, nil},
		{"torn states", func(s *receiver.Standing, _ H, _ *contract.StateLists) {
			for kind := range s.State {
				s.State[kind] = receiver.State{Body: []byte(`{"at":7`), At: noon}
			}
		}, false, nil, nil},
		{"many devices", func(_ *receiver.Standing, h H, _ *contract.StateLists) {
			h.Devices = make([]contract.DeviceHealth, 500)
		}, false, nil,
			slices.Repeat([]string{"device"}, mostFaults)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			neighbour := well("neighbour", func(*receiver.Standing, *contract.StateHealth, *contract.StateLists) {})
			b := judgeBoard([]receiver.Standing{neighbour, well(booth, tt.edit)}, noon)
			i := slices.IndexFunc(b.Booths, func(r boothRow) bool { return r.Booth == booth })
			if got := b.Booths[1-i].Program; got != program {
				t.Errorf("the neighbour runs %q", got)
			}
			if r := b.Booths[i]; r.On == tt.off || !slices.Equal(codes(r.Late), tt.late) || !slices.Equal(codes(r.Lacks), tt.lacks) {
				t.Errorf("on %v, late %v, lacks %v, want on %v, %v, %v", r.On, r.Late, r.Lacks, !tt.off, tt.late, tt.lacks)
			}
			if troubled := tt.off || tt.late != nil || tt.lacks != nil; troubled != (b.Off+b.Late+b.Lacking > 0) || troubled && i != 0 {
				t.Errorf("%d off, %d late, %d lacking, line %d", b.Off, b.Late, b.Lacking, i)
			}
			for _, f := range append(codes(b.Booths[i].Late), codes(b.Booths[i].Lacks)...) {
				if !slices.Contains(append(lateCodes[:len(lateCodes):len(lateCodes)], lacksCodes...), f) {
					t.Errorf("no metric knows %q", f)
				}
			}
		})
	}
}

// A list is fetched in five minutes: nobody is behind one that has just come.
func TestNobodyIsBehindAListThatHasJustCome(t *testing.T) {
	for age, want := range map[time.Duration]int{spreadAfter - time.Second: 0, spreadAfter: 1} {
		newer := well("ahead-1", func(s *receiver.Standing, _ *contract.StateHealth, l *contract.StateLists) {
			l.Lists[0].Generation, s.State["lists"] = 6, receiver.State{At: noon.Add(-age)}
		})
		b := judgeBoard([]receiver.Standing{newer, well(booth, func(*receiver.Standing, *contract.StateHealth, *contract.StateLists) {})}, noon)
		if b.Lacking != want || b.Booths[1].Lists[0].Newest != 6 && b.Booths[0].Lists[0].Newest != 6 {
			t.Errorf("%s after the newer list: %d lacking, want %d", age, b.Lacking, want)
		}
	}
}

func TestTheBoardKnowsWhenItIsDeaf(t *testing.T) {
	s := well(booth, func(*receiver.Standing, *contract.StateHealth, *contract.StateLists) {})
	for later, want := range map[time.Duration]bool{silentAfter: false, silentAfter + time.Second: true} {
		if b := judgeBoard([]receiver.Standing{s}, noon.Add(later)); b.Deaf != want || b.Heard != noon {
			t.Errorf("after %s: deaf %v, heard %s", later, b.Deaf, b.Heard)
		}
	}
	if b := judgeBoard(nil, noon); b.Deaf || b.Booths == nil {
		t.Errorf("no booths: %+v", b)
	}
}

// pages serves the board of a real database, in which a lookout hit and the
// states of a hostile booth are.
func pages(t *testing.T) (get func(path, host string) (*http.Response, string), stop func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.db")
	s, err := receiver.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	alert := event(contract.LookoutAlert{Passage: epoch, Revision: 1, Decision: contract.Decision{Outcome: "REFER"}, Hits: []passage.Hit{{ID: "LK-SECRET",
		Version: 3, Action: passage.Check, Subject: "PLATE", ReasonCode: "CUSTOMS-07", Caveat: "NO_ONWARD", Agency: "CBSA", Region: "PACIFIC", ValidFrom: noon, ValidUntil: noon}}}, 4)
	if _, err := s.Add(t.Context(), []receiver.Delivery{alert}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := s.Hear(t.Context(), map[string]receiver.Said{booth: {
		Status: &contract.Status{S: contract.Online, Conn: 7, Version: "<script>alert(1)</script>"},
		State: map[string]receiver.State{
			"info":   {Body: []byte(`{"port":"<b>port</b>","lane":"` + strings.Repeat("é", 200) + `"}`), At: now},
			"health": {Body: []byte(`{"level":"degraded","devices":[{"name":"\"><img src=x>","online":false}],"outbox":{"depth":12,"oldest_s":3}}`), At: now},
			"lists":  {Body: []byte(`{"lists":[{"list":"cards","gen":5},{"list":"evil\"","gen":9}]}`), At: now},
		}}}, now); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := receiver.OpenReport(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	h := boardPages(&boardSource{report: r, log: slog.New(slog.DiscardHandler)})
	get = func(path, host string) (*http.Response, string) {
		q := httptest.NewRequest("GET", "http://"+host+path, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w.Result(), w.Body.String()
	}
	return get, func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestI7_TheBoardTellsOfBoothsAndNotOfPeople(t *testing.T) {
	get, stop := pages(t)
	defer stop()
	for path, want := range map[string][]string{
		"/":           {"1 on", "1 lacking", booth, "device &#34;&gt;&lt;img src=x&gt; is away", "3 events below its number 4 are not here", ">12<"},
		"/board.json": {`"booth":"` + booth + `"`, `"missing":3`, `"code":"device"`, `"depth":12`},
		"/metrics": {"boothhq_database_up 1\n", `boothhq_booths{state="lacking"} 1`, `boothhq_booth_events_missing{booth="` + booth + `"} 3`,
			`boothhq_booth_lacks{booth="` + booth + `",code="device"} 1`, `boothhq_booth_lacks{booth="` + booth + `",code="list"} 0`,
			`boothhq_booth_list_generation{booth="` + booth + `",list="cards"} 5`, `boothhq_booth_outbox_events{booth="` + booth + `"} 12`},
		"/healthz": {"the database answers"},
	} {
		r, body := get(path, "127.0.0.1:9620")
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", path, r.Status, body)
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s has no %q:\n%.3000s", path, w, body)
			}
		}
		for _, never := range []string{"LK-SECRET", "CUSTOMS-07", "NO_ONWARD", "PLATE", "<script", "<img", "<b>", "evil", strings.Repeat("é", 60)} {
			if strings.Contains(body, never) {
				t.Errorf("%s holds %q", path, never)
			}
		}
		if path == "/" && !strings.Contains(r.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") {
			t.Errorf("policy %q", r.Header.Get("Content-Security-Policy"))
		}
		if r, _ := get(path, "evil.example"); r.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s for another host: %s", path, r.Status)
		}
	}
	if r, _ := get("/nothing", "localhost"); r.StatusCode != http.StatusNotFound {
		t.Errorf("/nothing: %s", r.Status)
	}
}

// Two boxes under one name, as their words come to the database, are told to
// people, programs and Prometheus.
func TestTheBoardTellsTwins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	s, err := receiver.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i, conn := range []uint64{412, 7, 413, 8} {
		at := now.Add(time.Duration(i-4) * time.Minute)
		word := contract.Status{S: contract.Online, Conn: conn, Boot: []string{"a", "b"}[i%2], At: at}
		if err := s.Hear(t.Context(), map[string]receiver.Said{booth: {Status: &word, Came: []contract.Status{word}}}, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := receiver.OpenReport(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := boardPages(&boardSource{report: r, log: slog.New(slog.DiscardHandler)})
	for path, want := range map[string][]string{
		"/":           {"two boxes speak under its name"},
		"/board.json": {`"code":"twins"`, `"conn":413`, `"conn_falls":2`},
		"/metrics":    {`boothhq_booth_lacks{booth="` + booth + `",code="twins"} 1`, `boothhq_booth_lacks{booth="` + booth + `",code="journal"} 0`, `boothhq_booth_connections_fallen_total{booth="` + booth + `"} 2`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+path, nil))
		for _, x := range want {
			if !strings.Contains(w.Body.String(), x) {
				t.Errorf("%s has no %s:\n%.2000s", path, x, w.Body.String())
			}
		}
	}
}

func TestTheBoardSaysThatTheDatabaseIsAway(t *testing.T) {
	get, stop := pages(t)
	stop()
	for _, path := range []string{"/", "/board.json", "/healthz"} {
		if r, body := get(path, "localhost"); r.StatusCode != http.StatusServiceUnavailable || body != "the database does not answer\n" {
			t.Errorf("%s: %s %q", path, r.Status, body)
		}
	}
	if _, body := get("/metrics", "[::1]:9620"); !strings.Contains(body, "boothhq_database_up 0\n") || strings.Contains(body, "boothhq_booth_") {
		t.Errorf("metrics:\n%s", body)
	}
}

// boothhq board --listen serves until it is told to stop.
func TestTheBoardIsServed(t *testing.T) {
	dir := t.TempDir()
	db, socket := filepath.Join(dir, "events.db"), filepath.Join(dir, "s")
	s, err := receiver.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var log bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"board", "--db", db, "--listen", "unix:" + socket}, io.Discard, &log)
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialUnix(socket)}}
	for {
		r, err := client.Get("http://localhost/board.json")
		if err == nil {
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || !strings.Contains(string(body), `"booths":[]`) {
				t.Errorf("board: %s, %v", body, err)
			}
			break
		}
		select {
		case code := <-ended:
			t.Fatalf("left with %d: %s", code, &log)
		case <-time.After(10 * time.Millisecond): // until it listens
		}
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("left with %d: %s", code, &log)
	}
}

func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}
