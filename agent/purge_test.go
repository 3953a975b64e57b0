package agent

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/eligibility"
)

// shelfOf is a shelf with lookouts on the given tokens, each until its time.
func shelfOf(t *testing.T, until map[passage.Token][]time.Time) (s *shelf, kept *[]contract.Data) {
	t.Helper()
	kept = new([]contract.Data)
	s = &shelf{log: slog.New(slog.DiscardHandler), dir: t.TempDir(), quality: func() passage.Clock { return passage.ClockSynced },
		stamp: func(time.Time) contract.Clock { return contract.Clock{Boot: "b", Quality: "synced"} },
		store: func(_ context.Context, _ time.Time, d ...contract.Data) (uint64, error) {
			*kept = append(*kept, d...)
			return uint64(len(*kept)), nil
		}}
	st, err := eligibility.Open(t.Context(), filepath.Join(s.dir, "lists"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s.open.Store(st)
	var rows []eligibility.Row
	for token, ends := range until {
		var row contract.LookoutRow
		for i, end := range ends {
			row.Lookouts = append(row.Lookouts, contract.Lookout{ID: string(token[:6]) + string(rune('a'+i)), Version: 1, Match: contract.MatchExact, Action: passage.Stop,
				Subject: "PLATE", ReasonCode: "R", Agency: "CBSA", ValidFrom: end.AddDate(0, 0, -30), ValidUntil: end})
		}
		value, err := row.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := contract.TokenBytes(token)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, eligibility.Row{Token: b, Value: value})
	}
	slices.SortFunc(rows, func(a, b eligibility.Row) int { return bytes.Compare(a.Token[:], b.Token[:]) })
	built, err := st.Build(t.Context(), eligibility.Spec{Kind: contract.ListLookouts, Generation: 4, Rows: uint64(len(rows)), Digest: eligibility.Digest(rows)},
		func(yield func(eligibility.Row, error) bool) {
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
		})
	if err == nil {
		err = st.Activate(t.Context(), built)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, kept
}

// everything is every byte of the shelf's files.
func everything(t *testing.T, s *shelf) (all []byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.dir, "lists", "*"))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func TestExpiredLookoutsLeaveTheBox(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	past, future := now.Add(-time.Minute), now.Add(24*time.Hour)
	gone, stays, half := passage.Token("11111111aaaaaaaa1111111122222222"), passage.Token("22222222aaaaaaaa1111111122222222"), passage.Token("33333333aaaaaaaa1111111122222222")
	plan := map[passage.Token][]time.Time{gone: {past}, stays: {future}, half: {past, future}}

	t.Run("clock not trusted", func(t *testing.T) {
		s, kept := shelfOf(t, plan)
		s.quality = func() passage.Clock { return passage.ClockRestored }
		s.purge(t.Context())
		if _, ok, err := s.lookup(nil, contract.ListLookouts, gone); !ok || err != nil || len(*kept) != 0 {
			t.Errorf("%v, %v, %v", ok, err, *kept)
		}
	})

	s, kept := shelfOf(t, plan)
	raw, err := contract.TokenBytes(gone)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(everything(t, s), raw[:]) {
		t.Fatal("the token is not there to begin with")
	}
	s.purge(t.Context())
	if bytes.Contains(everything(t, s), raw[:]) {
		t.Error("an expired lookout's token is still in a file")
	}
	if bytes.Contains(everything(t, s), []byte("333333a")) {
		t.Error("an expired lookout is still beside one in force")
	}
	for token, want := range map[passage.Token]int{gone: 0, stays: 1, half: 1} {
		value, ok, err := s.lookup(nil, contract.ListLookouts, token)
		if err != nil || ok != (want > 0) {
			t.Fatalf("%s: %v, %v", token, ok, err)
		}
		if row, err := contract.ParseLookoutRow(value); ok && (err != nil || len(row.Lookouts) != want) {
			t.Errorf("%s: %+v, %v", token, row, err)
		}
	}
	if len(*kept) != 1 {
		t.Fatalf("%d events", len(*kept))
	}
	if e, ok := (*kept)[0].(contract.Purged); !ok || e.Generation != 4 || !slices.Equal(e.Lookouts, []contract.LookoutRef{{ID: "111111a", Version: 1}, {ID: "333333a", Version: 1}}) {
		t.Errorf("%+v", (*kept)[0])
	}
	s.purge(t.Context())
	if len(*kept) != 1 {
		t.Error("told twice")
	}
}
