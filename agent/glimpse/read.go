// Package glimpse shows a technician what a device reads and what goes over its
// line, with identifiers masked: the first one seen is #1. Bytes are shown in
// full by Hexes alone, for whoever asked for them.
package glimpse

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"boothd/agent/passage"
	"boothd/agent/token"
	"boothd/devices"
)

// Labels tells one identifier from another without telling either: the first
// one seen is #1. They are kept in memory only and end with the program (I7).
type Labels map[devices.Ident]int

// labelsMost bounds what is remembered: more cards than a day's test needs.
const labelsMost = 4096

// of masks an identifier: "#1 (24 characters)"; "" for none.
func (l Labels) of(id devices.Ident) string {
	if id == "" {
		return ""
	}
	n, ok := l[id]
	if !ok {
		if n = len(l) + 1; n > labelsMost {
			return fmt.Sprintf("#? (%d characters)", len(id))
		}
		l[id] = n
	}
	return fmt.Sprintf("#%d (%d characters)", n, len(id))
}

// Read is a read as a technician may see it and as a capture keeps it, the
// identifiers masked, or the level of a board's point.
type Read struct {
	At   float64 `json:"at"`   // seconds since the device was opened
	What string  `json:"what"` // tag, plate, document, scan, key; of a board: output, input, driven anew
	ID   string  `json:"id,omitempty"`
	TID  string  `json:"tid,omitempty"`
	// Tokens are of raw captures only, under a key that everybody has: they
	// compare, and are no more secret than the bytes beside them.
	Token    passage.Token `json:"token,omitempty"`
	TIDToken passage.Token `json:"tid_token,omitempty"`

	// Scheme and Chip are what a Gen2 tag's numbers are of, as in SGTIN-96 and
	// Impinj: of a kind, not of a card.
	Scheme string `json:"scheme,omitempty"`
	Chip   string `json:"chip,omitempty"`

	RSSIDBm      int        `json:"rssi_dbm,omitempty"`
	Antenna      int        `json:"antenna,omitempty"`
	Jurisdiction string     `json:"jurisdiction,omitempty"`
	Confidence   *float64   `json:"confidence,omitempty"` // absent if the camera does not say
	NoRead       bool       `json:"no_read,omitempty"`
	Camera       string     `json:"camera,omitempty"`
	DeviceAt     *time.Time `json:"device_at,omitempty"`
	Issuer       string     `json:"issuer,omitempty"`
	CheckFailed  bool       `json:"check_failed,omitempty"`
	Unreadable   bool       `json:"unreadable,omitempty"`
	Button       string     `json:"button,omitempty"`

	Point  string `json:"point,omitempty"` // of a board
	Active *bool  `json:"active,omitempty"`
}

// Of masks a read. Its time is counted from begun.
func (l Labels) Of(r devices.Read, begun time.Time) Read {
	x := Read{At: r.At.Sub(begun).Round(time.Millisecond).Seconds()}
	switch {
	case r.Tag != nil:
		x.What, x.ID, x.TID = "tag", l.of(r.Tag.EPC), l.of(r.Tag.TID)
		x.Scheme, x.Chip = token.Kind(*r.Tag)
		x.RSSIDBm, x.Antenna, x.Unreadable, x.DeviceAt = r.Tag.RSSIDBm, r.Tag.Antenna, r.Tag.Unreadable, told(r.Tag.DeviceAt)
	case r.Plate != nil:
		p := r.Plate
		x.What, x.ID, x.Jurisdiction, x.NoRead, x.Camera = "plate", l.of(p.Text), p.Jurisdiction, p.NoRead, p.Camera
		if p.Confidence >= 0 {
			x.Confidence = &p.Confidence
		}
		x.DeviceAt = told(p.DeviceAt)
	case r.Document != nil:
		x.What, x.ID, x.Issuer = "document", l.of(r.Document.Number), r.Document.Issuer
		x.CheckFailed, x.Unreadable = r.Document.CheckFailed, r.Document.Unreadable
	case r.Scan != nil:
		x.What, x.ID, x.Unreadable = "scan", l.of(r.Scan.Text), r.Scan.Unreadable
	case r.Key != nil:
		x.What, x.ID, x.Jurisdiction, x.Button = "key", l.of(r.Key.Plate), r.Key.Jurisdiction, r.Key.Button
	}
	return x
}

// told is a device's own time, or nil if it told none.
func told(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

// String is the read on a line, without its time.
func (x Read) String() string {
	parts := []string{x.What}
	add := func(yes bool, format string, args ...any) {
		if yes {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(x.ID != "", "%s", x.ID)
	add(x.What == "plate" && x.NoRead, "no plate seen")
	add(x.Unreadable, "unreadable")
	add(x.CheckFailed, "a check digit is wrong")
	add(x.TID != "" && x.Chip == "", "chip %s", x.TID)
	add(x.TID != "" && x.Chip != "", "chip %s of %s", x.TID, x.Chip)
	add(x.What == "tag", "%d dBm, antenna %d", x.RSSIDBm, x.Antenna)
	add(x.Scheme != "", "%s", x.Scheme)
	add(x.Jurisdiction != "", "of %s", x.Jurisdiction)
	add(x.Confidence != nil, "confidence %.2f", deref(x.Confidence))
	add(x.Issuer != "", "of %s", x.Issuer)
	add(x.Camera != "", "camera %s", x.Camera)
	add(x.DeviceAt != nil, "its clock %s", deref(x.DeviceAt).Format(time.DateTime))
	add(x.Button != "", "button %s", x.Button)
	add(x.Point != "", "%s", x.Point)
	add(x.Active != nil && *x.Active, "active")
	add(x.Active != nil && !*x.Active, "at rest")
	return strings.Join(parts, "  ")
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Line is the read as a line of JSON.
func (x Read) Line() ([]byte, error) {
	b, err := json.Marshal(x)
	if err != nil {
		return nil, fmt.Errorf("writing a read: %w", err)
	}
	return append(b, '\n'), nil
}
