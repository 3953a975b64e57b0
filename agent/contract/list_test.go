package contract

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/passage"
)

func listTok(n byte) passage.Token {
	return TokenHex([16]byte(bytes.Repeat([]byte{n}, 16)))
}

var day = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)

func goodLookout(id string, m Match) Lookout {
	return Lookout{ID: id, Version: 3, Match: m, Action: passage.Observe, Subject: "PLATE", ReasonCode: "VEHICLE", Caveat: "ORIGINATOR_CONTROL",
		Agency: "CBSA", Region: "Pacific", OfficerSafety: true, ValidFrom: day, ValidUntil: day.AddDate(0, 0, 90)}
}

// goldenRows are one of each, with every part set and with none.
func goldenRows() []struct {
	name, kind, hex string
	row             interface {
		Append([]byte) ([]byte, error)
	}
} {
	type row = struct {
		name, kind, hex string
		row             interface {
			Append([]byte) ([]byte, error)
		}
	}
	x := func(n byte) string { return strings.Repeat(fmt.Sprintf("%02x", n), 16) }
	return []row{
		{"bare card", ListCards, "010100" + x(1), CardRow{Status: passage.Issued, Member: listTok(1)}},
		{"full card", ListCards, "010407" + x(1) + "6a445880" + x(2),
			CardRow{Status: passage.Stolen, Member: listTok(1), CardUntil: day, Extended: true, TID: listTok(2)}},
		{"bare member", ListMembers, "0103000000", MemberRow{Status: passage.Revoked}},
		{"full member", ListMembers, "0101030009" + "6a445880" + "6c258c00",
			MemberRow{Status: passage.Active, Programs: []string{"NEXUS", "SENTRI"}, ValidFrom: day, ValidUntil: day.AddDate(1, 0, 0)}},
		{"vehicle", ListVehicles, "0101" + x(3) + x(4), VehicleRow{Plates: []VehiclePlate{{listTok(3), listTok(4)}}}},
		{"lookout", ListLookouts, "0101" + "034c2d31" + "0000000000000003" + "02" + "03" + "01" + "01" + "0756454849434c45" +
			"124f524947494e41544f525f434f4e54524f4c" + "0443425341" + "0750616369666963" + "6a445880" + "6abaff80",
			LookoutRow{Lookouts: []Lookout{goodLookout("L-1", MatchBare)}}},
	}
}

func parse(kind string, v []byte) (interface {
	Append([]byte) ([]byte, error)
}, error) {
	switch kind {
	case ListCards:
		return ParseCardRow(v)
	case ListMembers:
		return ParseMemberRow(v)
	case ListVehicles:
		return ParseVehicleRow(v)
	}
	return ParseLookoutRow(v)
}

func TestListRowsAreGolden(t *testing.T) {
	for _, g := range goldenRows() {
		t.Run(g.name, func(t *testing.T) {
			v, err := g.row.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(v); got != g.hex {
				t.Errorf("Append =\n%s, want\n%s", got, g.hex)
			}
			back, err := parse(g.kind, v)
			if err != nil || !reflect.DeepEqual(back, g.row) {
				t.Errorf("parsed %+v, %v, want %+v", back, err, g.row)
			}
			for n := range v {
				if err := CheckListRow(g.kind, v[:n]); !errors.Is(err, ErrListRow) {
					t.Errorf("cut to %d bytes: %v, want ErrListRow", n, err)
				}
			}
			if err := CheckListRow(g.kind, append(slices.Clone(v), 0)); !errors.Is(err, ErrListRow) {
				t.Errorf("one byte more: %v, want ErrListRow", err)
			}
		})
	}
}

