package webhook

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"boothd/devices"
)

// TemplateCustom is that of a camera whose own keys tell all.
const TemplateCustom = "custom"

// Settings are the keys of a configuration that such a camera has of its own (licence
// plate readers, section 3).
type Settings struct {
	// Paths are where in a report its parts are, as in "results[].plate", and Seen is what
	// stands at the part "event" if a plate was seen.
	Paths map[string]string `toml:"paths,omitempty" json:",omitempty"`
	Seen  string            `toml:"seen,omitempty" json:",omitempty"`
	Quiet time.Duration     `toml:"quiet,omitempty"` // how long the camera may say nothing; none: for ever
}

// quietLeast is how long a camera may be silent at least: one that is heard of
// again is open for so long, and its listener closed for a moment only.
const quietLeast = 30 * time.Second

// placeForm is where something is in a posted report: keys with dots between them,
// "[]" behind one that is a list.
var placeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}(\[\])?(\.[A-Za-z0-9_-]{1,32}(\[\])?)*$`)

// partNames are those of parts, as they are told.
var partNames = []string{"plate", "confidence", "region", "candidate", "camera", "time", "event"}

// Check judges them, and whether the camera's form is told.
func (s *Settings) Check(w devices.Written) {
	w.Need("template", `template = "plate-recognizer", or "custom" and its paths`)
	s.places(w)
	w.Need("token", `token = "credential:front-token", 16 to 256 characters that the camera shows`)
	if w.Scheme == "https" {
		w.Need("cert", `cert = "/etc/boothd/tls/front.pem"`)
		w.Need("key", `key = "credential:front-key"`)
	}
	if w.Has("quiet") {
		w.Span("quiet", s.Quiet, quietLeast, 24*time.Hour, "")
	}
}

func (s *Settings) places(w devices.Written) {
	at := func(part string) string { return "paths." + part }
	for _, part := range slices.Sorted(maps.Keys(s.Paths)) {
		switch where := s.Paths[part]; {
		case !slices.Contains(partNames, part):
			w.Refuse(at(part), "no part of a report", w.Mean(part, partNames))
		case len(where) >= pathMost || !placeForm.MatchString(where):
			w.Refuse(at(part), fmt.Sprintf("%.40q is no place in a report", where), `write keys with dots between them and [] behind a list, such as "results[].plate"`)
		}
	}
	for i, part := range partNames {
		for _, other := range partNames[:i] {
			if where := s.Paths[part]; where != "" && where == s.Paths[other] {
				w.Refuse(at(part), "is where "+other+" is", "")
			}
		}
	}
	plates, _, several := strings.Cut(s.Paths["plate"], "[]")
	switch {
	case w.Template == "":
	case s.Paths["plate"] == "":
		w.Refuse("paths", `it does not say where the plate is`, `write paths = { plate = "results[].plate" }`)
	case strings.Count(s.Paths["plate"], "[]") > 1:
		w.Refuse(at("plate"), "the plate is in a list of lists", "")
	default:
		for _, part := range []string{"confidence", "region", "candidate"} {
			if where := s.Paths[part]; where != "" && several && !strings.HasPrefix(where, plates+"[].") {
				w.Refuse(at(part), fmt.Sprintf("%q is not of one plate: those are in %q", where, plates+"[]"), "")
			}
		}
	}
	if (s.Seen == "") != (s.Paths["event"] == "") {
		w.Refuse("seen", "paths.event and what stands there when a plate was seen belong together", "write both or neither")
	}
}
