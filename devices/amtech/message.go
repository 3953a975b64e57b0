package amtech

import (
	"bytes"
	"encoding/hex"
	"strings"
	"time"

	"boothd/devices"
)

// idMost is the longest tag number (ATA).
const idMost = 20

// kind is what a frame of the reader says.
type kind int

const (
	kindNothing kind = iota // nothing that is known: counted and passed over
	kindTag
	kindSignOn // the reader restarted, or was asked who it is
	kindAlarm  // Error06 and the like
	kindDone   // a command was done
	kindRefused
	kindStatus // the answer to a question of the set-up
)

// message is a frame's text, understood.
type message struct {
	kind    kind
	id      []byte    // of a tag, as sent
	antenna int       // as the reader numbers them; -1 if it does not say
	at      time.Time // by the reader's clock; zero if it does not say
	alarm   int       // of an alarm
}

// read tells what a frame says.
//
// A tag number is what stands before the first & or %; behind it come page
// data, time and the auxiliary data of the reader, in this order.
func read(text []byte) message {
	switch {
	case len(text) == 0:
		return message{}
	case string(text) == "Done":
		return message{kind: kindDone}
	case string(text) == "Error":
		return message{kind: kindRefused}
	case bytes.HasPrefix(text, []byte("Model ")):
		return message{kind: kindSignOn}
	case len(text) == len("Error06") && bytes.HasPrefix(text, []byte("Error")) && digits(text[5:]):
		return message{kind: kindAlarm, alarm: int(text[5]-'0')*10 + int(text[6]-'0')}
	case isStatus(text):
		return message{kind: kindStatus}
	}
	m := message{kind: kindTag, antenna: -1}
	body := text
	if i := bytes.LastIndexByte(body, '%'); i >= 0 {
		var ok bool
		if m.antenna, ok = auxiliary(body[i+1:]); !ok {
			return message{}
		}
		body = body[:i]
	}
	if i := bytes.IndexByte(body, '&'); i >= 0 {
		m.at = clock(body[i+1:])
		body = body[:i]
	}
	if len(body) == 0 || len(body) > idMost || bytes.IndexByte(body, '%') >= 0 || len(bytes.TrimSpace(body)) == 0 {
		return message{}
	}
	m.id = body
	return m
}

// clock reads the reader's time, the last of what is appended behind page data.
// The reader tells no zone: its digits are taken for UTC.
func clock(appended []byte) time.Time {
	at, err := time.Parse("15:04:05.00 01/02/06", string(appended[bytes.LastIndexByte(appended, '&')+1:]))
	if err != nil {
		return time.Time{} // page data, or a clock that is not set
	}
	return at
}

// auxiliary reads xx-y-zz-q: reader, antenna, reads of the tag before, inputs.
func auxiliary(b []byte) (antenna int, ok bool) {
	const shape = "xx-x-xx-3"
	if len(b) != len(shape) {
		return 0, false
	}
	for i, c := range b {
		_, hexadecimal := unhexDigit(c)
		switch {
		case shape[i] == '-' && c != '-', shape[i] == 'x' && !hexadecimal, shape[i] == '3' && (c < '0' || c > '3'):
			return 0, false
		}
	}
	n, _ := unhexDigit(b[3])
	return int(n), true
}

// status is how a reader answers questions about itself, told apart from tags
// by their whole form, since a tag number may begin with any four letters.
var status = [...]string{"SSTC E# M#", "IOST C# O# I# D##", "PWRB #"}

func isStatus(text []byte) bool {
	for _, form := range status {
		if likeForm(text, form) {
			return true
		}
	}
	return bytes.HasPrefix(text, []byte("HDSH "))
}

// likeForm compares; # is any hex digit.
func likeForm(text []byte, form string) bool {
	if len(text) != len(form) {
		return false
	}
	for i, c := range text {
		if _, ok := unhexDigit(c); form[i] == '#' && !ok || form[i] != '#' && form[i] != c {
			return false
		}
	}
	return true
}

func digits(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r < '0' || r > '9' })
}

// ident is a tag number as an identifier: the ASCII codes of its characters in
// upper-case hex, blanks included, since a Tag's number is hex everywhere.
func ident(id []byte) devices.Ident {
	return devices.Ident(strings.ToUpper(hex.EncodeToString(id)))
}
