package devices

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Far is the far end of one device, played: hardware that is not there, for
// demonstrations and tests. What a device of its kind cannot do is nil. Its acts may
// be called from any goroutine.
type Far struct {
	Lineless bool                       // it has no line of its own: it pulses lines of a chip, or posts
	Serve    func(io.ReadWriter) error  // plays it on its line until that ends; nil: it only writes
	Run      func(ctx context.Context)  // what it does by itself, until ctx ends; nil: nothing
	Present  func(tags ...FarTag) error // puts these into its field and takes all others away
	Word     func(bits string) error    // sends pulses: "0" and "1", "." for silence, "x" for both lines at once
	// Plate reports one; confidence is a fraction from 0 to 1.
	Plate    func(text, jurisdiction string, confidence float64) error
	NoRead   func() error // reports a vehicle whose plate was not read
	Scan     func(text string) error
	Document func(state, number string) error
	Enter    func(text string) error // types a text and enters it
	Strike   func(key string) error
	Mute     func(on bool) // makes it fall silent, or speak again
	Reboot   func() error
}

// FarTag is a card or a vehicle's tag before a played reader.
type FarTag struct {
	Number  string // as lists have it, in hex
	RSSIDBm int
	Antenna int
	Damaged bool // its check fails
}

// Bytes gives the number of a tag that is whole.
func (t FarTag) Bytes() ([]byte, error) {
	b, err := hex.DecodeString(t.Number)
	switch {
	case err != nil || len(b) == 0:
		return nil, fmt.Errorf("%q is no number in hex", t.Number)
	case t.Damaged:
		return nil, errors.New("this reader cannot be played a damaged card")
	}
	return b, nil
}

// EachOnce presents tags to a reader that tells of each just once.
func EachOnce(show func(number []byte) error) func(tags ...FarTag) error {
	return func(tags ...FarTag) error {
		for _, t := range tags {
			number, err := t.Bytes()
			if err == nil {
				err = show(number)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// Done is an act that cannot fail.
func Done(act func()) func() error {
	return func() error { act(); return nil }
}
