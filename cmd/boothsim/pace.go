package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// pace is how long a vehicle and its people take, before --speed. The defaults
// are a brisk car of the domain reference, section 8.
type pace struct {
	Approach time.Duration // on the approach loop before the cards are in the field
	Field    time.Duration // cards in the field and plate before the camera
	Roll     time.Duration // from the approach loop to the booth loop
	Stop     time.Duration // at the booth before the officer looks up
	Officer  time.Duration // before each of the officer's acts
	Hold     time.Duration // a button is down, and up again
	Leave    time.Duration // between two steps over the exit loop
	Gap      time.Duration // to the next vehicle
}

var briskPace = pace{Approach: 400 * time.Millisecond, Field: 600 * time.Millisecond, Roll: 300 * time.Millisecond, Stop: 200 * time.Millisecond,
	Officer: 300 * time.Millisecond, Hold: 120 * time.Millisecond, Leave: 300 * time.Millisecond, Gap: 400 * time.Millisecond}

// slowestStep bounds a word of the pace: a vehicle that stands longer runs into
// the lane's own time limits (domain reference, section 8).
const slowestStep = time.Minute

// words are the names of a scenario file.
func (p *pace) words() map[string]*time.Duration {
	return map[string]*time.Duration{"approach": &p.Approach, "field": &p.Field, "roll": &p.Roll, "stop": &p.Stop,
		"officer": &p.Officer, "hold": &p.Hold, "leave": &p.Leave, "gap": &p.Gap}
}

// set reads words such as "gap=2s" over p; with an error p stays as it was.
func (p *pace) set(f []string) error {
	read := *p
	words := read.words()
	for _, word := range f {
		name, text, _ := strings.Cut(word, "=")
		to, known := words[name]
		if !known {
			return fmt.Errorf("no pace %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(words)), ", "))
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > slowestStep {
			return fmt.Errorf("pace %q is not as \"%s=300ms\", at most %v", word, name, slowestStep)
		}
		*to = d
	}
	*p = read
	return nil
}
