package receiver

import (
	"context"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// whole tells whether a database has the index of tombstones, and may use it.
func whole(t *testing.T, db string) bool {
	t.Helper()
	c, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	is, err := indexed(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// writing has somebody write into event, until it is told to end.
func writing(t *testing.T, db string) (end func()) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	tx, err := c.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "LOCK TABLE event IN ROW EXCLUSIVE MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Receivers are replaced one at a time: those of the version before keep events
// while a new one makes the index, however long it takes, and others that start
// meanwhile wait for it.
func TestI5_AnIndexIsMadeBesideReceivers(t *testing.T) {
	db := newPostgres(t)
	older := openStore(t, db)
	mustAdd(t, older, audit(boothA, 1), audit(boothA, 2), tombstone(6, [2]uint64{3, 4}))
	statements(t, db, "DROP INDEX event_thinned", "UPDATE schema_version SET version = 5")
	witness := openStore(t, newPostgres(t)).(*Postgres).db // it sees the whole server, and holds nothing up
	end := writing(t, db)
	started := make(chan error, 3)
	for range cap(started) {
		go func() {
			s, err := Open(t.Context(), db)
			if err == nil {
				err = s.Close()
			}
			started <- err
		}()
	}
	for making := false; !making; time.Sleep(10 * time.Millisecond) {
		if err := witness.queryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE query LIKE '%CREATE INDEX%event_thinned%' AND wait_event_type = 'Lock')").Scan(&making); err != nil {
			t.Fatal(err)
		}
	}
	mustAdd(t, older, audit(boothA, 5), audit(boothA, 7))
	end()
	for range cap(started) {
		if err := <-started; err != nil {
			t.Error(err)
		}
	}
	if !whole(t, db) {
		t.Error("no index")
	}
	if sum := summary(t, db); sum.Events != 5 || sum.Thinned != 2 || sum.Missing != 0 {
		t.Errorf("%+v", sum)
	}
}

// A receiver that is stopped while it makes the index leaves one that nobody can use.
func TestAnIndexThatWasCutOffIsMadeAnew(t *testing.T) {
	db := newPostgres(t)
	mustAdd(t, openStore(t, db), audit(boothA, 1))
	statements(t, db, "DROP INDEX event_thinned")
	end := writing(t, db)
	c, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), "SET lock_timeout = '10ms'"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "CREATE INDEX CONCURRENTLY "+thinnedIndex); err == nil {
		t.Fatal("it was not held up")
	}
	end()
	if whole(t, db) {
		t.Fatal("what was cut off is whole")
	}
	openStore(t, db)
	if !whole(t, db) {
		t.Error("no index")
	}
}

// Who starts while another raises the schema waits for it, however long that takes,
// and for nothing else longer than ever.
func TestI5_AStartWaitsForTheSchema(t *testing.T) {
	db := newPostgres(t)
	raises, waits := openStore(t, db).(*Postgres), openStore(t, db).(*Postgres)
	tx, err := raises.db.begin(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.rollback()
	if err := tx.exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtext('boothhq schema'))"); err != nil {
		t.Fatal(err)
	}
	bounds := make(map[string]string)
	done := make(chan error, 1)
	go func() {
		done <- waits.transaction(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '100ms';"+pgSchemaLock)
			for name := range pgBounds {
				var value string
				if err == nil {
					err = tx.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value)
				}
				bounds[name] = value
			}
			return err
		})
	}()
	for waiting := false; !waiting && len(done) == 0; {
		if err := tx.queryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted)").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.exec(t.Context(), "SELECT pg_sleep(0.3)"); err != nil {
		t.Fatal(err)
	}
	tx.rollback()
	if err := <-done; err != nil {
		t.Error(err)
	} else if diff := gocmp.Diff(pgBounds, bounds); diff != "" {
		t.Errorf("bounds (-want +got):\n%s", diff)
	}
}
