package receiver

import (
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"boothd/agent/contract"
)

// runFile runs one of configs/hq's files in a database, as its owner.
func runFile(t *testing.T, db, name string) {
	t.Helper()
	text, err := os.ReadFile("../../../../configs/hq/" + name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), string(text)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// as is a database by another name of its user.
func as(t *testing.T, db, user string) string {
	t.Helper()
	u, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("user", user)
	u.RawQuery = q.Encode()
	return u.String()
}

// denied wants an error that says so.
func denied(t *testing.T, what string, err error) {
	t.Helper()
	if said, ok := errors.AsType[*pgconn.PgError](err); !ok || said.Code != "42501" {
		t.Errorf("%s: %v, want permission denied", what, err)
	}
}

// The database itself keeps each program to its own: I7 does not rest on the
// board alone.
func TestI7_RolesOfTheDatabase(t *testing.T) {
	db := newPostgres(t)
	runFile(t, db, "postgres-roles.sql")
	first := openStore(t, as(t, db, "HQ-receiver"))
	runFile(t, db, "postgres-grants.sql")
	mustAdd(t, first, audit(boothA, 1), alert(2, passage1, noon, hit("LK-1")))
	second := openStore(t, as(t, db, "HQ-receiver-2"))
	mustAdd(t, second, audit(boothA, 3))
	mustAdd(t, second, tombstone(6, [2]uint64{4, 5}))
	if err := second.Hear(t.Context(), map[string]Said{boothA: {Status: &contract.Status{S: contract.Online, Conn: 1}}}, noon); err != nil {
		t.Fatal(err)
	}
	if r := mustReceipt(t, second, boothA); r.Upto != 6 {
		t.Errorf("receipt %+v, want up to 6", r)
	}

	board, err := OpenReport(t.Context(), as(t, db, "HQ-board"))
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	if got, err := board.Standings(t.Context()); err != nil || len(got) != 1 || got[0].Upto != 6 || got[0].Missing != 0 || got[0].Thinned != 2 {
		t.Errorf("the board sees %+v, %v", got, err)
	}
	_, err = board.Export(t.Context(), io.Discard, Selection{})
	denied(t, "the board exporting", err)

	report, err := OpenReport(t.Context(), as(t, db, "HQ-report"))
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	if s, err := report.Summary(t.Context()); err != nil || s.Events != 4 || s.Missing != 0 || s.Thinned != 2 {
		t.Errorf("the report sees %+v, %v", s, err)
	}
	var out strings.Builder
	if n, err := report.Export(t.Context(), &out, Selection{}); n != 4 || err != nil {
		t.Errorf("exported %d, %v", n, err)
	}
	if err := report.db.exec(t.Context(), "SET default_transaction_read_only = off"); err != nil {
		t.Fatal(err)
	}
	denied(t, "the report deleting", report.db.exec(t.Context(), "DELETE FROM event"))

	desk := newDesk(t, as(t, db, "HQ-desk"))
	if got := hits(t, desk, Which{}, noon); len(got) != 1 {
		t.Errorf("the desk sees %+v", got)
	}
	if n, err := desk.Resolve(t.Context(), passage1, "", Examined, "watch 7", noon); n != 1 || err != nil {
		t.Errorf("the desk resolves %d, %v", n, err)
	}
	denied(t, "the desk reading events", desk.db.exec(t.Context(), "SELECT body FROM event"))
	denied(t, "the desk undoing", desk.db.exec(t.Context(), "DELETE FROM act"))
}
