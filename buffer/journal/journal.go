// Package journal is the booth's durable outbox: what happened, kept in order
// until headquarters has receipted it.
//
// An event is a row with an opaque body. Append returns when its rows are on
// disk: one write and one sync of a redo log of fixed size, which several callers
// share. Behind it the rows go into a SQLite database (WAL, synchronous FULL), in
// transactions of many; the log is written over only when the database has them.
// Sequence numbers begin at 1 and have no gap; each row carries half the SHA-256
// of the body before it. What a fault or a cut leaves is looked up in both before
// the next number is given, so that no number is lost and none counts twice (I4).
//
// One goroutine, the appender, gives numbers and owns the log; another, the
// writer, owns the database. An append waits for nothing else: not for receipts,
// pruning and checkpoints, nor for those who read. When the database takes
// nothing, the log takes no more than it holds already.
// Times are wall clock, UTC, whole microseconds; sizes are bytes.
//
// Source: product design, section 5; mqtt contract, sections 3 to 5; measured
// limits, 2a and 2b.
package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"boothd/buffer/internal/sqlite"
)

// Limits.
const (
	MaxBody     = 16 << 10 // bytes of one event
	groupMost   = 64       // entries of one transaction
	waitingMost = 64       // requests that wait for the writer
	// checkedMost is the size up to which a journal is read whole before use.
	checkedMost = 256 << 20
)

// Ways an append or a receipt fails.
var (
	// ErrLate says that the context ended before the rows were known to be
	// durable. They may still become so, and then they are sent.
	ErrLate = errors.New("journal was too late")
	// ErrStorage says that the disk refused. Nothing was stored, or it will be
	// found when the journal is read again.
	ErrStorage = errors.New("journal cannot be written")
	// ErrDamaged says that the file is broken: some of it cannot be read, or,
	// beside ErrStorage, nothing more be written. Opening it anew sets it aside
	// and begins another epoch; until then it stays as it is.
	ErrDamaged = errors.New("journal is damaged; it has to be opened anew")
	// ErrFull says that there is no room, and nothing receipted to give up.
	ErrFull = errors.New("journal is full")
	// ErrEpoch says that a receipt is for another life of the journal.
	ErrEpoch = errors.New("receipt is of another epoch")
	// ErrBeyond says that a receipt is for events never stored.
	ErrBeyond = errors.New("receipt is beyond the journal")
	// ErrClosed says that the journal was closed.
	ErrClosed = errors.New("journal is closed")
)

// Config says where the journal is and how much it keeps. Near a limit it gives
// up, in this order: receipted rows, the oldest first, whatever Retain says;
// then what Thin names. When neither is left, Append is ErrFull.
type Config struct {
	Path     string
	MaxBytes int64         // of the database; 0: no limit. The WAL beside it adds up to 16 MiB, the redo log RedoBytes
	MaxRows  uint64        // not receipted; 0: no limit
	Retain   time.Duration // of receipted rows, by their At; 0: 7 days
	Thin     Thin
	// Log opens the redo log; nil: OpenLog.
	Log func(path string, size int64) (Log, error)
}

// Opened says what was found. It is told again at every Open until the epoch's
// first event is stored, so that a crash between does not leave it unannounced.
type Opened struct {
	New      bool   // the epoch has no event yet
	SetAside string // where a damaged journal was put; "" if there was none
	OldEpoch string // of the one set aside, if it could still be read
}

// Stamp is a row's place.
type Stamp struct {
	Epoch string   // UUIDv7 of the journal's life
	Seq   uint64   // from 1, without gaps
	Prev  [16]byte // first half of SHA-256 over the body before; zero for the first
	ID    string   // UUIDv7
	Live  bool     // stored while headquarters could be reached
}

// Entry is one event to be stored. Build makes its body for the place it gets;
// it is called on the journal's goroutine and must not wait, and again, for
// another place, if the first was not to be had.
type Entry struct {
	Class string
	Alert bool // overtakes everything
	At    time.Time
	Build func(Stamp) ([]byte, error)
}

// Journal is an open journal. Its methods may be called from any goroutine.
type Journal struct {
	cfg      Config
	epoch    string
	requests chan request
	jobs     chan *job
	bell     chan struct{}
	closing  chan struct{}
	appended chan struct{} // the appender has ended
	closed   chan struct{} // the writer has ended
	wake     chan struct{} // rows wait for the database
	once     sync.Once
	front    *front
	source   source
	held     *os.File // the lock
	closeErr error    // of the writer, before closed; then of Close, inside once

	liveFrom atomic.Uint64 // rows from here on are live; math.MaxInt64: none
}

