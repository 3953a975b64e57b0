package receiver

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"boothd/agent/contract"
)

// statements runs statements in a database, beside whoever has it open.
func statements(t *testing.T, db string, all ...string) {
	t.Helper()
	run := func(exec func(q string) error) {
		for _, q := range all {
			if err := exec(q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
	}
	if isPostgres(db) {
		c, err := pgx.Connect(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(t.Context())
		run(func(q string) error { _, err := c.Exec(t.Context(), q); return err })
		return
	}
	c, err := sql.Open("sqlite3", filepath.Clean(db))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	run(func(q string) error { _, err := c.Exec(q); return err })
}

// What stands above a hole is never read again, neither by the board, which asks
// every few seconds, nor by a receiver that starts: a hole may be for ever, since
// a booth forgets. So neither finds out that the events are gone.
func TestNothingAboveAHoleIsReadAgain(t *testing.T) { each(t, testNothingAboveAHole) }

func testNothingAboveAHole(t *testing.T, fresh func() string) {
	s, db := newStore(t, fresh())
	bad := audit(boothA, 12)
	bad.Topic = contract.EventTopic(boothA, contract.ClassCrossing)
	mustAdd(t, s, audit(boothA, 1), audit(boothA, 2), audit(boothA, 7), audit(boothA, 8), bad, audit(boothA, 14), tombstone(16, [2]uint64{4, 5}))
	mustAdd(t, s, audit(boothA, 9), audit(boothA, 13), audit(boothA, 18))
	mustAdd(t, s, audit(boothA, 17), audit(boothA, 3), audit(boothA, 20))
	want := mustReceipt(t, s, boothA)
	if diff := gocmp.Diff([][2]uint64{{7, 9}, {12, 14}, {16, 18}, {20, 20}}, want.Have); diff != "" || want.Upto != 5 {
		t.Fatalf("receipt up to %d (-want +got):\n%s", want.Upto, diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	statements(t, db, "DELETE FROM event WHERE type <> '"+string(contract.TypeThinned)+"'")
	if st := standing(t, db); st.Upto != 5 || st.Last != 20 || st.Missing != 5 || st.Thinned != 2 {
		t.Errorf("standing %+v", st)
	}
	if s, err := Open(t.Context(), db); err != nil {
		t.Error(err)
	} else {
		if diff := gocmp.Diff(want, mustReceipt(t, s, boothA)); diff != "" {
			t.Errorf("receipt (-want +got):\n%s", diff)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A report counts what is here: it tells also of what the ranges lack.
func TestAReportDoesNotTrustTheRanges(t *testing.T) { each(t, testReportDoesNotTrust) }

func testReportDoesNotTrust(t *testing.T, fresh func() string) {
	s, db := newStore(t, fresh())
	mustAdd(t, s, audit(boothA, 1), audit(boothA, 5))
	forget := "DELETE FROM held"
	if isPostgres(db) {
		forget = "UPDATE epoch SET held = '{}'"
	}
	statements(t, db, forget)
	if sum := summary(t, db); sum.Missing != 3 || sum.Booths[0].Epochs[0].Last != 5 {
		t.Errorf("%+v", sum)
	}
}

// What a tombstone tells that an older receiver has kept is looked for at every
// start: among tombstones, and not among all that is above a hole.
func TestTombstonesAreFoundWithoutTheOthers(t *testing.T) { each(t, testTombstonesAreFound) }

func testTombstonesAreFound(t *testing.T, fresh func() string) {
	s, db := newStore(t, fresh())
	var ds []Delivery
	for seq := range uint64(3000) {
		ds = append(ds, audit(boothA, seq+2))
	}
	mustAdd(t, s, ds...)
	if isPostgres(db) { // as the version before left it
		statements(t, db, "DROP INDEX event_thinned", "UPDATE schema_version SET version = 5")
		openStore(t, db)
	}
	statements(t, db, "ANALYZE")
	q, err := opened(t.Context(), db, true)
	if err != nil {
		t.Fatal(err)
	}
	defer q.close()
	explain := "EXPLAIN QUERY PLAN "
	if isPostgres(db) {
		explain = "EXPLAIN "
	}
	rows, err := q.query(t.Context(), explain+untoldQuery)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var line string
		into := []any{&line}
		if !isPostgres(db) {
			var id, parent, unused int
			into = []any{&id, &parent, &unused, &line}
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, line)
	}
	if err := rows.Err(); err != nil || !strings.Contains(strings.Join(plan, "\n"), "event_thinned") {
		t.Errorf("%v, the plan reads all events:\n%s", err, strings.Join(plan, "\n"))
	}
}

// A database of the version before is raised with what is above its marks.
func TestRangesOfAnOlderVersion(t *testing.T) {
	db := filepath.Join(t.TempDir(), "events.db")
	c, err := sql.Open("sqlite3", db)
	if err == nil {
		_, err = c.Exec(schema + deskSchema + stateSchema + presenceSchema + goneSchema + `
			INSERT INTO booth (name) VALUES ('` + boothA + `'), ('lacolle-2');
			INSERT INTO epoch (booth, name, upto, heard_at, thinned) VALUES (1, '` + epochA + `', 2, 5, 1), (2, '` + epochA + `', 1, 5, 0);
			INSERT INTO event SELECT e.id, n.seq, 'id-' || n.seq, 'x', 'audit', 1, 1, 1, 0, x'7b7d' FROM epoch e, (SELECT column1 AS seq FROM (VALUES (1), (2), (5), (6), (9))) n;
			INSERT INTO event SELECT 1, column1, 'id-' || column1, 'x', 'audit', 1, 1, 1, 0, x'7b7d' FROM (VALUES (8), (12));
			INSERT INTO reject VALUES (1, 7, 'schema', '', 1, x'7b7d'), (2, 3, 'schema', '', 1, x'7b7d');
			INSERT INTO gone VALUES (1, 4);
			UPDATE epoch SET upto = 3 WHERE id = 2`)
	}
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // to be started again changes nothing
		s, err := Open(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		for booth, want := range map[string]contract.Receipt{
			boothA: {Epoch: epochA, Upto: 2, Have: [][2]uint64{{5, 9}, {12, 12}}, Want: [][2]uint64{{3, 3}, {10, 11}},
				Reject: []contract.Reject{{Seq: 7, Code: "schema"}}},
			"lacolle-2": {Epoch: epochA, Upto: 3, Have: [][2]uint64{{5, 6}, {9, 9}}, Want: [][2]uint64{{4, 4}, {7, 8}},
				Reject: []contract.Reject{{Seq: 3, Code: "schema"}}},
		} {
			if diff := gocmp.Diff(want, mustReceipt(t, s, booth)); diff != "" {
				t.Errorf("receipt of %s (-want +got):\n%s", booth, diff)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if sum := summary(t, db); sum.Missing != 3+3 {
			t.Errorf("%d missing", sum.Missing)
		}
	}
}
