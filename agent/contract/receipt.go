package contract

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Bounds of a receipt.
const (
	maxRanges  = 1000
	maxRejects = 100
	maxReason  = 500 // bytes of a reject's message
)

// Receipt is headquarters' word on what it has of a booth. Retained, the last
// one counts (mqtt contract, section 5).
type Receipt struct {
	Epoch  string      `json:"epoch"`
	Upto   uint64      `json:"upto"`             // every seq up to here is committed, or given up by a tombstone that is
	Have   [][2]uint64 `json:"have,omitempty"`   // of that, ranges above the mark, both ends included; not always all
	Want   [][2]uint64 `json:"want,omitempty"`   // please send again, in this order
	Reject []Reject    `json:"reject,omitempty"` // stored as refused: quarantine, never resend alone
	Rate   float64     `json:"rate,omitzero"`    // backlog messages a second; 0: not said
	Window int         `json:"window,omitzero"`  // messages in the air without receipt; 0: not said
	At     time.Time   `json:"at"`
}

// Reject is one event that headquarters refused.
type Reject struct {
	Seq  uint64 `json:"seq"`
	Code string `json:"code"` // schema, source, size, ...
	Msg  string `json:"msg,omitempty"`
}

// EncodeReceipt gives a receipt's bytes. It fails on what DecodeReceipt refuses.
func EncodeReceipt(r Receipt) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return encode("receipt", r)
}

// DecodeReceipt judges a receipt that came in.
func DecodeReceipt(b []byte) (Receipt, error) {
	var r Receipt
	if err := strict(b, MaxState, &r); err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	if err := r.check(); err != nil {
		return Receipt{}, err
	}
	return r, nil
}

func (r Receipt) check() error {
	switch {
	case r.Epoch == "" || len(r.Epoch) > 64:
		return errors.New("receipt: no epoch")
	case len(r.Have) > maxRanges || len(r.Want) > maxRanges || len(r.Reject) > maxRejects:
		return fmt.Errorf("receipt: more than %d ranges or %d rejects", maxRanges, maxRejects)
	case r.Rate < 0 || r.Rate > 1e6 || r.Window < 0 || r.Window > 1e6:
		return errors.New("receipt: rate or window out of range")
	case r.Upto > 1<<63-1:
		return errors.New("receipt: upto out of range")
	}
	for _, ranges := range [][][2]uint64{r.Have, r.Want} {
		for _, x := range ranges {
			if x[0] == 0 || x[0] > x[1] || x[1] > 1<<63-1 {
				return errors.New("receipt: a range is empty or out of range")
			}
		}
	}
	for _, x := range r.Reject {
		if x.Seq == 0 || x.Seq > 1<<63-1 || x.Code == "" || len(x.Code) > 64 || len(x.Msg) > maxReason {
			return errors.New("receipt: a reject is malformed")
		}
	}
	return nil
}

// Words of a status.
const (
	Online   = "online"
	Offline  = "offline" // the last will
	Stopping = "stopping"
)

// Status is a booth's presence. Of several, the one with the highest Conn
// counts: a late will of an old connection cannot hide a live booth.
type Status struct {
	S       string    `json:"s"`
	Conn    uint64    `json:"conn"` // +1 for each CONNECT, kept on disk
	Boot    string    `json:"bootid"`
	At      time.Time `json:"at"`
	Version string    `json:"v"`
}

// EncodeStatus gives a status' bytes.
func EncodeStatus(s Status) ([]byte, error) { return encode("status", s) }

// DecodeStatus judges a status that came in.
func DecodeStatus(b []byte) (Status, error) {
	var s Status
	if err := strict(b, MaxState, &s); err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	if s.S != Online && s.S != Offline && s.S != Stopping || s.Conn > 1<<63-1 {
		return Status{}, errors.New("status: neither online, offline nor stopping")
	}
	return s, nil
}

// encode marshals a message that is not an event.
func encode(what string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	switch {
	case err != nil:
		return nil, fmt.Errorf("encoding %s: %w", what, err)
	case len(b) > MaxState:
		return nil, fmt.Errorf("%s of %d bytes: %w", what, len(b), ErrTooBig)
	}
	return b, nil
}
