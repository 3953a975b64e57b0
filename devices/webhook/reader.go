package webhook

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// How many bytes a token has: what cannot be guessed, and what fits a header.
// Ours.
const (
	TokenLeast = 16
	TokenMost  = 256
)

const (
	// postedMost is how many reports are remembered so that one which is posted
	// again is not taken again. Ours.
	postedMost = 64
	// badMost reports in a row that could not be used are a fault, which is said
	// once a minute at most. Ours.
	badMost    = 3
	faultEvery = time.Minute
)

// The ways a camera is at fault.
var (
	ErrSilent error = devices.Silent("camera does not post")
	ErrToken        = errors.New("somebody posts with another token or none")
	ErrLate         = errors.New("camera posts reports of vehicles that have gone; it was cut off, or its clock was set")
)

// Config says which camera and how it posts.
type Config struct {
	Name   string
	Role   devices.Role
	Path   string        // that it posts to, "/" or longer
	Token  []byte        // that it must know, 16 to 256 bytes
	TLS    *tls.Config   // nil: in clear, for a program on this box
	Quiet  time.Duration // how long it may say nothing; 0: as long as it likes
	Window time.Duration // in which the same plate is the same report; default 10 s

	// Paths say where in a report its parts are, as in "results[].plate": plate, which
	// must be there, confidence, region, candidate, camera, time and event. Seen is
	// what stands at event if a plate was seen; anything else is a heartbeat. Scale is
	// what full confidence is; 1 if not given. What the makes of cameras write is
	// data (configs/profiles/cameras.toml).
	Paths map[string]string
	Seen  string
	Scale float64

	// Keep stores a read and returns once it is durable; the camera is told that
	// all is well after that, and with an error to send its report again. late tells
	// of a read whose vehicle has gone, which is not yielded. It is called from
	// goroutines of their own, up to keepMost at a time, which may outlive the
	// Reader: how long it takes is its own affair, while the camera waits 3 s for it
	// at most. A read that is kept comes never again, and none twice at a time. nil:
	// nothing is kept.
	Keep func(ctx context.Context, r devices.Read, late bool) error

	// Health is told what is wrong with a camera that goes on, and nil when it is
	// over. It is called from Open and from Reads; it may be nil.
	Health func(error)
}

// tally is what is counted; connections count in goroutines of their own.
type tally struct {
	bytes, frames, checks, timeouts, resyncs, repeats atomic.Uint64
}

// Reader is an open camera: what it posts to. Reads belongs to one goroutine.
type Reader struct {
	cfg     Config
	form    form
	http    *http.Server
	posts   chan post
	keeping chan struct{} // holds one for each Keep at work
	ended   chan error    // of the listener
	closed  chan struct{}
	once    sync.Once
	count   tally

	first  *post // that told Open that the camera is there
	delay  delay
	seen   devices.Glances
	lately []*owed  // the reads that seen remembers, one a plate, oldest first
	posted []report // those taken, oldest first
	bad    int
	wrong  error // told last
	toldAt time.Time
}

// Open serves on a listener, which it closes in any case. If the camera may not
// be silent, Open waits until it has said something, for ever if need be.
func Open(ctx context.Context, ln net.Listener, cfg Config) (*Reader, error) {
	f, err := formOf(cfg)
	switch {
	case err != nil:
	case len(cfg.Token) < TokenLeast || len(cfg.Token) > TokenMost:
		err = fmt.Errorf("its token has %d bytes, not %d to %d", len(cfg.Token), TokenLeast, TokenMost)
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("webhook %s: %w", cfg.Name, err), ln.Close())
	}
	if cfg.Window == 0 {
		cfg.Window = 10 * time.Second
	}
	r := &Reader{cfg: cfg, form: f, posts: make(chan post), keeping: make(chan struct{}, keepMost), ended: make(chan error, 1), closed: make(chan struct{})}
	r.http = r.server()
	ln = &door{Listener: ln, count: &r.count, peers: make(map[string]int)}
	if cfg.TLS != nil {
		ln = tls.NewListener(ln, cfg.TLS)
	}
	go func() { r.ended <- r.http.Serve(ln) }()
	for cfg.Quiet > 0 && r.first == nil {
		select {
		case p := <-r.posts:
			if errors.Is(p.err, ErrToken) {
				r.stranger()
				continue
			}
			r.first = &p
		case err := <-r.ended:
			return nil, errors.Join(fmt.Errorf("webhook %s: %w", cfg.Name, err), r.Close())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), r.Close())
		}
	}
	return r, nil
}

// Close gives up the listener and every connection.
func (r *Reader) Close() (err error) {
	r.once.Do(func() {
		close(r.closed)
		err = r.http.Close()
	})
	return err
}

// Counters tells what was counted: of connections the bytes, of reports those
// that could be used (frames) and those that could not or had no token
// (check errors), of requests those that were not taken and kept in time (timeouts), and
// connections that were no HTTP or one too many (resyncs). Any goroutine may ask.
func (r *Reader) Counters() devices.Counters {
	return devices.Counters{Bytes: r.count.bytes.Load(), Frames: r.count.frames.Load(), CheckErrors: r.count.checks.Load(),
		Timeouts: r.count.timeouts.Load(), Resyncs: r.count.resyncs.Load(), Repeats: r.count.repeats.Load()}
}

