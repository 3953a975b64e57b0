package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"boothd/devices"
)

// Limits of one report. The page bounds the body; the rest is ours: a lane has
// one vehicle, and the deepest report of any camera in the source has five
// levels.
const (
	bodyMost   = 1 << 20 // bytes
	depthMost  = 32      // levels of JSON
	platesMost = 8
	plateMost  = 32 // characters
	cameraMost = 64 // bytes

	candidatesMost = 16 // of one plate that are looked at; the camera's own reading is among them
)

var (
	errFormat = errors.New("report has another format")
	errLong   = fmt.Errorf("%w: more than %d bytes", errFormat, bodyMost)
)

// decode reads one report. It is pure: the same bytes give the same plates. A
// report of something else than plates is a beat: it says that the camera is
// there. Errors quote nothing of the report.
func (t template) decode(body []byte) (plates []devices.Plate, beat bool, err error) {
	s := scan{template: t}
	if err := s.walk(body); err != nil {
		return nil, false, err
	}
	if t.event != "" && s.event != t.recognition {
		if s.event == "" {
			return nil, false, fmt.Errorf("%w: it does not say what happened", errFormat)
		}
		return nil, true, nil
	}
	if t.each == "" {
		s.each = true
		s.found = []found{s.one}
	}
	if !s.each {
		return nil, false, fmt.Errorf("%w: no results in it", errFormat)
	}
	for _, f := range s.found {
		p, err := f.plate(s)
		if err != nil {
			return nil, false, err
		}
		plates = append(plates, p)
	}
	if len(plates) == 0 { // something was seen, and no plate on it
		plates = []devices.Plate{{NoRead: true, Confidence: -1, Camera: s.camera, DeviceAt: s.at}}
	}
	return plates, false, nil
}

// found is what a report says of one plate.
type found struct {
	text, confidence, region string
	candidates               []string
	has                      map[string]bool // the parts that were there
}

// scan is a walk through one report, part by part; nothing of it is kept but
// what the template names.
type scan struct {
	template
	event  string
	camera string
	at     time.Time
	each   bool // the list of plates is there
	found  []found
	one    found           // of a report that is one plate
	had    map[string]bool // paths outside the list
}

// walk goes through the report once.
func (s *scan) walk(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := s.value(dec, "", 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows it", errFormat)
	}
	return nil
}

// value takes the value at a path.
func (s *scan) value(dec *json.Decoder, path string, depth int) error {
	tok, err := dec.Token()
	if err != nil {
		return fmt.Errorf("%w: no JSON, or cut off", errFormat)
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return s.leaf(path, tok)
	}
	if depth == 0 && delim != '{' {
		return fmt.Errorf("%w: no object", errFormat)
	}
	if depth == depthMost {
		return fmt.Errorf("%w: more than %d levels", errFormat, depthMost)
	}
	for dec.More() {
		inner := s.step(path, "[]")
		if delim == '{' {
			key, err := dec.Token()
			if err != nil {
				return fmt.Errorf("%w: no JSON, or cut off", errFormat)
			}
			inner = s.step(path, "."+fmt.Sprint(key))
		} else if path == s.template.each {
			if len(s.found) == platesMost {
				return fmt.Errorf("%w: more than %d plates", errFormat, platesMost)
			}
			s.found = append(s.found, found{})
		}
		if err := s.value(dec, inner, depth+1); err != nil {
			return err
		}
	}
	if delim == '[' && path == s.template.each {
		if s.each {
			return fmt.Errorf("%w: its results come twice", errFormat)
		}
		s.each = true
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return fmt.Errorf("%w: no JSON, or cut off", errFormat)
	}
	return nil
}

// unknown is the path of everything the template does not know, so that a
// path's length is bounded.
const unknown = "?"

// step goes one level down, to a key (".key") or into a list ("[]"). A key that
// looks like a path of its own is none that a template names.
func (s *scan) step(path, to string) string {
	if path == unknown || len(path)+len(to) > pathMost || to != "[]" && strings.ContainsAny(to[1:], ".[]") {
		return unknown
	}
	return strings.TrimPrefix(path+to, ".")
}

