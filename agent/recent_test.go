package agent

import (
	"fmt"
	"testing"
	"time"

	"boothd/agent/passage"
)

func TestRecent(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	r := newRecent()
	r.note("a", now)
	for _, tc := range []struct {
		token passage.Token
		at    time.Time
		want  passage.Millis
	}{
		{"a", now.Add(3 * time.Minute), 180_000},
		{"b", now, -1},
		{"a", now.Add(-time.Hour), 0}, // the clock stepped back: slower, never faster
		{"a", now.Add(24*time.Hour + time.Second), -1},
	} {
		if got := r.since(tc.token, tc.at); got != tc.want {
			t.Errorf("since(%s, %v) = %d, want %d", tc.token, tc.at, got, tc.want)
		}
	}
	for i := range 2 * recentMost {
		r.note(passage.Token(fmt.Sprint(i)), now.Add(time.Duration(i)*time.Second))
	}
	if len(r.seen) > recentMost || len(r.order) > recentMost {
		t.Errorf("remembers %d cards in %d places, want at most %d", len(r.seen), len(r.order), recentMost)
	}
}
