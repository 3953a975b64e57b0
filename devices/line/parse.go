package line

import (
	"bytes"
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

var (
	errFormat = errors.New("report has another format")
	errBlank  = errors.New("report is blank") // a line end too many, no fault
)

// Limits of what is taken for a plate and for a camera's name. The longest
// plate field of any camera in the source holds 24 bytes with its country.
const (
	plateMost  = 32 // characters
	cameraMost = 64
)

// names are the fields a report may have.
var names = []string{"plate", "plate_country", "country", "state", "confidence", "camera", "lane",
	"direction", "date", "time", "datetime", "epoch", "speed", "class", "seq", "ignore", "literal"}

// parser reads a report's bytes. It is pure: the same bytes give the same plate.
type parser struct {
	cfg    Config
	fields []field
	zone   *time.Location
}

func newParser(cfg Config) (*parser, error) {
	p := &parser{cfg: cfg}
	plates := 0
	for i, s := range cfg.Fields {
		f, err := fieldOf(s)
		if err != nil {
			return nil, err
		}
		if cfg.Separator == "" && f.width == 0 && i < len(cfg.Fields)-1 {
			return nil, fmt.Errorf("field %q needs a width: only the last column may be open", s)
		}
		if f.name == "plate" || f.name == "plate_country" {
			plates++
		}
		p.fields = append(p.fields, f)
	}
	if plates != 1 {
		return nil, fmt.Errorf("%d fields are plates, not 1", plates)
	}
	if !slices.Contains([]string{"ascii", "latin-1", "utf-8"}, cfg.Charset) {
		return nil, fmt.Errorf("no charset %q", cfg.Charset)
	}
	if _, err := checkSize(cfg.Checksum); err != nil {
		return nil, err
	}
	var err error
	if p.zone, err = time.LoadLocation(cfg.Zone); err != nil {
		return nil, fmt.Errorf("zone of the camera's clock: %w", err)
	}
	return p, nil
}

// has tells whether a report has a field.
func (p *parser) has(name string) bool {
	return slices.ContainsFunc(p.fields, func(f field) bool { return f.name == name })
}

// framer gives the framer that cuts this parser's reports.
func (p *parser) framer() framer {
	f := framer{start: []byte(p.cfg.Start), end: []byte(p.cfg.End), most: p.cfg.MaxLength, blank: p.noRead("")}
	switch {
	case p.cfg.ChecksumEnd:
		f.tail, _ = checkSize(p.cfg.Checksum) // newParser has refused others
		f.whole = func(report []byte) bool {
			_, err := uncheck(p.cfg.Checksum, report)
			return err == nil
		}
	case p.cfg.Checksum == bareCheck:
		f.check = func(report []byte) bool {
			_, err := uncheck(bareCheck, report)
			return err == nil || p.cfg.Heartbeat != "" && string(report) == p.cfg.Heartbeat
		}
	}
	return f
}

// parse reads one report; beat tells that it only says the camera is there.
// Its errors quote nothing of the report.
func (p *parser) parse(report []byte) (plate devices.Plate, beat bool, err error) {
	plate, _, beat, err = p.numbered(report)
	return plate, beat, err
}

// numbered is parse, with what the report has in its field "seq".
func (p *parser) numbered(report []byte) (plate devices.Plate, seq string, beat bool, err error) {
	if p.cfg.ChecksumEnd {
		body, err := uncheck(p.cfg.Checksum, report)
		if err != nil {
			return plate, "", false, err
		}
		return p.said(bytes.TrimSuffix(body, []byte(p.cfg.End)))
	}
	if p.cfg.End == "\n" && p.cfg.Checksum != bareCheck {
		report = bytes.TrimSuffix(report, []byte("\r"))
	}
	if p.cfg.Heartbeat != "" && string(report) == p.cfg.Heartbeat {
		return plate, "", true, nil // some cameras send it without a checksum
	}
	if len(report) == 0 && !p.noRead("") {
		return plate, "", false, errBlank
	}
	body, err := uncheck(p.cfg.Checksum, report)
	if err != nil {
		return plate, "", false, err
	}
	return p.said(body)
}

// said reads what is between the start and the end, or the checksum.
func (p *parser) said(body []byte) (plate devices.Plate, seq string, beat bool, err error) {
	text, err := p.decode(body)
	if err != nil {
		return plate, "", false, err
	}
	if p.cfg.Heartbeat != "" && text == p.cfg.Heartbeat {
		return plate, "", true, nil
	}
	cells, err := p.cells(text)
	if err != nil {
		return plate, "", false, err
	}
	t := nothing()
	for i, f := range p.fields {
		p.hear(&t, f.name, strings.Trim(cells[i], f.pad+" "))
	}
	plate, err = p.made(t)
	return plate, t.seq, false, err
}

// noRead tells whether a text stands for "no plate seen".
func (p *parser) noRead(text string) bool {
	return slices.ContainsFunc(p.cfg.NoRead, func(s string) bool { return strings.EqualFold(s, text) })
}

func (p *parser) decode(b []byte) (string, error) {
	switch p.cfg.Charset {
	case "latin-1":
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r), nil
	case "utf-8":
		if !utf8.Valid(b) {
			return "", fmt.Errorf("%w: not UTF-8", errFormat)
		}
	default:
		if slices.ContainsFunc(b, func(c byte) bool { return c >= 0x7f }) {
			return "", fmt.Errorf("%w: not ASCII", errFormat)
		}
	}
	return string(b), nil
}

