package main

import (
	"embed"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

//go:embed *.scenario
var scenarios embed.FS

// kind is one line of a scenario: a kind of vehicle and what the officer does
// with it.
type kind struct {
	name    string
	cards   []string
	plate   string
	officer []string
	lead    []int // codes it may end with; 900 always may
}

var (
	cardWords = []string{"active", "suspended", "revoked", "pending", "lapsed", "fast", "lost", "stolen", "superseded", "expired",
		"extended", "unknown", "unreadable", "same", "driver"}
	plateWords = []string{"own", "other", "noread", "unsure", "observe", "refer", "stop", "likely"}
	// What is pressed, by officer or traveller, and what is handed over.
	officerWords = slices.Concat([]string{"wait", "match", "nomatch", "nobody"}, slices.Sorted(maps.Keys(buttons)), slices.Sorted(maps.Keys(papers)))
)

// scenario is a day at a lane.
type scenario struct {
	kinds []kind
	pace  pace
}

// loadScenario reads a scenario file, or the usual day of such a lane if there
// is none.
func loadScenario(path, lane string) (scenario, error) {
	if path == "" {
		b, err := scenarios.ReadFile(lane + ".scenario")
		if err != nil {
			return scenario{}, fmt.Errorf("no scenario of lane %q comes with the program: %w", lane, err)
		}
		return parseScenario(lane+".scenario", string(b))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return scenario{}, fmt.Errorf("reading scenario: %w", err)
	}
	return parseScenario(path, string(b))
}

// parseScenario reads the lines; an error names file and line.
func parseScenario(name, text string) (scenario, error) {
	day := scenario{pace: briskPace}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		var err error
		if f[0] == "pace" {
			err = day.pace.set(f[1:])
		} else {
			var k kind
			k, err = parseKind(f)
			day.kinds = append(day.kinds, k)
		}
		if err != nil {
			return scenario{}, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if len(day.kinds) == 0 {
		return scenario{}, fmt.Errorf("%s: no vehicle in it", name)
	}
	return day, nil
}

func parseKind(f []string) (kind, error) {
	if len(f) < 5 {
		return kind{}, fmt.Errorf("%d columns; want kind, cards, plate, officer and lead codes", len(f))
	}
	k := kind{name: f[0], plate: f[2]}
	var err error
	if f[1] != "-" {
		if k.cards, err = words(f[1], "card", cardWords); err != nil {
			return kind{}, err
		}
	}
	if k.officer, err = words(f[3], "act", officerWords); err != nil {
		return kind{}, err
	}
	if !slices.Contains(plateWords, k.plate) {
		return kind{}, fmt.Errorf("no plate %q; there are %s", k.plate, strings.Join(plateWords, ", "))
	}
	for _, s := range f[4:] {
		code, err := strconv.Atoi(s)
		if err != nil {
			return kind{}, fmt.Errorf("lead code %q is no number", s)
		}
		k.lead = append(k.lead, code)
	}
	return k, nil
}

func words(list, what string, allowed []string) ([]string, error) {
	out := strings.Split(list, ",")
	for _, w := range out {
		if !slices.Contains(allowed, w) {
			return nil, fmt.Errorf("no %s %q; there are %s", what, w, strings.Join(allowed, ", "))
		}
	}
	return out, nil
}
