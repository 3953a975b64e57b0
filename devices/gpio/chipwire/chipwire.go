// Package chipwire is what a simulated GPIO chip and its driver say to each
// other over a unix socket, for booths and tests where there is no chip. It is
// one JSON object a line, at most 4 KiB, and this is the whole of it:
//
//	chip:   {"op":"hello","version":2,"stamp":N}
//	driver: {"op":"claim","id":1,"line":"GPIO17","consumer":"boothd:traveller_red",
//	         "output":true,"active_low":true,"active":true}     first level: active
//	        {"op":"claim","id":2,"line":"GPIO5","consumer":"boothd:booth_loop",
//	         "active_low":true,"debounce_ns":50000000}
//	        {"op":"claim","id":6,"line":"GPIO20","pair":"GPIO21","consumer":"boothd:door"}
//	        {"op":"level","id":3,"line":"GPIO5"}
//	        {"op":"set","id":4,"line":"GPIO17","active":false}
//	        {"op":"release","id":5,"line":"GPIO17"}
//	chip:   {"op":"done","id":3,"active":true,"stamp":N}
//	        {"op":"refused","id":2,"why":"busy","holder":"boothd:exit_loop"}
//	        {"op":"edge","line":"GPIO5","active":true,"stamp":N,"seq":7}
//
// The chip speaks first. Levels are logical, as active_low says in the claim.
// Every request has one answer, in order; edges come between the answers, in
// order of stamp. Stamps are nanoseconds on the chip's monotonic clock, no two
// the same, so that a level tells which edges it already holds. Seq counts the
// edges of a claim from 1. A claim with a pair is of two inputs at once: their
// falling edges alone are told, under one count, and the release of its line
// releases both. Claims end with the connection, as they end with a process on
// a real chip. A sender that breaks a rule is hung up on.
package chipwire

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Version is what hello must say.
const Version = 2

// LineMost is how long a line may be, in bytes, its end included.
const LineMost = 4096

// What a message does.
const (
	Hello   = "hello"
	Claim   = "claim"
	Level   = "level"
	Set     = "set"
	Release = "release"
	Done    = "done"
	Refused = "refused"
	Edge    = "edge"
)

// Why a request is refused.
const (
	Busy    = "busy"    // the line is claimed; Holder tells by whom
	NoLine  = "no-line" // the chip has no such line
	Unasked = "unasked" // this connection has not claimed the line, or not as an output
)

// Message is every message; each uses the fields shown above.
type Message struct {
	Op        string        `json:"op"`
	ID        uint64        `json:"id,omitempty"`
	Version   int           `json:"version,omitempty"`
	Line      string        `json:"line,omitempty"`
	Pair      string        `json:"pair,omitempty"` // the second line of a claim
	Consumer  string        `json:"consumer,omitempty"`
	Output    bool          `json:"output,omitempty"`
	ActiveLow bool          `json:"active_low,omitempty"`
	Debounce  time.Duration `json:"debounce_ns,omitempty"`
	Active    bool          `json:"active,omitempty"`
	Stamp     int64         `json:"stamp,omitempty"`
	Seq       uint32        `json:"seq,omitempty"`
	Why       string        `json:"why,omitempty"`
	Holder    string        `json:"holder,omitempty"`
}

// Append appends the message as one line.
func Append(b []byte, m Message) ([]byte, error) {
	j, err := json.Marshal(m)
	if err != nil {
		return b, fmt.Errorf("writing %s: %w", m.Op, err)
	}
	if len(j)+1 > LineMost {
		return b, fmt.Errorf("writing %s: %d bytes, more than %d", m.Op, len(j)+1, LineMost)
	}
	return append(append(b, j...), '\n'), nil
}

// Reader reads messages.
type Reader struct{ lines *bufio.Scanner }

// NewReader returns a reader of the messages in r.
func NewReader(r io.Reader) *Reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, LineMost), LineMost)
	return &Reader{lines: s}
}

// Read returns the next message; io.EOF when the far end has hung up.
func (r *Reader) Read() (Message, error) {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return Message{}, err
		}
		return Message{}, io.EOF
	}
	var m Message
	if err := json.Unmarshal(r.lines.Bytes(), &m); err != nil {
		return Message{}, fmt.Errorf("reading a message of %d bytes: %w", len(r.lines.Bytes()), err)
	}
	return m, nil
}
