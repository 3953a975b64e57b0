package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/status"
	"boothd/configs"
)

func TestScenarioThatComesWithUs(t *testing.T) {
	day, err := loadScenario("", "nexus")
	if err != nil || len(day.kinds) != 30 || day.pace != briskPace {
		t.Fatalf("%d kinds, %+v, %v", len(day.kinds), day.pace, err)
	}
	seen := map[string]bool{}
	for _, k := range day.kinds {
		if seen[k.name] {
			t.Errorf("%s twice", k.name)
		}
		seen[k.name] = true
	}
}

func TestBadScenariosSayWhatAndWhere(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "no vehicle",
		"a b c":                         "s:1: 3 columns",
		"# x\n\nx gold own release 100": `s:3: no card "gold"; there are active,`,
		"x active blue release 100":     `no plate "blue"`,
		"x active own dance 100":        `no act "dance"`,
		"x active own release many":     `lead code "many"`,
		"pace gap=soon":                 `s:1: pace "gap=soon" is not as "gap=300ms"`,
		"pace gap":                      `pace "gap" is not as`,
		"pace gap=0s":                   `at most 1m0s`,
		"pace gap=2m":                   `at most 1m0s`,
		"pace hurry=1s":                 `no pace "hurry"; there are approach, field, gap,`,
		"pace gap=1s":                   "no vehicle",
	} {
		if _, err := parseScenario("s", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestScenarioMaySetThePace(t *testing.T) {
	day, err := parseScenario("s", "pace gap=2s approach=1s # a quiet morning\nx active own release 100\n")
	want := briskPace
	want.Gap, want.Approach = 2*time.Second, time.Second
	if err != nil || day.pace != want || len(day.kinds) != 1 {
		t.Errorf("%+v, %v", day, err)
	}
}

// Nobody comes twice, but for "same"; the same seed gives the same day.
func TestPlan(t *testing.T) {
	day, err := loadScenario("", "nexus")
	if err != nil {
		t.Fatal(err)
	}
	readers := []configs.Device{{Driver: "mercury"}}
	a, b := plan(day.kinds, 3, 90, readers), plan(day.kinds, 3, 90, readers)
	count := map[string]int{}
	epcs := map[string]string{}
	for i, v := range a {
		count[v.kind.name]++
		if v.plate != b[i].plate || v.kind.name != b[i].kind.name {
			t.Fatal("another day with the same seed")
		}
		for _, c := range v.cards {
			if who, twice := epcs[c.epc]; twice && v.kind.name != "came-back" {
				t.Errorf("%s of %s comes again in %s", c.epc, who, v.kind.name)
			}
			epcs[c.epc] = v.kind.name
		}
	}
	for name, n := range count {
		if n != 3 {
			t.Errorf("%s %d times in three rounds", name, n)
		}
	}
}

func TestLampTraceFindsGreenBesideRed(t *testing.T) {
	tr := &trace{lit: map[string]bool{}}
	at := time.Now()
	step := func(name string, on bool, after time.Duration) { at = at.Add(after); tr.note(name, on, at) }
	step("traveller_red", true, 0)
	step("traveller_green", true, time.Second) // overlaps for a moment: one line after the other
	step("traveller_red", false, time.Millisecond)
	step("traveller_green", false, time.Second)
	if g, u := tr.counts(); g != 1 || u != 0 {
		t.Errorf("%d greens, %d unsafe", g, u)
	}
	step("traveller_red", true, time.Second)
	step("traveller_green", true, time.Second)
	step("traveller_green", false, 50*time.Millisecond)
	if g, u := tr.counts(); g != 2 || u != 1 {
		t.Errorf("%d greens, %d unsafe", g, u)
	}
}

func TestSummaryCounts(t *testing.T) {
	s := summary{Outcomes: map[string]int{}, Kinds: map[string]int{}}
	v := vehicle{kind: kind{name: "alone", lead: []int{100}}}
	for _, code := range []int{100, 900, 213, 407} {
		s.note(v, status.Passage{Advice: status.Advice{Lead: status.Reason{Code: code}}})
	}
	if s.Passages != 4 || s.Doubts != 1 || !slices.Equal(s.Unexpected, []string{"alone: 407"}) || s.Outcomes["900"] != 1 {
		t.Errorf("%+v", s)
	}
	if l := latencyOf([]int64{5, 1, 3, 2, 4}); l != (latency{3, 5, 5}) {
		t.Errorf("%+v", l)
	}
}
