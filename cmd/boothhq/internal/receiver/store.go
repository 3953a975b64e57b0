package receiver

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"boothd/agent/contract"
)

// Bounds of a receipt; the rest follows with the next one.
const (
	mostRanges  = 500
	mostRejects = 50
	mostKept    = contract.MaxEvent // bytes kept of a refused event
)

// storeError is a database that fails.
type storeError struct {
	err     error
	passing bool // it may be there again later
	doubt   bool // it broke in COMMIT: what was to be kept may be
}

func (e *storeError) Error() string { return "database: " + e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// Store is what a receiver asks of a database. SQLite and Postgres are the two
// that there are. Its methods are called by one goroutine.
type Store interface {
	// Add keeps a batch in one transaction. When it returns without error all
	// of it is on disk, and Kept stands on those that were new. Delivering again
	// changes nothing but a counter. An error may leave open whether the batch is
	// kept; Kept stands then on those that would be new.
	Add(ctx context.Context, ds []Delivery) (map[string]Heard, error)
	// Here gives those that are kept, of deliveries that an error of Add left open.
	Here(ctx context.Context, ds []Delivery) ([]Delivery, error)
	// Hear keeps what booths said of themselves, by booth. Of several words on
	// their presence the one with the highest conn counts, and within one
	// connection the end comes after the beginning; a state is replaced,
	// and its time with it, by one that is not older and says anything new.
	Hear(ctx context.Context, said map[string]Said, at time.Time) error
	// Booths names every booth with events.
	Booths(ctx context.Context) ([]string, error)
	// Receipts says what is committed of each booth's latest epoch: the one of which
	// something came last that was not here before, or a later one of which
	// something came again since. Before its first event a booth's receipt has no
	// epoch. A booth that is not in the answer has been told less than least ago by
	// another receiver on the same database. Rate, Window and At are the caller's.
	Receipts(ctx context.Context, booths []string, least time.Duration) (map[string]contract.Receipt, error)
	// Close ends all use of the database.
	Close() error
}

// Open opens or makes a database: PostgreSQL by its URL,
// postgres://[USER@]HOST[:PORT]/NAME?PARAMETERS, otherwise SQLite by the path of
// its file. A URL with a password in it is refused, for every user of the machine
// reads command lines; so is a server across a network whose certificate would
// not be checked.
func Open(ctx context.Context, db string) (Store, error) {
	if isPostgres(db) {
		return OpenPostgres(ctx, db)
	}
	return OpenSQLite(ctx, db)
}

func isPostgres(db string) bool {
	return strings.HasPrefix(db, "postgres://") || strings.HasPrefix(db, "postgresql://")
}

// Delivery is one message on an event topic.
type Delivery struct {
	Topic string
	Body  []byte
	At    time.Time // of arrival
	Kept  bool      // Add sets it: this one is new
}

// Heard is what a batch brought from one booth.
type Heard struct {
	Stored, Again, Refused, Conflicts int
	Later                             int // left out: too many holes below it; it comes again
}

// Said is what a booth says of itself, beside its events.
type Said struct {
	Status *contract.Status
	Came   []contract.Status // each that says it is on, as they came; none that a broker had kept
	State  map[string]State  // by kind: info, health, lists
}

// State is one retained state of a booth: its exact bytes, and since when it
// has been said as far as headquarters knows.
type State struct {
	Body []byte
	At   time.Time
}

// judged is what one delivery turned out to be. Without Epoch and Seq it can
// be neither kept nor refused, only counted.
type judged struct {
	booth string
	class contract.Class
	event contract.Event
	alert *contract.LookoutAlert // of an alert, for the watch desk
	gone  [][2]uint64            // by a tombstone: what is given up
	epoch string
	seq   uint64
	code  string // why it is refused; "" if it is good
	msg   string
}

// judge weighs a delivery; it touches nothing.
func judge(d Delivery) judged {
	booth, class, err := contract.EventSource(d.Topic)
	if err != nil {
		return judged{code: "topic", msg: err.Error()}
	}
	j := judged{booth: booth, class: class}
	j.event, err = contract.Decode(d.Body)
	if err != nil {
		// Enough may be left of it to tell the booth which one it was.
		var torn struct {
			Epoch string `json:"boothepoch"`
			Seq   uint64 `json:"boothseq"`
		}
		if len(d.Body) <= contract.MaxPacket && json.Unmarshal(d.Body, &torn) == nil && uuid.Validate(torn.Epoch) == nil && torn.Seq < 1<<63 {
			j.epoch, j.seq = torn.Epoch, torn.Seq
		}
		j.code, j.msg = "schema", err.Error()
		if errors.Is(err, contract.ErrTooBig) {
			j.code = "size"
		}
		return j
	}
	j.epoch, j.seq = j.event.Epoch, j.event.Seq
	switch known := j.event.Type.Class(); {
	case j.event.Booth != booth:
		j.code, j.msg = "source", "source is not the topic's booth"
	case known != "" && known != class:
		j.code, j.msg = "class", "type does not belong on this topic"
	case j.event.Type == contract.TypeLookoutAlert:
		alert, err := contract.As[contract.LookoutAlert](j.event)
		if err != nil {
			j.code, j.msg = "schema", err.Error()
			break
		}
		j.alert = &alert
	case j.event.Type == contract.TypeThinned:
		if j.gone, err = goneBy(j.event); err != nil {
			j.code, j.msg = "schema", err.Error()
		}
	}
	return j // a type we do not know yet is kept: every event is a fact
}

// later tells whether a word about a booth's presence counts over an older one.
func later(s, than contract.Status) bool {
	return s.Conn > than.Conn || s.Conn == than.Conn && s.S != contract.Online
}