// leaf keeps a value that the template names.
func (s *scan) leaf(path string, tok json.Token) error {
	part, ok := s.fields[path]
	if !ok {
		return nil
	}
	var text string
	switch v := tok.(type) {
	case string:
		text = v
	case json.Number:
		text = v.String()
	}
	had := &s.had
	f := &s.one
	if s.template.each != "" && strings.HasPrefix(path, s.template.each+"[]") {
		f = &s.found[len(s.found)-1]
		had = &f.has
	} else if s.template.each == "" {
		had = &f.has
	}
	if part == partCandidate {
		if text = strings.TrimSpace(text); text != "" && len(f.candidates) < candidatesMost {
			f.candidates = append(f.candidates, text)
		}
		return nil
	}
	if (*had)[path] { // which of the two would be true?
		return fmt.Errorf("%w: a part of it comes twice", errFormat)
	}
	if *had == nil {
		*had = make(map[string]bool)
	}
	(*had)[path] = true
	text = strings.TrimSpace(text)
	switch part {
	case partEvent:
		s.event = text
	case partCamera:
		s.camera = strings.ToValidUTF8(text[:min(len(text), cameraMost)], "")
	case partTime:
		s.at = deviceTime(text)
	case partPlate:
		f.text = text
	case partConfidence:
		f.confidence = text
	case partRegion:
		f.region = text
	}
	return nil
}

// plate puts together what a report says of one plate.
func (f found) plate(s scan) (devices.Plate, error) {
	p := devices.Plate{Confidence: -1, Camera: s.camera, DeviceAt: s.at}
	switch named := s.plateAt(); {
	case !f.has[named]:
		return p, fmt.Errorf("%w: no plate in it", errFormat)
	case f.text == "":
		p.NoRead = true
		return p, nil
	case !legible(f.text):
		return p, fmt.Errorf("%w: its plate is none", errFormat)
	}
	p.Text = devices.Ident(f.text)
	p.Jurisdiction = jurisdiction(f.region)
	p.Confidence = confidence(f.confidence, s.scale)
	for _, c := range f.candidates {
		if c := devices.Ident(c); len(p.Candidates) < devices.CandidatesMost && legible(string(c)) && !same(c, p.Text) && !slices.ContainsFunc(p.Candidates, func(have devices.Ident) bool { return same(c, have) }) {
			p.Candidates = append(p.Candidates, c)
		}
	}
	return p, nil
}

// same tells whether two texts are one plate.
func same(a, b devices.Ident) bool { return strings.EqualFold(string(a), string(b)) }

// legible tells whether a text can be a plate at all. No form is asked for,
// since personalised plates break every pattern.
func legible(text string) bool {
	some, n := false, 0
	for _, r := range text {
		if !unicode.IsGraphic(r) || r == utf8.RuneError {
			return false
		}
		some = some || unicode.IsLetter(r) || unicode.IsDigit(r)
		n++
	}
	return some && n <= plateMost
}

// jurisdiction takes "ny", "us-ny" or "gb"; what does not look like a code is
// not reported.
func jurisdiction(s string) string {
	s = s[strings.LastIndexByte(s, '-')+1:]
	if len(s) > 3 || strings.IndexFunc(s, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }) >= 0 {
		return ""
	}
	return strings.ToUpper(s)
}

// confidence is a fraction from 0 to 1; what cannot be read is not reported.
func confidence(s string, scale float64) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > scale {
		return -1
	}
	return v / scale
}

// deviceTime reads RFC 3339, or seconds or milliseconds since 1970. What cannot
// be read is not reported: the arrival here counts anyway.
func deviceTime(s string) time.Time {
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC()
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || !(n > 0 && n < 1e14):
		return time.Time{}
	case n > 1e11:
		return time.UnixMilli(int64(n)).UTC()
	}
	return time.UnixMilli(int64(1000 * n)).UTC()
}
