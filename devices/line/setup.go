package line

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"boothd/devices"
)

// Config says which camera and how it writes. There are no ready ones here: what
// the makes of cameras write is data (configs/profiles/cameras.toml).
type Config struct {
	Name string
	Role devices.Role

	Start, End      string        // bytes around a report
	Silence         time.Duration // ends a report that has no end
	Separator       string        // between fields; none: columns
	Fields          []string      // "plate", "datetime:14", "plate:10:_" (filled up with _), "literal:X", ...
	NoRead          []string      // texts that stand for "no plate seen"; what cameras commonly write if none are given
	ConfidenceScale int           // what full confidence is: 1, 100 or 1000; 100 if not given
	Checksum        string        // none, xor, xor-hex, sum-hex, twos-hex, crc16-ibm, ...
	ChecksumEnd     bool          // the checksum follows the end and covers it, too
	Heartbeat       string        // a report that only says that the camera is there
	Quiet           time.Duration // how long a camera with a Heartbeat may say nothing; 30 s if not given
	Ack, Nak        string        // what a report is answered, and one whose checksum is wrong: hex digits, {seq}; none: nothing
	Charset         string        // ascii, latin-1, utf-8
	Zone            string        // of the camera's clock; "": UTC
	MaxLength       int           // bytes of a report
	Window          time.Duration // in which the same plate is the same report

	Health func(f Fault) // called from Reads; may be nil
}

// noReads are what cameras commonly write for "no plate".
var noReads = []string{"NOREAD", "Not defined", `""`, "?"}

// complete fills in the defaults.
func (c Config) complete() (Config, error) {
	if len(c.NoRead) == 0 {
		c.NoRead = noReads
	}
	c.ConfidenceScale, c.MaxLength = either(c.ConfidenceScale, 100), either(c.MaxLength, maxLength)
	c.Checksum, c.Charset, c.Zone = either(c.Checksum, "none"), either(c.Charset, "ascii"), either(c.Zone, "UTC")
	c.Window, c.Quiet = either(c.Window, 10*time.Second), either(c.Quiet, beatWait)
	if c.End == "" && c.Silence <= 0 || len(c.Fields) == 0 {
		return c, errors.New("a camera needs fields, and an end or a silence")
	}
	if c.ChecksumEnd && (c.End == "" || c.Checksum == "none") {
		return c, errors.New("a checksum over the end needs a checksum and an end")
	}
	return c, nil
}

func either[T comparable](a, b T) T {
	var none T
	if a != none {
		return a
	}
	return b
}

// field is one part of a report.
type field struct {
	name  string
	width int    // bytes; 0: as far as it goes
	pad   string // what a column is filled up with, beside blanks
	text  string // of a literal
}

// fieldOf reads "name", "name:WIDTH", "name:WIDTH:PAD" or "literal:TEXT".
func fieldOf(s string) (field, error) {
	name, arg, has := strings.Cut(s, ":")
	f := field{name: name}
	switch {
	case !slices.Contains(names, name):
		return f, fmt.Errorf("no field %q; there are %s", name, strings.Join(names, ", "))
	case name == "literal":
		f.text, f.width = arg, len(arg)
	case has:
		width, pad, padded := strings.Cut(arg, ":")
		n, err := strconv.Atoi(width)
		if err != nil || n < 1 || n > 255 {
			return f, fmt.Errorf("field %q has no width from 1 to 255", s)
		}
		if padded && (len(pad) != 1 || pad[0] <= ' ' || pad[0] > '~' || legible(pad)) { // 0700 must stay what it is
			return f, fmt.Errorf("field %q is not filled up with one character that is no letter or digit", s)
		}
		f.width, f.pad = n, pad
	}
	return f, nil
}