func TestListRowsRefuseWhatTheyCannotCarry(t *testing.T) {
	long := goodLookout("L-1", MatchExact)
	long.ValidUntil = long.ValidUntil.Add(time.Second)
	nameless := goodLookout("", MatchExact)
	many := LookoutRow{}
	for i := range maxLookouts + 1 {
		many.Lookouts = append(many.Lookouts, goodLookout(fmt.Sprint(i), MatchExact))
	}
	tests := []struct {
		name string
		row  interface {
			Append([]byte) ([]byte, error)
		}
	}{
		{"unknown card status", CardRow{Member: listTok(1)}},
		{"membership status on a card", CardRow{Status: passage.Active, Member: listTok(1)}},
		{"card without member", CardRow{Status: passage.Issued}},
		{"upper-case token", CardRow{Status: passage.Issued, Member: passage.Token(strings.Repeat("AB", 16))}},
		{"card until 2200", CardRow{Status: passage.Issued, Member: listTok(1), CardUntil: day.AddDate(180, 0, 0)}},
		{"unknown member status", MemberRow{}},
		{"unknown programme", MemberRow{Status: passage.Active, Programs: []string{"nexus"}}},
		{"no vehicle", VehicleRow{}},
		{"lookout over 90 days", LookoutRow{[]Lookout{long}}},
		{"lookout without id", LookoutRow{[]Lookout{nameless}}},
		{"lookout twice", LookoutRow{[]Lookout{goodLookout("L-1", MatchFold), goodLookout("L-1", MatchFold)}}},
		{"too many lookouts", many},
	}
	for _, tt := range tests {
		if v, err := tt.row.Append(nil); !errors.Is(err, ErrListRow) || v != nil {
			t.Errorf("%s: Append = %x, %v, want ErrListRow", tt.name, v, err)
		}
	}
}

func TestVehicleLinkedByJurisdictionWhereOneWasRead(t *testing.T) {
	v := VehicleRow{Plates: []VehiclePlate{{Full: listTok(1), Bare: listTok(2)}}}
	for _, tt := range []struct {
		full, bare passage.Token
		want       bool
	}{{listTok(1), listTok(2), true}, {"", listTok(2), true}, {listTok(9), listTok(2), false}, {"", listTok(9), false}, {"", "", false}} {
		if got := v.Linked(tt.full, tt.bare); got != tt.want {
			t.Errorf("Linked(%q, %q) = %v, want %v", tt.full, tt.bare, got, tt.want)
		}
	}
}

func TestOnlyAnExactLookoutIsCertain(t *testing.T) {
	for m, want := range map[Match]bool{MatchExact: false, MatchBare: true, MatchFold: true} {
		if got := goodLookout("L-1", m).Hit().Possible; got != want {
			t.Errorf("match %d: possible = %v, want %v", m, got, want)
		}
	}
}

func fileRows(n int) []ListRow {
	rows := make([]ListRow, n)
	for i := range rows {
		v, err := CardRow{Status: passage.Issued, Member: listTok(byte(i))}.Append(nil)
		if err != nil {
			panic(err)
		}
		rows[i] = ListRow{Token: [16]byte{0: byte(i >> 8), 1: byte(i), 15: 7}, Value: v}
	}
	return rows
}

func listFile(t testing.TB, rows []ListRow) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := WriteList(&b, ListCards, rows); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(b []byte) (ListHeader, []ListRow, error) {
	l, err := ReadList(bytes.NewReader(b))
	if err != nil {
		return ListHeader{}, nil, err
	}
	var rows []ListRow
	for r, err := range l.Rows() {
		if err != nil {
			return l.ListHeader, rows, err
		}
		rows = append(rows, ListRow{r.Token, slices.Clone(r.Value)})
	}
	return l.ListHeader, rows, nil
}

