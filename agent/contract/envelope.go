package contract

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// ErrTooBig is an event, state or receipt over its limit.
var ErrTooBig = errors.New("message over its limit")

// Stamp is an event's place in the booth's journal. Its fields are those of
// the journal's stamp, so that one converts into the other.
type Stamp struct {
	Epoch string   // UUIDv7 of the journal's life
	Seq   uint64   // gap-free within the epoch, from 1
	Prev  [16]byte // first half of SHA-256 over the stored bytes of seq-1
	ID    string   // UUIDv7, for people and tools; seq is the truth
	Live  bool     // stored while headquarters could be reached
}

// Head is what every event of a booth says of its origin.
type Head struct {
	Booth     string
	Time      time.Time // of the physical event, wall clock
	Simulated bool      // some part of the booth is simulated
}

// Type of an event, versioned in its name.
type Type string

// Data is the body of an event. The set of types is closed: what is not in
// this package cannot be sent.
type Data interface {
	// Type names the event; Type.Class tells its topic.
	Type() Type
	subject() string
}

const (
	typePrefix = "org.boothd."
	schemaBase = "https://boothd.example/schemas/"
)

// Schema is the address of the JSON Schema of the type's data.
func (t Type) Schema() string { return schemaBase + t.short() + ".json" }

func (t Type) short() string { return strings.TrimPrefix(string(t), typePrefix) }

// envelope is the CloudEvents form around an event's data. The order of its
// fields is the order of the keys on the wire.
type envelope struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        Type           `json:"type"`
	Subject     string         `json:"subject,omitempty"`
	Time        string         `json:"time"`
	ContentType string         `json:"datacontenttype"`
	Schema      string         `json:"dataschema"`
	Epoch       string         `json:"boothepoch"`
	Seq         uint64         `json:"boothseq"`
	Prev        string         `json:"boothprev"`
	Lane        string         `json:"boothlane"`
	Simulated   bool           `json:"boothsimulated,omitzero"`
	Data        jsontext.Value `json:"data"`
}

// Event is one event as headquarters reads it.
type Event struct {
	Stamp
	Head
	Type    Type
	Subject string
	Data    jsontext.Value // open it with As
}

// Draft is an event that has no place yet: its data are encoded.
type Draft struct {
	head Head
	typ  Type
	subj string
	data jsontext.Value
}

// Drafted encodes the data of an event, which is most of the work.
func Drafted(h Head, d Data) (Draft, error) {
	if err := CheckBooth(h.Booth); err != nil {
		return Draft{}, err
	}
	var b []byte
	var err error
	if c, ok := d.(CrossingDecided); ok {
		b, err = c.encode()
	} else {
		b, err = json.Marshal(d)
	}
	if err != nil {
		return Draft{}, fmt.Errorf("encoding %s: %w", d.Type(), err)
	}
	return Draft{h, d.Type(), d.subject(), b}, nil
}

// Encode gives the exact bytes that are stored, chained and sent: CloudEvents
// 1.0, structured JSON. The same arguments give the same bytes. It fails with
// ErrTooBig over 16 KiB.
func Encode(s Stamp, h Head, d Data) ([]byte, error) {
	e, err := Drafted(h, d)
	if err != nil {
		return nil, err
	}
	return e.Encode(s)
}

// enveloped is room for what stands around the data, bytes.
const enveloped = 640

// Encode gives the event's bytes at its place; see the function of that name.
// The envelope is written as the type of that name would be: to have an encoder
// read the data once more took as long as to encode them, between the decision
// and its record.
func (d Draft) Encode(s Stamp) ([]byte, error) {
	m := members{b: append(make([]byte, 0, len(d.data)+enveloped), '{')}
	m.text("specversion", "1.0")
	m.text("id", s.ID)
	m.text("source", "/booth/"+d.head.Booth)
	m.text("type", string(d.typ))
	m.some("subject", d.subj)
	m.instant("time", d.head.Time.UTC().Truncate(time.Microsecond))
	m.text("datacontenttype", "application/json")
	m.text("dataschema", d.typ.Schema())
	m.text("boothepoch", s.Epoch)
	m.name("boothseq")
	m.b = append(strconv.AppendUint(m.b, s.Seq, 10), ',')
	m.text("boothprev", base64.RawURLEncoding.EncodeToString(s.Prev[:]))
	m.text("boothlane", laneWord(s.Live))
	if d.head.Simulated {
		m.flag("boothsimulated", true)
	}
	m.name("data")
	b := append(append(m.b, d.data...), '}')
	switch {
	case m.err != nil:
		return nil, fmt.Errorf("encoding %s: %w", d.typ, m.err)
	case len(b) > MaxEvent:
		return nil, fmt.Errorf("%s of %d bytes: %w", d.typ, len(b), ErrTooBig)
	}
	return b, nil
}

