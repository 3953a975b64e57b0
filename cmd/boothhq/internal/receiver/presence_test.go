package receiver

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"boothd/agent/contract"
)

func standing(t *testing.T, path string) Standing {
	t.Helper()
	r, err := OpenReport(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := r.Standings(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d standings, %v", len(all), err)
	}
	return all[0]
}

func TestConnectionNumbersThatFall(t *testing.T) { each(t, testFalls) }

// testFalls counts the falls of a connection number: not those of words that are
// late, that come again, that a broker had kept, or of the will of a connection.
func testFalls(t *testing.T, fresh func() string) {
	at := func(min int) time.Time { return noon.Add(time.Duration(min) * time.Minute) }
	on := func(min int, conn uint64, boot string) contract.Status {
		return contract.Status{S: contract.Online, Conn: conn, Boot: boot, At: at(min), Version: "1"}
	}
	for _, tt := range []struct {
		name string
		came []contract.Status // one every minute
		want Falls
	}{
		{"one box", []contract.Status{on(0, 411, "a"), on(1, 412, "a"), on(2, 413, "b")}, Falls{Conn: 413}},
		{"delivered again", []contract.Status{on(0, 411, "a"), on(1, 412, "b"), on(0, 411, "a"), on(1, 412, "b")}, Falls{Conn: 412}},
		{"a box that was replaced", []contract.Status{on(0, 411, "a"), on(1, 1, "b"), on(2, 2, "b"), on(3, 3, "c")}, Falls{Conn: 3, Count: 1, At: at(1)}},
		{"twins", []contract.Status{on(0, 411, "a"), on(1, 7, "b"), on(2, 412, "a"), on(3, 8, "b"), on(4, 413, "a")}, Falls{Conn: 413, Count: 2, At: at(3), Before: at(1)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, path := newStore(t, fresh())
			for i, word := range tt.came {
				if err := s.Hear(t.Context(), map[string]Said{boothA: {Status: &word, Came: []contract.Status{word}}}, at(i)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, standing(t, path).Falls); diff != "" {
				t.Errorf("falls (-want +got):\n%s", diff)
			}
			// The same in one batch: the words are looked at as they came.
			s, path = newStore(t, fresh())
			if err := s.Hear(t.Context(), map[string]Said{boothA: {Came: tt.came}}, at(9)); err != nil {
				t.Fatal(err)
			}
			if got := standing(t, path).Falls; got.Count != tt.want.Count || got.Conn != tt.want.Conn {
				t.Errorf("in one batch: %+v", got)
			}
		})
	}
	var all []contract.Status
	for range 2 * mostCame {
		all = came(all, on(0, 1, "a"), false)
		if n := len(came(all, contract.Status{S: contract.Offline}, false)) + len(came(all, on(0, 1, "a"), true)); n != 2*len(all) {
			t.Fatal("a will, or a word that a broker had kept, tells who is on")
		}
	}
	if len(all) != mostCame {
		t.Errorf("%d words are looked at", len(all))
	}
}

func TestJournalsOfABooth(t *testing.T) { each(t, testJournals) }

// testJournals tells a journal that follows another from two that go on in turn.
func testJournals(t *testing.T, fresh func() string) {
	s, path := newStore(t, fresh())
	say := func(min int, epoch string, seq uint64) {
		t.Helper()
		d := audit(boothA, seq)
		d.Body, d.At = event(boothA, epoch, seq), noon.Add(time.Duration(min)*time.Minute)
		mustAdd(t, s, d)
	}
	want := func(n int, began, heard, other int) {
		t.Helper()
		at := func(min int) time.Time {
			if min < 0 {
				return time.Time{}
			}
			return noon.Add(time.Duration(min) * time.Minute)
		}
		if diff := cmp.Diff(Journals{n, at(began), at(heard), at(other)}, standing(t, path).Journals); diff != "" {
			t.Errorf("journals (-want +got):\n%s", diff)
		}
	}
	say(0, epochA, 1)
	say(5, epochA, 2)
	want(1, 0, 5, -1)
	say(10, epochB, 1)
	say(20, epochB, 2)
	want(2, 10, 20, 5)
	say(40, epochA, 3) // a twin, or the last of the old one
	want(2, 10, 20, 40)
}

// A database of the version before is taken over with what is in it.
func TestADatabaseOfTheVersionBeforeIsTakenOver(t *testing.T) {
	old := `INSERT INTO booth (name, status, conn) VALUES ('` + boothA + `', 'online', 7);
		INSERT INTO epoch (booth, name, upto, heard_at) VALUES (1, '` + epochA + `', 0, 5000000)`
	path := filepath.Join(t.TempDir(), "events.db")
	db, err := sql.Open("sqlite3", path)
	if err == nil {
		_, err = db.Exec(schema + deskSchema + stateSchema + old)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	url := newPostgres(t)
	c, err := pgx.Connect(t.Context(), url)
	if err == nil {
		_, err = c.Exec(t.Context(), pgSchema+old)
	}
	if err := errors.Join(err, c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{path, url} {
		if _, err := OpenReport(t.Context(), place); err == nil {
			t.Errorf("%s: a report of the old version, taken over by nobody", place)
		}
		for range 2 {
			if err := openStore(t, place).Close(); err != nil {
				t.Fatal(err)
			}
		}
		got := standing(t, place)
		if got.Conn != 7 || got.Journals != (Journals{Count: 1, BeganAt: time.UnixMicro(5000000).UTC(), HeardAt: time.UnixMicro(5000000).UTC()}) {
			t.Errorf("%s: %+v", place, got)
		}
	}
}
