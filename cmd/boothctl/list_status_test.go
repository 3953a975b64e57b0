package main

import (
	"testing"
	"time"

	"boothd/agent/status"
	"boothd/buffer/eligibility"
	"boothd/configs"
)

// A list's age is judged against the configuration's two limits, and one that
// nobody vouched for, or somebody in the future, is over both.
func TestListAges(t *testing.T) {
	now := time.Date(2026, 11, 23, 7, 15, 0, 0, time.UTC)
	cfg := &configs.Config{Lists: configs.Lists{SoftAge: configs.Duration{Duration: 15 * time.Minute}, HardAge: configs.Duration{Duration: 4 * time.Hour}}}
	for _, tt := range []struct {
		name  string
		at    time.Time
		want  status.Freshness
		ageMS int64
		words string
	}{
		{"just now", now, status.Fresh, 0, "fresh"},
		{"at soft_age", now.Add(-15 * time.Minute), status.Fresh, 900_000, "fresh"},
		{"over soft_age", now.Add(-15*time.Minute - time.Millisecond), status.Aging, 900_001, "aging: over 15m00s (211)"},
		{"at hard_age", now.Add(-4 * time.Hour), status.Aging, 14_400_000, "aging: over 15m00s (211)"},
		{"over hard_age", now.Add(-4*time.Hour - time.Millisecond), status.Stale, 14_400_001, "✗ stale: over 4h00m, expedites nobody (204)"},
		{"never", time.Time{}, status.Stale, -1, "✗ stale: over 4h00m, expedites nobody (204)"},
		{"in the future", now.Add(time.Minute), status.Stale, -1, "✗ stale: over 4h00m, expedites nobody (204)"},
	} {
		r := reportList(cfg, eligibility.Generation{Kind: "cards", Generation: 1, VerifiedAt: tt.at}, now)
		if words := verdictOn(cfg, r); r.State != tt.want || r.AgeMS != tt.ageMS || words != tt.words {
			t.Errorf("%s: %s, %d ms, %q; want %s, %d ms, %q", tt.name, r.State, r.AgeMS, words, tt.want, tt.ageMS, tt.words)
		}
		r.Needed = true
		if err := unusable([]listReport{r}); (err != nil) != (tt.want == status.Stale) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