func laneWord(live bool) string {
	if live {
		return "live"
	}
	return "backlog"
}

// Decode judges the bytes of an event that came in. Its errors quote nothing
// of the data.
func Decode(b []byte) (Event, error) {
	var e envelope
	if err := strict(b, MaxEvent, &e); err != nil {
		return Event{}, fmt.Errorf("event: %w", err)
	}
	if e.SpecVersion != "1.0" {
		return Event{}, errors.New("event: specversion is not 1.0")
	}
	booth, ok := strings.CutPrefix(e.Source, "/booth/")
	if !ok {
		return Event{}, errors.New("event: source is not /booth/ID")
	}
	if err := CheckBooth(booth); err != nil {
		return Event{}, fmt.Errorf("event: source: %w", err)
	}
	if !strings.HasPrefix(string(e.Type), typePrefix) || len(e.Type) > MaxTopic {
		return Event{}, errors.New("event: type is not org.boothd.*")
	}
	at, err := time.Parse(time.RFC3339Nano, e.Time)
	if err != nil {
		return Event{}, errors.New("event: time is not RFC 3339")
	}
	prev, err := base64.RawURLEncoding.DecodeString(e.Prev)
	if err != nil || len(prev) != 16 {
		return Event{}, errors.New("event: boothprev is not 16 bytes")
	}
	if uuid.Validate(e.ID) != nil || uuid.Validate(e.Epoch) != nil {
		return Event{}, errors.New("event: id or boothepoch is not a UUID")
	}
	// SQLite and JSON readers elsewhere hold 63 bits.
	if e.Seq == 0 || e.Seq > 1<<63-1 {
		return Event{}, errors.New("event: boothseq out of range")
	}
	if e.Lane != "live" && e.Lane != "backlog" {
		return Event{}, errors.New("event: boothlane is neither live nor backlog")
	}
	if e.Data.Kind() != '{' {
		return Event{}, errors.New("event: data is not an object")
	}
	return Event{
		Stamp:   Stamp{Epoch: e.Epoch, Seq: e.Seq, Prev: [16]byte(prev), ID: e.ID, Live: e.Lane == "live"},
		Head:    Head{Booth: booth, Time: at, Simulated: e.Simulated},
		Type:    e.Type,
		Subject: e.Subject,
		Data:    e.Data,
	}, nil
}

// As opens an event's data as D. It fails if the event is of another type.
func As[D Data](e Event) (D, error) {
	var d D
	if e.Type != d.Type() {
		return d, fmt.Errorf("event is %s, not %s", e.Type, d.Type())
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		var none D // never a half-filled value
		return none, fmt.Errorf("data of %s: %w", e.Type, plain(err))
	}
	return d, nil
}

// strict decodes one message from outside. v is half filled on an error and
// must then be thrown away.
func strict(b []byte, limit int, v any) error {
	if len(b) > limit {
		return fmt.Errorf("%d bytes, at most %d: %w", len(b), limit, ErrTooBig)
	}
	if len(b) == 0 || b[0] != '{' {
		return errors.New("does not start with {")
	}
	if err := shallow(b); err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return plain(err)
	}
	return nil
}

// shallow walks the tokens: nesting, NUL, and (by the decoder's own rules)
// duplicate names and UTF-8.
func shallow(b []byte) error {
	dec := jsontext.NewDecoder(strings.NewReader(string(b)))
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			if dec.StackDepth() == 0 && dec.InputOffset() > 0 && errors.Is(err, io.EOF) {
				return nil
			}
			return plain(err)
		}
		if dec.StackDepth() > maxNesting {
			return fmt.Errorf("nested deeper than %d", maxNesting)
		}
		if tok.Kind() == '"' && strings.ContainsRune(tok.String(), 0) {
			return errors.New("a text holds NUL")
		}
	}
}

// plain keeps the place of a JSON error and drops the text around it, which
// may quote what was sent.
func plain(err error) error {
	var syntax *jsontext.SyntacticError
	var meaning *json.SemanticError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("bad JSON at byte %d", syntax.ByteOffset)
	case errors.As(err, &meaning):
		return fmt.Errorf("wrong value at byte %d for %v", meaning.ByteOffset, meaning.GoType)
	}
	return errors.New("bad JSON")
}
