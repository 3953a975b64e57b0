package contract

import (
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

// TypeFleetNotice is the event of a notice that a booth shows from now on.
const TypeFleetNotice Type = "org.boothd.audit.notice.v1"

// Bounds of a notice.
const (
	// MaxNoticeSpan is the longest that a notice may stand: a version of this
	// contract is announced to end a year before.
	MaxNoticeSpan = 400 * 24 * time.Hour
	MaxNoticeText = 160 // bytes, so that it is shown whole wherever it is
)

// FleetNotice is what headquarters has all booths show: the payload that is
// signed, and stands retained on TopicNotice. It decides nothing. Of several the
// one with the highest id counts, so that one that is sent again cannot come
// back; an empty Text ends those before.
type FleetNotice struct {
	ID        string    `json:"id"` // UUIDv7, lower case
	Text      string    `json:"text"`
	NotBefore time.Time `json:"notbefore"`
	NotAfter  time.Time `json:"notafter"`
	By        string    `json:"by"` // who at headquarters
}

// EncodeFleetNotice gives a notice's bytes, to be signed. It fails on what
// DecodeFleetNotice refuses.
func EncodeFleetNotice(n FleetNotice) ([]byte, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	return encode("notice", n)
}

// DecodeFleetNotice reads the payload of an envelope that was opened. Only the
// form is judged here.
func DecodeFleetNotice(b []byte) (FleetNotice, error) {
	var n FleetNotice
	if err := strict(b, MaxSealed, &n); err != nil {
		return FleetNotice{}, fmt.Errorf("notice: %w", err)
	}
	var said struct {
		Text *string `json:"text"`
	}
	if err := json.Unmarshal(b, &said); err != nil || said.Text == nil { // forgotten is not empty, which ends what is shown
		return FleetNotice{}, errors.New("notice: no text")
	}
	if err := n.check(); err != nil {
		return FleetNotice{}, err
	}
	return n, nil
}

func (n FleetNotice) check() error {
	id, err := uuid.Parse(n.ID)
	switch {
	case err != nil || id.Version() != 7 || id.String() != n.ID:
		return errors.New("notice: id is not a UUIDv7 in lower case")
	case len(n.Text) > MaxNoticeText:
		return fmt.Errorf("notice: text of %d bytes, %d are possible", len(n.Text), MaxNoticeText)
	case n.By == "" || len(n.By) > maxCommandBy:
		return fmt.Errorf("notice: by of %d bytes, 1 to %d are possible", len(n.By), maxCommandBy)
	case n.NotBefore.IsZero() || !n.NotBefore.Before(n.NotAfter):
		return errors.New("notice: notbefore and notafter are not a span")
	case n.NotAfter.Sub(n.NotBefore) > MaxNoticeSpan:
		return fmt.Errorf("notice: stands for more than %v", MaxNoticeSpan)
	}
	for _, text := range []string{n.Text, n.By} {
		if !utf8.ValidString(text) {
			return errors.New("notice: text or by is no UTF-8")
		}
		for _, r := range text {
			if !unicode.IsPrint(r) { // nothing that moves a cursor or turns the text around
				return errors.New("notice: text or by has a character that does not print")
			}
		}
	}
	return nil
}

// FleetNoticed says that the booth has taken a notice; it is stored once for
// each.
type FleetNoticed struct {
	FleetNotice
	KeyID string `json:"keyid"` // that signed it
	Clock Clock  `json:"clock"`
}

// Type names the event.
func (FleetNoticed) Type() Type { return TypeFleetNotice }

func (FleetNoticed) subject() string { return "fleet" }
