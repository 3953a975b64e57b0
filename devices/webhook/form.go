// Package webhook takes plates from cameras and programs that post them as JSON
// over HTTP.
//
// Confidence is a fraction from 0 to 1, negative if the camera does not say.
// Times are arrival at this box; the camera's own clock is kept beside.
//
// Source: licence plate readers, section 3 and vectors.
package webhook

import (
	"errors"
	"fmt"
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

// form says where in a camera's reports is what: paths of keys with dots
// between them, "[]" for each of a list.
type form struct {
	seen   string // what stands at partEvent if a plate was seen; "": only plates are reported
	each   string // path of the list of plates; "": a report is one plate
	scale  float64
	plate  string // path of the plate
	fields map[string]part
}

// parts are what Config.Paths may name.
var parts = map[string]part{"event": partEvent, "camera": partCamera, "time": partTime, "plate": partPlate,
	"confidence": partConfidence, "region": partRegion, "candidate": partCandidate}

// pathMost is what bounds a path, in bytes: one that is looked for is shorter. Ours.
const pathMost = 64

// formOf is what a configuration says of a camera's reports.
func formOf(c Config) (form, error) {
	f := form{seen: c.Seen, scale: c.Scale, plate: c.Paths["plate"], fields: make(map[string]part, len(c.Paths))}
	if f.scale == 0 {
		f.scale = 1
	}
	if f.plate == "" {
		return f, errors.New("nothing says where in a report the plate is")
	}
	if (c.Seen == "") != (c.Paths["event"] == "") {
		return f, errors.New("what happened is told by a path and by what stands there, not by one of them")
	}
	if list, _, ok := strings.Cut(f.plate, "[]"); ok {
		f.each = list
	}
	for name, path := range c.Paths {
		is, ok := parts[name]
		switch _, twice := f.fields[path]; {
		case !ok:
			return f, fmt.Errorf("a report has no part %q", name)
		case path == "" || len(path) >= pathMost:
			return f, fmt.Errorf("the path of %q has %d bytes, not 1 to %d", name, len(path), pathMost-1)
		case twice:
			return f, fmt.Errorf("two parts are at %q", path)
		}
		f.fields[path] = is
	}
	return f, nil
}
