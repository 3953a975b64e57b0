// Package webhook takes plates from cameras and programs that post them as JSON
// over HTTP.
//
// Confidence is a fraction from 0 to 1, negative if the camera does not say.
// Times are arrival at this box; the camera's own clock is kept beside.
//
// Source: licence plate readers, section 3 and vectors.
package webhook

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// part is what one place of a report tells.
type part int

const (
	partEvent part = iota + 1 // what happened
	partCamera
	partTime
	partPlate
	partConfidence
	partRegion
	partCandidate // one of several
)

// template says where in a camera's reports is what: paths of keys with dots
// between them, "[]" for each of a list.
type template struct {
	event       string // path of what happened; "": only plates are reported
	recognition string // what stands there if a plate was seen
	each        string // path of the list of plates; "": a report is one plate
	scale       float64
	fields      map[string]part
}

// templates are the cameras' own. (Licence plate readers, section 3.)
var templates = map[string]template{
	"plate-recognizer": {event: "hook.event", recognition: "recognition", each: "data.results", scale: 1, fields: map[string]part{
		"hook.event":                 partEvent,
		"data.camera_id":             partCamera,
		"data.timestamp":             partTime,
		"data.results[].plate":       partPlate,
		"data.results[].score":       partConfidence,
		"data.results[].region.code": partRegion,

		"data.results[].candidates[].plate": partCandidate,
	}},
	"openalpr": {event: "data_type", recognition: "alpr_results", each: "results", scale: 100, fields: map[string]part{
		"data_type":            partEvent,
		"camera_id":            partCamera,
		"epoch_time":           partTime,
		"results[].plate":      partPlate,
		"results[].confidence": partConfidence,
		"results[].region":     partRegion,

		"results[].candidates[].plate": partCandidate,
	}},
	"axis": {scale: 1, fields: map[string]part{
		"device":    partCamera,
		"timestamp": partTime,
		"plate":     partPlate,
	}},
}

// pathMost is longer than every path above.
const pathMost = 64

// plateAt is the path of the plate.
func (t template) plateAt() string {
	for path, p := range t.fields {
		if p == partPlate {
			return path
		}
	}
	return ""
}

// Templates lists the names of the templates.
func Templates() []string { return slices.Sorted(maps.Keys(templates)) }

func templateOf(name string) (template, error) {
	t, ok := templates[name]
	if !ok {
		return t, fmt.Errorf("no template %q; there are %s", name, strings.Join(Templates(), ", "))
	}
	return t, nil
}
