package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
	plateMost  = 32      // characters
	cameraMost = 64      // bytes
	partMost   = 1 << 10 // bytes of a part that a form names, as they came

	candidatesMost = 16 // of one plate that are looked at; the camera's own reading is among them
)

var (
	errFormat = errors.New("report has another format")
	errLong   = fmt.Errorf("%w: more than %d bytes", errFormat, bodyMost)
)

// decode reads one report. It is pure: the same bytes give the same plates. A
// report of something else than plates is a beat: it says that the camera is
// there. Errors quote nothing of the report.
func (t form) decode(body []byte) (plates []devices.Plate, beat bool, err error) {
	s := scan{form: t}
	if err := s.walk(body); err != nil {
		return nil, false, err
	}
	if t.seen != "" && s.event != t.seen {
		if s.event == "" {
			return nil, false, fmt.Errorf("%w: it does not say what happened", errFormat)
		}
		return nil, true, nil
	}
	if t.each == "" {
		s.listed = true
		s.found = []found{s.one}
	}
	if !s.listed {
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

// scan is a walk through one report, part by part; nothing of it is kept, or
// costs memory, but what the form names: the rest may be a picture, or a
// million zeros.
type scan struct {
	form
	left   []byte // of the report
	path   []byte // to where the walk is; with unknown at its end it is none that a form has
	event  string
	camera string
	at     time.Time
	listed bool // the list of plates is there
	found  []found
	one    found           // of a report that is one plate
	had    map[string]bool // paths outside the list
}

// walk goes through the report once. It goes through what is known to be JSON,
// and not deep.
func (s *scan) walk(body []byte) error {
	if deep(body) {
		return fmt.Errorf("%w: more than %d levels", errFormat, depthMost)
	}
	if !json.Valid(body) {
		return fmt.Errorf("%w: no JSON, or cut off, or something follows it", errFormat)
	}
	s.left = body
	if s.next() != '{' {
		return fmt.Errorf("%w: no object", errFormat)
	}
	return s.value()
}

// deep tells whether a report, up to where it is no JSON, has too many levels.
func deep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			if depth++; depth > depthMost {
				return true
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return false
}

// next is the next byte that is no blank.
func (s *scan) next() byte {
	s.left = bytes.TrimLeft(s.left, " \t\r\n")
	return s.left[0]
}

// scalar takes a string, with its quotes, or a word or number.
func (s *scan) scalar() (raw []byte) {
	n := 1
	if s.left[0] != '"' {
		n = bytes.IndexAny(s.left, ",]} \t\r\n")
	} else {
		for ; s.left[n] != '"'; n++ {
			if s.left[n] == '\\' {
				n++
			}
		}
		n++
	}
	raw, s.left = s.left[:n], s.left[n:]
	return raw
}

// value takes the value at the path.
func (s *scan) value() error {
	open := s.next()
	if open != '{' && open != '[' {
		return s.leaf(s.scalar())
	}
	s.left = s.left[1:]
	list := open == '[' && string(s.path) == s.each
	here := len(s.path)
	for s.next() != '}' && s.next() != ']' {
		switch {
		case s.next() == ',':
			s.left = s.left[1:]
			continue
		case open == '{':
			s.key(s.scalar())
			s.next()
			s.left = s.left[1:] // the colon
		case list && len(s.found) == platesMost:
			return fmt.Errorf("%w: more than %d plates", errFormat, platesMost)
		case list:
			s.found = append(s.found, found{})
			fallthrough
		default:
			s.step([]byte("[]"))
		}
		if err := s.value(); err != nil {
			return err
		}
		s.path = s.path[:here]
	}
	s.left = s.left[1:]
	if list && s.listed {
		return fmt.Errorf("%w: its results come twice", errFormat)
	}
	s.listed = s.listed || list
	return nil
}

// unknown ends the path of everything the form does not know, so that a
// path's length is bounded.
const unknown = '?'

// step goes one level down.
func (s *scan) step(to []byte) {
	switch n := len(s.path); {
	case n > 0 && s.path[n-1] == unknown:
	case len(to) == 0 || n+len(to) >= pathMost:
		s.path = append(s.path, unknown)
	default:
		s.path = append(s.path, to...)
	}
}

// key goes one level down to a key, which comes with its quotes. One with another
// character than a letter, a digit, _ or - in it is none that a form names, and
// looks like no path of its own.
func (s *scan) key(raw []byte) {
	var name [pathMost]byte
	n := 0
	if len(s.path) > 0 {
		name[0], n = '.', 1
	}
	raw = raw[1 : len(raw)-1]
	for len(raw) > 0 && n < len(name) {
		c, used := rune(raw[0]), 1
		if c == '\\' && raw[1] == 'u' { // "plate" may be written so too
			v, _ := strconv.ParseUint(string(raw[2:6]), 16, 16) // it is valid JSON
			c, used = rune(v), 6
		}
		if c != '_' && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			break
		}
		name[n], raw = byte(c), raw[used:]
		n++
	}
	if len(raw) > 0 {
		n = 0
	}
	s.step(name[:n])
}

// leaf keeps a value that the form names.
func (s *scan) leaf(raw []byte) error {
	part, ok := s.fields[string(s.path)]
	if !ok {
		return nil
	}
	had, f := &s.had, &s.one
	if s.each == "" {
		had = &f.has
	} else if bytes.HasPrefix(s.path, []byte(s.each+"[]")) {
		f = &s.found[len(s.found)-1]
		had = &f.has
	}
	if part == partCandidate && len(f.candidates) == candidatesMost {
		return nil
	}
	if len(raw) > partMost {
		return fmt.Errorf("%w: a part of it has more than %d bytes", errFormat, partMost)
	}
	var text string
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return fmt.Errorf("%w: a part of it is no text", errFormat)
		}
	} else if raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' {
		text = string(raw)
	}
	text = strings.TrimSpace(text)
	if part == partCandidate {
		f.candidates = append(f.candidates, text)
		return nil
	}
	path := string(s.path)
	if (*had)[path] { // which of the two would be true?
		return fmt.Errorf("%w: a part of it comes twice", errFormat)
	}
	if *had == nil {
		*had = make(map[string]bool)
	}
	(*had)[path] = true
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
	switch named := s.form.plate; {
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