// cells takes the text apart, one for each field.
func (p *parser) cells(text string) ([]string, error) {
	if p.cfg.Separator != "" {
		if n := strings.Count(text, p.cfg.Separator) + 1; n != len(p.fields) {
			return nil, fmt.Errorf("%w: %d fields, not %d", errFormat, n, len(p.fields))
		}
		cells := strings.Split(text, p.cfg.Separator)
		for i, f := range p.fields {
			if f.name == "literal" && cells[i] != f.text {
				return nil, fmt.Errorf("%w: fixed text of field %d is missing", errFormat, i+1)
			}
		}
		return cells, nil
	}
	var cells []string
	for i, f := range p.fields {
		n := f.width
		if n == 0 {
			n = len(text)
		}
		if len(text) < n || f.name == "literal" && text[:n] != f.text {
			return nil, fmt.Errorf("%w: it ends or differs in column %d", errFormat, i+1)
		}
		cells, text = append(cells, text[:n]), text[n:]
	}
	if text != "" {
		return nil, fmt.Errorf("%w: it is longer than its columns", errFormat)
	}
	return cells, nil
}

// told is what a report tells, field by field.
type told struct {
	text, state, country, date, clock, camera, seq string

	confidence float64
	at         time.Time
}

func nothing() told { return told{confidence: -1} }

// hear takes a field by its name. What is told again counts, and of the plate
// with a country and without one the later.
func (p *parser) hear(t *told, name, cell string) {
	cell = strings.TrimSpace(cell)
	switch name {
	case "plate":
		t.text = cell
	case "plate_country":
		t.text = cell
		if at := strings.LastIndexByte(cell, '-'); at > 0 && len(cell)-at-1 <= 3 && alphabetic(cell[at+1:]) {
			t.text, t.country = cell[:at], cell[at+1:]
		}
	case "state":
		t.state = cell
	case "country":
		t.country = cell
	case "confidence":
		t.confidence = confidence(cell, p.cfg.ConfidenceScale)
	case "camera":
		t.camera = strings.ToValidUTF8(cell[:min(len(cell), cameraMost)], "")
	case "seq":
		t.seq = cell
	case "datetime":
		t.at = p.time(cell)
	case "date":
		t.date = cell
	case "time":
		t.clock = cell
	case "epoch":
		t.at = epoch(cell)
	}
}

// made makes a plate of what was told.
func (p *parser) made(t told) (devices.Plate, error) {
	plate := devices.Plate{Confidence: t.confidence, Camera: t.camera, DeviceAt: t.at}
	if t.date != "" && t.clock != "" {
		plate.DeviceAt = p.time(t.date + " " + t.clock)
	}
	switch {
	case t.text == "" || p.noRead(t.text):
		plate.NoRead = true
	case !legible(t.text):
		return devices.Plate{}, fmt.Errorf("%w: no plate in it", errFormat)
	default:
		plate.Text, plate.Jurisdiction = devices.Ident(t.text), jurisdiction(either(t.state, t.country))
	}
	return plate, nil
}

// legible tells whether a text can be a plate at all, and is not what a line
// of the wrong speed gives. No form is asked for, since personalised plates
// break every pattern.
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

func alphabetic(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }) < 0
}

// jurisdiction keeps what looks like a code; anything else is not reported.
func jurisdiction(s string) string {
	if len(s) > 3 || !alphabetic(s) {
		return ""
	}
	return strings.ToUpper(s)
}

// confidence is a fraction from 0 to 1; what cannot be read is not reported.
func confidence(s string, scale int) float64 {
	s, percent := strings.CutSuffix(s, "%")
	if percent {
		scale = 100
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > float64(scale) {
		return -1
	}
	return v / float64(scale)
}

// forms of a camera's clock.
var forms = []string{"20060102150405", "2006-01-02T15:04:05.999Z07:00", "2006-01-02T15:04:05.999",
	"2006-01-02 15:04:05.999", "2006-01-02 15-04-05", "2006-01-02 150405",
	"20060102 15:04:05.999", "20060102 15-04-05", "20060102 150405"}

func (p *parser) time(s string) time.Time {
	for _, form := range forms {
		if t, err := time.ParseInLocation(form, s, p.zone); err == nil {
			return t
		}
	}
	return time.Time{} // the arrival here counts anyway
}

// epoch reads seconds or milliseconds since 1970.
func epoch(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil || n <= 0:
		return time.Time{}
	case n > 1e11:
		return time.UnixMilli(n).UTC()
	}
	return time.Unix(n, 0).UTC()
}
