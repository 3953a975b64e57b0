package devices

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Written is what a technician wrote of one device, told to its driver, which judges
// its own keys. A key may be that of an element, as in "commands[2]"; what is said of
// one that has a fault already is dropped.
type Written struct {
	Template  string   // that the device names; "": none
	Scheme    string   // of where it is: "tcp", "https"; "" for a device file
	Fields    []string // of a camera's report
	Separator string   // between them

	Has    func(key string) bool // it is written, or its template or model says it
	Refuse func(key, msg, hint string)
	Warn   func(key, msg, hint string)
	// Span refuses a span that is not between least and most; why may be empty.
	Span func(key string, v, least, most time.Duration, why string)
	// Mean gives a hint which of some words was meant.
	Mean func(word string, words []string) string
}

// Need refuses a key that is not written.
func (w Written) Need(key, example string) {
	if !w.Has(key) {
		w.Refuse(key, "missing", "write "+example)
	}
}

// Count refuses a number that is not from least to most.
func (w Written) Count(key string, v, least, most int) {
	if v < least || v > most {
		w.Refuse(key, fmt.Sprintf("%d is not between %d and %d", v, least, most), "")
	}
}

// Item is the key of element i of a list.
func Item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// TellsPlate tells whether the plate is among the fields of a camera's report.
func TellsPlate(fields []string) bool {
	return slices.ContainsFunc(fields, func(f string) bool {
		return f == "plate" || strings.HasPrefix(f, "plate:") || strings.HasPrefix(f, "plate_country")
	})
}