// The stored file was written by the first version of this program; it must
// be read for ever. The compressed part of a new file may differ with the
// compressor, the header may not.
func TestListFileIsGolden(t *testing.T) {
	name := filepath.Join("testdata", "cards-format-1.list")
	fresh := listFile(t, fileRows(300))
	stored, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && *update {
		if err := os.WriteFile(name, fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		stored = fresh
	} else if err != nil {
		t.Fatal(err)
	}
	h, rows, err := readAll(stored)
	if err != nil || !reflect.DeepEqual(rows, fileRows(300)) {
		t.Fatalf("stored file gives %d rows, %v", len(rows), err)
	}
	head := h.append(nil)
	if !bytes.HasPrefix(fresh, head) || !bytes.HasPrefix(stored, head) {
		t.Errorf("header changed: %x", fresh[:len(head)])
	}
	if got, want := hex.EncodeToString(h.Digest[:]), "20fe89e765edd6a3de32253176572c57617a81b063e6d2d043f0a3c84e0ccc69"; got != want {
		t.Errorf("digest = %s, want %s", got, want)
	}
}

func TestListFileRefusesEveryCutAndFlip(t *testing.T) {
	want := fileRows(40)
	b := listFile(t, want)
	for n := range b {
		if _, _, err := readAll(b[:n]); !errors.Is(err, ErrListFile) {
			t.Fatalf("cut to %d of %d bytes: %v, want ErrListFile", n, len(b), err)
		}
	}
	for n := range b {
		for bit := range 8 {
			bad := slices.Clone(b)
			bad[n] ^= 1 << bit
			h, rows, err := readAll(bad)
			if err == nil && !reflect.DeepEqual(rows, want) {
				t.Fatalf("byte %d bit %d flipped: accepted as %s with other rows", n, bit, h.Kind)
			}
		}
	}
	for _, tail := range []string{"x", string(b), "\x00\x00\x00\x00"} {
		if _, _, err := readAll(append(slices.Clone(b), tail...)); !errors.Is(err, ErrListFile) {
			t.Errorf("%d bytes behind the list: %v, want ErrListFile", len(tail), err)
		}
	}
}

func TestListFileRefusesDisorder(t *testing.T) {
	rows := fileRows(3)
	slices.Reverse(rows)
	if _, err := WriteList(io.Discard, ListCards, rows); !errors.Is(err, ErrListFile) {
		t.Errorf("descending rows: %v, want ErrListFile", err)
	}
	if _, err := WriteList(io.Discard, ListCards, []ListRow{rows[0], rows[0]}); !errors.Is(err, ErrListFile) {
		t.Errorf("a token twice: %v, want ErrListFile", err)
	}
	if _, err := WriteList(io.Discard, "../cards", rows); !errors.Is(err, ErrListFile) {
		t.Errorf("odd kind: %v, want ErrListFile", err)
	}
}

// A header that promises few rows over a stream of many stops at the promise.
func TestListFileStopsABomb(t *testing.T) {
	rows := fileRows(2000)
	b := listFile(t, rows)
	h := ListHeader{Kind: ListCards, Rows: 1}
	full, err := summed(ListCards, rows)
	if err != nil {
		t.Fatal(err)
	}
	short, err := summed(ListCards, rows[:1])
	if err != nil {
		t.Fatal(err)
	}
	h.Digest = short.Digest
	bomb := append(h.append(nil), b[len(full.append(nil)):]...)
	if _, got, err := readAll(bomb); !errors.Is(err, ErrListFile) || len(got) > 1 {
		t.Errorf("read %d rows, %v, want ErrListFile after 1", len(got), err)
	}
}

func FuzzListFile(f *testing.F) {
	f.Add(listFile(f, nil))
	f.Add(listFile(f, fileRows(1)))
	f.Add(listFile(f, fileRows(50)))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rows, err := readAll(b)
		if err != nil {
			return
		}
		again, err := summed(h.Kind, rows)
		if err != nil || again != h {
			t.Fatalf("accepted rows do not give the header back: %+v, %v", again, err)
		}
	})
}

func FuzzListRow(f *testing.F) {
	for _, g := range goldenRows() {
		v, err := g.row.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(g.kind, v)
	}
	f.Fuzz(func(t *testing.T, kind string, v []byte) {
		if !slices.Contains(ListKinds(), kind) {
			return
		}
		row, err := parse(kind, v)
		if (err == nil) != (CheckListRow(kind, v) == nil) {
			t.Fatal("CheckListRow disagrees with the parser")
		}
		if err != nil {
			return
		}
		back, err := row.Append(nil)
		if err != nil || !bytes.Equal(back, v) {
			t.Fatalf("%x parsed, but is written as %x, %v", v, back, err)
		}
	})
}