// Stats is what the journal holds. Alerts are counted apart: a count of
// waiting rows that went up with a vehicle would tell of a lookout (I3).
type Stats struct {
	Last        uint64
	Waiting     uint64    // not receipted, without alerts
	Alerts      uint64    // not receipted
	Quarantined uint64    // refused by headquarters, kept for a person
	Oldest      time.Time // of those waiting; zero: none
	Thinned     uint64    // given up unsent since the journal was opened
	Bytes       int64     // in use
	// FlashPerDay is at most how many bytes were written to the medium in the
	// last 24 hours, or would be at the rate since the journal was opened; 0 in
	// its first minutes. What the file system adds for itself is not in it.
	FlashPerDay int64
	// Holds is how long it takes to fill the journal, or the disk if that is
	// less, when nothing is receipted any more and events come as in the last 24
	// hours of the journal; 0: not known.
	Holds time.Duration
}

// Open opens the journal and makes it if it is missing. A damaged one is set
// aside, and a new epoch begins; one that a newer program wrote is an error and
// is not touched. One process at a time may have it open for writing: the
// second gets ErrInUse.
func Open(ctx context.Context, cfg Config) (*Journal, Opened, error) {
	if cfg.Retain == 0 {
		cfg.Retain = 7 * 24 * time.Hour
	}
	if err := cfg.Thin.check(); err != nil {
		return nil, Opened{}, fmt.Errorf("opening journal %s: %w", filepath.Base(cfg.Path), err)
	}
	j, opened, err := openLocked(ctx, cfg)
	if err != nil {
		return nil, Opened{}, fmt.Errorf("opening journal %s: %w", filepath.Base(cfg.Path), err)
	}
	return j, opened, nil
}

func openLocked(ctx context.Context, cfg Config) (_ *Journal, _ Opened, err error) {
	held, err := lock(cfg.Path)
	if err != nil {
		return nil, Opened{}, err
	}
	w, err := openOrSetAside(ctx, cfg)
	if err != nil {
		return nil, Opened{}, errors.Join(err, held.Close())
	}
	read, err := sqlite.Open(ctx, cfg.Path, sqlite.Options{ReadOnly: true})
	if err != nil {
		return nil, Opened{}, errors.Join(err, w.close(), held.Close())
	}
	j := &Journal{cfg: cfg, epoch: w.epoch, requests: make(chan request, waitingMost), jobs: make(chan *job, waitingMost),
		bell: make(chan struct{}, 1), wake: make(chan struct{}, 1), closing: make(chan struct{}), appended: make(chan struct{}), closed: make(chan struct{}),
		front: w.front, held: held}
	j.source = source{read, mark, func(context.Context) (uint64, []stored, error) {
		folded, rows, _ := j.front.state()
		return folded, rows, nil
	}}
	j.liveFrom.Store(math.MaxInt64)
	w.j = j
	_ = w.foldAll() // what a crash has left in the log; if it does not go in, the first append says so
	go (&appender{j: j}).run()
	go w.run()
	return j, w.opened, nil
}

// Epoch names the journal's life, a UUIDv7.
func (j *Journal) Epoch() string { return j.epoch }

// Last is the highest sequence number that is durable; 0 in an empty journal.
func (j *Journal) Last() uint64 { return j.front.last.Load() }

// Bell rings, at least once, after rows became durable.
func (j *Journal) Bell() <-chan struct{} { return j.bell }

func (j *Journal) ring() {
	select {
	case j.bell <- struct{}{}:
	default:
	}
}

// call tells the writer that rows wait for it.
func (j *Journal) call() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Stats tells what the journal holds, as of the last change.
func (j *Journal) Stats() Stats { return j.front.stats() }

// SetOnline says whether headquarters can be reached: rows stored from now on
// are live, or all that wait are backlog.
func (j *Journal) SetOnline(online bool) {
	if online {
		j.liveFrom.Store(j.front.last.Load() + 1)
		return
	}
	j.liveFrom.Store(math.MaxInt64)
}

// Append stores the entries, all or none, and returns their places once
// they are durable. It is ErrLate as soon as ctx ends.
func (j *Journal) Append(ctx context.Context, entries ...Entry) ([]Stamp, error) {
	if len(entries) == 0 || len(entries) > groupMost {
		return nil, fmt.Errorf("appending %d entries: 1 to %d are possible", len(entries), groupMost)
	}
	r := newRequest(entries)
	select {
	case j.requests <- r: // there is room nearly always
	default:
		select {
		case j.requests <- r:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrLate, ctx.Err())
		case <-j.closing:
			return nil, ErrClosed
		}
	}
	var err error
	select {
	case err = <-r.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrLate, ctx.Err())
	case <-j.closed:
		select {
		case err = <-r.done:
		default:
			err = ErrClosed
		}
	}
	if err != nil {
		return nil, err
	}
	return r.stamps, nil
}

// Close stores what waits and closes the journal. Closing it again does nothing.
func (j *Journal) Close() error {
	j.once.Do(func() {
		close(j.closing)
		<-j.closed
		if err := errors.Join(j.closeErr, j.held.Close()); err != nil {
			j.closeErr = fmt.Errorf("closing journal: %w", err)
		}
	})
	return j.closeErr
}
