package line

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"boothd/devices"
)

var (
	errCheck  = errors.New("checksum is wrong")
	errFormat = errors.New("report has another format")
)

// parser reads a report's bytes. It is pure: the same bytes give the same plate.
type parser struct {
	cfg    Config
	fields []field
	zone   *time.Location
}

func newParser(cfg Config) (*parser, error) {
	p := &parser{cfg: cfg}
	for i, s := range cfg.Fields {
		f, err := fieldOf(s)
		if err != nil {
			return nil, err
		}
		if cfg.Separator == "" && f.width == 0 && i < len(cfg.Fields)-1 {
			return nil, fmt.Errorf("field %q needs a width: only the last column may be open", s)
		}
		p.fields = append(p.fields, f)
	}
	var err error
	if p.zone, err = time.LoadLocation(cfg.Zone); err != nil {
		return nil, fmt.Errorf("zone of the camera's clock: %w", err)
	}
	return p, nil
}

// parse reads one report; beat tells that it only says the camera is there.
// Its errors quote nothing of the report.
func (p *parser) parse(report []byte) (plate devices.Plate, beat bool, err error) {
	body, err := uncheck(p.cfg.Checksum, report)
	if err != nil {
		return plate, false, err
	}
	text, err := p.decode(body)
	if err != nil {
		return plate, false, err
	}
	if p.cfg.Heartbeat != "" && text == p.cfg.Heartbeat {
		return plate, true, nil
	}
	cells, err := p.cells(text)
	if err != nil {
		return plate, false, err
	}
	return p.plate(cells)
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
		if slices.ContainsFunc(b, func(c byte) bool { return c > 0x7e }) {
			return "", fmt.Errorf("%w: not ASCII", errFormat)
		}
	}
	return string(b), nil
}

// cells takes the text apart, one for each field.
func (p *parser) cells(text string) ([]string, error) {
	if p.cfg.Separator != "" {
		cells := strings.Split(text, p.cfg.Separator)
		if len(cells) != len(p.fields) {
			return nil, fmt.Errorf("%w: %d fields, not %d", errFormat, len(cells), len(p.fields))
		}
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

// plate puts the cells together.
func (p *parser) plate(cells []string) (plate devices.Plate, beat bool, err error) {
	plate.Confidence = -1
	var text, state, country, date, clock string
	for i, f := range p.fields {
		cell := strings.TrimSpace(cells[i])
		switch f.name {
		case "plate":
			text = cell
		case "plate_country":
			text = cell
			if at := strings.LastIndexByte(cell, '-'); at > 0 && len(cell)-at-1 <= 3 && alphabetic(cell[at+1:]) {
				text, country = cell[:at], cell[at+1:]
			}
		case "state":
			state = cell
		case "country":
			country = cell
		case "confidence":
			plate.Confidence = confidence(cell, p.cfg.ConfidenceScale)
		case "camera":
			plate.Camera = cell[:min(len(cell), 64)]
		case "datetime":
			plate.DeviceAt = p.time(cell)
		case "date":
			date = cell
		case "time":
			clock = cell
		case "epoch":
			plate.DeviceAt = epoch(cell)
		}
	}
	if date != "" && clock != "" {
		plate.DeviceAt = p.time(date + " " + clock)
	}
	plate.Jurisdiction = jurisdiction(either(state, country))
	if text == "" || slices.Contains(p.cfg.NoRead, text) {
		plate.NoRead, plate.Jurisdiction = true, ""
		return plate, false, nil
	}
	plate.Text = devices.Ident(text)
	return plate, false, nil
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
	v, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > float64(scale) {
		return -1
	}
	return v / float64(scale)
}

// forms of a camera's clock.
var forms = []string{"20060102150405", "2006-01-02T15:04:05.999Z07:00", "2006-01-02T15:04:05.999", "2006-01-02 15:04:05.999", "2006-01-02 15-04-05",
	"20060102 150405", "20060102 15:04:05.999"}

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

// uncheck cuts the checksum off a report and compares it. It covers what is
// between start and checksum.
func uncheck(kind string, report []byte) ([]byte, error) {
	size := map[string]int{"none": 0, "": 0, "xor": 1, "xor-hex": 2, "sum-hex": 2, "twos-hex": 2}
	n, known := size[kind]
	if !known {
		n = 4
	}
	if len(report) < n {
		return nil, errCheck
	}
	body, sum := report[:len(report)-n], report[len(report)-n:]
	if n == 0 {
		return body, nil
	}
	want := checksum(kind, body)
	if want == nil {
		return nil, fmt.Errorf("no checksum %q", kind)
	}
	if kind != "xor" {
		raw := make([]byte, len(sum)/2)
		if _, err := hex.Decode(raw, sum); err != nil {
			return nil, errCheck
		}
		sum = raw
	}
	if string(sum) != string(want) {
		return nil, errCheck
	}
	return body, nil
}

// checksum computes one; nil if there is no such kind.
func checksum(kind string, b []byte) []byte {
	var x, sum byte
	for _, c := range b {
		x ^= c
		sum += c
	}
	switch kind {
	case "xor", "xor-hex":
		return []byte{x}
	case "sum-hex":
		return []byte{sum}
	case "twos-hex":
		return []byte{-sum}
	case "crc16-ibm":
		return crc16(b, 0, true)
	case "crc16-ccitt-false":
		return crc16(b, 0xFFFF, false)
	case "crc16-xmodem":
		return crc16(b, 0, false)
	}
	return nil
}

// crc16 is the CRC with polynomial 8005 reflected (IBM), or 1021 (CCITT).
func crc16(b []byte, crc uint16, reflected bool) []byte {
	for _, c := range b {
		if reflected {
			crc ^= uint16(c)
		} else {
			crc ^= uint16(c) << 8
		}
		for range 8 {
			switch {
			case reflected && crc&1 != 0:
				crc = crc>>1 ^ 0xA001
			case reflected:
				crc >>= 1
			case crc&0x8000 != 0:
				crc = crc<<1 ^ 0x1021
			default:
				crc <<= 1
			}
		}
	}
	return []byte{byte(crc >> 8), byte(crc)}
}
