package eligibility

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"boothd/buffer/internal/sqlite"
)

// lengths are rows whose values have lengths between two bounds.
func lengths(n, least, most int, seed uint64) []Row {
	rows, dice := randomRows(n, seed), rand.New(rand.NewPCG(seed, 3))
	for i := range rows {
		rows[i].Value = bytes.Repeat([]byte{byte('a' + i%26)}, least+dice.IntN(most-least+1))
	}
	return rows
}

// What the loader writes is a sound SQLite file, whatever the number of rows and
// their lengths, and SQLite reads from it what was written, in order.
func TestLoaderWritesWhatSQLiteCallsSound(t *testing.T) {
	lists := map[string][]Row{"long": longRows(3_000, 4), "short": randomRows(50_000, 5)}
	for n := range 200 { // around the end of the first pages
		lists[fmt.Sprintf("%d short", n)] = lengths(n, 1, 30, uint64(n))
	}
	for n := range 40 {
		lists[fmt.Sprintf("%d of half a page", n)] = lengths(n, 900, 1010, uint64(n))
		lists[fmt.Sprintf("%d of the longest", n)] = lengths(n, MaxValue-1, MaxValue, uint64(n))
	}
	for i := range 20 {
		lists[fmt.Sprintf("mixed %d", i)] = lengths(300+i*37, 1, MaxValue, uint64(1000+i))
	}
	s := open(t, t.TempDir())
	generation := uint64(0)
	for name, rows := range lists {
		generation++
		built := build(t, s, "cards", generation, rows)
		conn, err := sqlite.OpenRaw(t.Context(), built.path, sqlite.Options{Immutable: true})
		if err != nil {
			t.Fatal(err)
		}
		check, err := conn.Prepare("PRAGMA integrity_check")
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range check.Rows() {
			if err != nil || row[0] != "ok" {
				t.Errorf("%s: SQLite says %v, %v", name, row[0], err)
			}
		}
		all, err := conn.Prepare("SELECT token, value FROM row ORDER BY token")
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for row, err := range all.Rows() {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			token, sealed := row[0].([]byte), row[1].([]byte)
			if i < len(rows) && (!bytes.Equal(token, rows[i].Token[:]) || !bytes.HasPrefix(sealed, rows[i].Value)) {
				t.Fatalf("%s: row %d is another", name, i)
			}
			i++
		}
		if i != len(rows)+1 {
			t.Errorf("%s: %d rows, want %d and the last", name, i, len(rows))
		}
		for _, c := range []interface{ Close() error }{check, all, conn} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := built.Remove(); err != nil {
			t.Error(err)
		}
	}
}
