package line

import (
	"iter"
	"slices"

	"boothd/devices"
)

// Text reads what cameras tell within the frames of another protocol. Of the
// Config it keeps what is said of a report's text: fields, separator, texts for
// "no plate seen", scale of the confidence, charset and zone. It is pure, and
// its errors quote nothing of what it was given.
type Text struct{ parser *parser }

// NewText makes one; without fields a report is a plate with its country behind
// a dash.
func NewText(cfg Config) (*Text, error) {
	if len(cfg.Fields) == 0 {
		cfg.Fields = []string{"plate_country"}
	}
	if len(cfg.NoRead) == 0 {
		cfg.NoRead = noReads
	}
	full, err := Config{Silence: 1, Fields: cfg.Fields, Separator: cfg.Separator, ConfidenceScale: cfg.ConfidenceScale,
		NoRead: append(slices.Clone(cfg.NoRead), ""), Charset: cfg.Charset, Zone: cfg.Zone}.complete() // the frame is the other protocol's
	if err != nil {
		return nil, err
	}
	p, err := newParser(full)
	if err != nil {
		return nil, err
	}
	return &Text{p}, nil
}

// Report reads a report's text. One without a byte is a vehicle without a plate.
func (t *Text) Report(text []byte) (devices.Plate, error) {
	p, _, err := t.parser.parse(text)
	return p, err
}

// Parts reads a report that comes in parts, each with the name of its field. Of
// "plate" and "plate_country" the later one counts.
func (t *Text) Parts(parts iter.Seq2[string, []byte]) (devices.Plate, error) {
	heard := nothing()
	for name, b := range parts {
		cell, err := t.parser.decode(b)
		if err != nil {
			return devices.Plate{}, err
		}
		t.parser.hear(&heard, name, cell)
	}
	return t.parser.made(heard)
}