// Reads yields every plate report until ctx ends or the camera does; the error
// comes last, once. A report is answered when all of it has been yielded and kept;
// Reads does not wait for the keeping.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		stop := context.AfterFunc(ctx, func() { _ = r.Close() })
		defer stop()
		quiet := time.NewTimer(r.cfg.Quiet)
		defer quiet.Stop()
		if r.cfg.Quiet == 0 {
			quiet.Stop()
		}
		for {
			p, err := r.next(ctx, quiet.C)
			if err != nil {
				yield(devices.Read{}, err)
				return
			}
			if errors.Is(p.err, ErrToken) {
				r.stranger()
				continue
			}
			if r.cfg.Quiet > 0 {
				quiet.Reset(r.cfg.Quiet)
			}
			reads, answer := r.take(p)
			for _, read := range reads {
				if !yield(read, nil) {
					return // not answered: it was not taken whole
				}
			}
			p.answer <- answer
		}
	}
}

// next waits for somebody to post.
func (r *Reader) next(ctx context.Context, quiet <-chan time.Time) (post, error) {
	if p := r.first; p != nil {
		r.first = nil
		return *p, nil
	}
	var err error
	select {
	case p := <-r.posts:
		return p, nil
	case err = <-r.ended:
		if ctx.Err() != nil {
			return post{}, ctx.Err()
		}
	case <-quiet:
		r.count.timeouts.Add(1)
		err = ErrSilent
	case <-ctx.Done():
		return post{}, ctx.Err()
	}
	return post{}, fmt.Errorf("webhook %s: %w", r.cfg.Name, err)
}

// take reads one post and tells what is to be answered.
func (r *Reader) take(p post) ([]devices.Read, reply) {
	if p.err == nil && p.body == nil {
		return nil, reply{code: http.StatusNoContent}
	}
	var plates []devices.Plate
	if p.err == nil {
		plates, _, p.err = r.form.decode(p.body)
	}
	if p.err != nil {
		r.count.checks.Add(1)
		if r.bad++; r.bad >= badMost {
			r.fault(p.at, p.err)
		}
		if errors.Is(p.err, errLong) {
			return nil, reply{code: http.StatusRequestEntityTooLarge}
		}
		return nil, reply{code: http.StatusBadRequest}
	}
	r.count.frames.Add(1)
	if len(plates) == 0 {
		return nil, reply{code: http.StatusNoContent}
	}
	r.bad = 0
	digest := sha256.Sum256(p.body)
	timed := !plates[0].DeviceAt.IsZero() // one without says the same of every passage of a vehicle
	if i := slices.IndexFunc(r.posted, func(was report) bool { return was.digest == digest }); i >= 0 && timed {
		r.count.repeats.Add(1)
		return nil, reply{http.StatusNoContent, r.posted[i].owes} // its answer was lost, or it was not kept
	}
	reads, owes := r.sort(p.at, plates)
	if timed {
		r.posted = append(r.posted[max(len(r.posted)-postedMost+1, 0):], report{digest, owes})
	}
	return reads, reply{http.StatusNoContent, owes}
}

// sort tells which plates of a report are reads, and which reads are to be kept
// before it is answered: those, and what it repeats of others.
func (r *Reader) sort(at time.Time, plates []devices.Plate) (reads []devices.Read, owes []*owed) {
	late := r.delay.late(at, plates[0].DeviceAt)
	if late {
		r.fault(at, ErrLate) // and it is answered as others, else it would come again, later still
	} else {
		r.sound(at)
	}
	for _, plate := range plates {
		o := newOwed(devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: at, Plate: &plate}, late)
		switch {
		case late:
		case r.seen.Repeats(plate, at, r.cfg.Window):
			r.count.repeats.Add(1)
			o = r.before(o)
		default:
			r.note(o)
			reads = append(reads, o.read)
		}
		owes = append(owes, o)
	}
	return reads, owes
}

// stranger takes the news of a request without the token.
func (r *Reader) stranger() {
	r.count.checks.Add(1)
	r.fault(time.Now(), ErrToken)
}

// fault says what is wrong, once a minute at most.
func (r *Reader) fault(at time.Time, why error) {
	if r.wrong != nil && errors.Is(r.wrong, why) || !r.toldAt.IsZero() && at.Sub(r.toldAt) < faultEvery {
		return
	}
	r.wrong, r.toldAt = why, at
	if r.cfg.Health != nil {
		r.cfg.Health(why)
	}
}

// sound says once that what was wrong is over: a stranger must have stayed away
// for a minute.
func (r *Reader) sound(at time.Time) {
	if r.wrong == nil || errors.Is(r.wrong, ErrToken) && at.Sub(r.toldAt) < faultEvery {
		return
	}
	r.wrong = nil
	if r.cfg.Health != nil {
		r.cfg.Health(nil)
	}
}
