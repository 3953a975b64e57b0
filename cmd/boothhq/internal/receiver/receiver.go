// Package receiver is headquarters' end of the booths' events: it takes them
// from a broker, keeps each exactly once in SQLite or PostgreSQL and tells every
// booth by a retained receipt what it has.
//
// A receipt follows a commit, never a delivery. Nothing here needs a persistent
// session at the broker: what is lost on the way is in no receipt, so the booth
// sends it again, at once when the receipt asks for it. PUBACKs follow the
// commit too, so that a slow disk holds the broker back and not our memory.
//
// Bodies are kept byte for byte, for the hash chain runs over them. They are
// never logged.
//
// Source: mqtt contract, sections 1, 3, 5 and 10; headquarters, section 3.
package receiver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
)

// Bounds of the receiver.
const (
	queued  = 4096 // messages between broker and database; brokers keep at most 1024 in flight
	batch   = 1000 // events in one transaction
	flights = 64   // receipts without PUBACK
	recent  = time.Minute
	lasted  = 5 * time.Second // a connection that was none of the broker's doing to lose
)

// Config says where the broker is and how booths are paced.
type Config struct {
	Brokers  []string // ssl://host:port or tcp://host:port, in order of preference
	ClientID string
	Username string
	Password string
	TLS      *tls.Config
	NATS     *NATS // where all that booths say is pulled from; nil: it comes from the broker
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	// Interval is the least time between two receipts of a booth; zero: 1 s.
	Interval time.Duration
	// TotalRate is shared out as backlog rate among the booths heard in the
	// last minute; zero: 6000 a second (headquarters, section 4).
	TotalRate float64
	// BoothRate is the most one booth gets; zero: 500 a second.
	BoothRate float64
	// Window is how many events a booth may have without receipt; zero: 256.
	Window int
	// Kept is called with the exact bytes of each event that is new, after the
	// commit; nil for nobody. Where a connection to the database broke in COMMIT it
	// is called when the next one tells that they are kept, and may then be so by
	// another receiver, too. What it waits for, the broker waits for. Its error ends
	// Run.
	Kept func(body []byte) error
	Log  *slog.Logger

	PauseFirst, PauseMost, PauseTwin time.Duration // between connections; zero: the contract's
}

// Receiver takes events into one Store. Run it once.
type Receiver struct {
	cfg     Config
	store   Store
	brokers []*url.URL
	booths  map[string]*told

	in      chan message  // from the broker
	pulled  chan message  // from NATS
	dropped atomic.Uint64 // written by the client's goroutines
	said    uint64        // of those, logged
	doubt   []Delivery    // of one batch, which may be kept or not
	tally   counting
}

// told is what a booth has been told and what it is due.
type told struct {
	at    time.Time // last receipt
	heard time.Time // last event
	dirty bool      // something has changed since
}

// New checks the configuration.
func New(cfg Config, store Store) (*Receiver, error) {
	cfg.Interval = cmp.Or(cfg.Interval, time.Second)
	cfg.TotalRate = cmp.Or(cfg.TotalRate, 6000)
	cfg.BoothRate = cmp.Or(cfg.BoothRate, 500)
	cfg.Window = cmp.Or(cfg.Window, 256)
	cfg.ClientID = cmp.Or(cfg.ClientID, "HQ-receiver")
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	r := &Receiver{cfg: cfg, store: store, booths: make(map[string]*told), in: make(chan message, queued), pulled: make(chan message, batch)}
	for _, b := range cfg.Brokers {
		at, err := line.ParseBroker(b, cfg.TLS)
		if err != nil {
			return nil, fmt.Errorf("receiver: %w", err)
		}
		r.brokers = append(r.brokers, at)
	}
	if len(r.brokers) == 0 || cfg.Log == nil {
		return nil, errors.New("receiver: needs a broker and Log")
	}
	return r, nil
}

// errKept is Config.Kept failing.
var errKept = errors.New("handing on a kept event")

// Run receives until ctx ends and returns ctx's error, or until the database
// or Kept fails: that ends it, for whoever started it to see. A database server
// that is away for a while does not: the broker's connection is given up until
// both are there, and what was not committed comes again.
func (r *Receiver) Run(ctx context.Context) error {
	pause := line.Pause{First: r.cfg.PauseFirst, Most: r.cfg.PauseMost, Twin: r.cfg.PauseTwin}
	at, said := 0, false
	defer func() {
		if n := len(r.doubt); n > 0 {
			r.cfg.Log.Warn("stopped before the database said whether events are kept; they are not handed on", "count", n)
		}
	}()
	for ctx.Err() == nil {
		began := time.Now()
		up, err := r.connection(ctx, r.brokers[at])
		if ctx.Err() != nil {
			break
		}
		broken, database := errors.AsType[*storeError](err)
		if database && !broken.passing || errors.Is(err, errKept) {
			return err
		}
		if up || !said {
			r.cfg.Log.Warn("not receiving", "broker", r.brokers[at].Host, "err", err)
			said = true
		}
		life := time.Duration(0)
		if up {
			life = max(time.Since(began), 1)
		}
		if (database || errors.Is(err, errPull)) && life < lasted {
			life = 0 // or the broker would seem to have thrown us out
		}
		d, next := pause.After(life, err)
		if next {
			at = (at + 1) % len(r.brokers)
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// take is the client's only handler: into the bounded queue, or dropped and
// counted. What is dropped is in no receipt and comes again.
func (r *Receiver) take(m mqtt.Message) {
	select {
	case r.in <- message{topic: m.Topic(), body: m.Payload(), kept: m.Retained(), ack: m.Ack}:
	default:
		r.dropped.Add(1)
		m.Ack() // or the broker's window would have a hole for good
	}
}

// connection is the life of one connection; up tells whether it worked.
func (r *Receiver) connection(ctx context.Context, broker *url.URL) (up bool, err error) {
	for len(r.in) > 0 { // of the former connection: PUBACKs would go to nobody
		<-r.in
	}
	l, err := line.Open(ctx, line.Config{
		Broker: broker, ClientID: r.cfg.ClientID, Username: r.cfg.Username, Password: r.cfg.Password,
		TLS: r.cfg.TLS, Dial: r.cfg.Dial, Take: r.take, ManualAck: true,
	})
	if err != nil {
		return false, err
	}
	defer l.Close()
	from := new(pull) // nothing
	if r.cfg.NATS == nil {
		refused, err := l.Subscribe(ctx, contract.FilterEvents, contract.FilterStatus, filterState)
		if err != nil {
			return false, err
		}
		if len(refused) > 0 {
			return false, fmt.Errorf("the broker refuses the subscription %v", refused)
		}
	} else {
		for len(r.pulled) > 0 { // likewise
			<-r.pulled
		}
		if from, err = startPull(ctx, r.cfg.NATS, r.cfg.TLS, r.cfg.ClientID, r.pulled); err != nil {
			return false, err
		}
		defer from.end()
	}
	if err := r.resolve(ctx); err != nil {
		return false, err
	}
	names, err := r.store.Booths(ctx)
	if err != nil {
		return false, err
	}
	for _, name := range names { // brokers lose what is retained
		r.booth(name).dirty = true
	}
	r.cfg.Log.Info("receiving", "broker", broker.Host)
	r.tally.add(func(n *Counts) { n.Receiving = true })
	defer r.tally.add(func(n *Counts) { n.Receiving = false })
	return true, r.serve(ctx, l, from)
}

// serve commits batches and publishes receipts until the connection ends.
func (r *Receiver) serve(ctx context.Context, l *line.Line, from *pull) error {
	due := time.NewTicker(max(r.cfg.Interval/4, 10*time.Millisecond))
	defer due.Stop()
	var out []mqtt.Token
	var err error
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-l.Lost():
			return fmt.Errorf("connection lost: %w", err)
		case <-from.gone:
			return from.err
		case m := <-r.in:
			if err := r.commit(ctx, r.gather(m)); err != nil {
				return err
			}
		case m := <-r.pulled:
			if err := r.commit(ctx, r.gather(m)); err != nil {
				return err
			}
		case now := <-due.C:
			if out, err = settle(ctx, out, 0); err == nil {
				out, err = r.receipts(ctx, l, now, out)
			}
			if err != nil {
				return err
			}
		}
	}
}

// gather takes what has come in by now, at most one batch.
func (r *Receiver) gather(first message) []message {
	ms := []message{first}
	for len(ms) < batch {
		select {
		case m := <-r.in:
			ms = append(ms, m)
		case m := <-r.pulled:
			ms = append(ms, m)
		default:
			return ms
		}
	}
	return ms
}

// commit keeps a batch and only then acknowledges it.
func (r *Receiver) commit(ctx context.Context, ms []message) error {
	now := time.Now()
	var deliveries []Delivery
	said := make(map[string]Said)
	for _, m := range ms {
		if r.hear(said, m, now) {
			continue
		}
		deliveries = append(deliveries, Delivery{Topic: m.topic, Body: m.body, At: now})
	}
	if err := r.store.Hear(ctx, said, now); err != nil {
		return err
	}
	heard, err := r.store.Add(ctx, deliveries)
	if err != nil {
		if e, ok := errors.AsType[*storeError](err); ok && e.doubt {
			r.doubt = slices.DeleteFunc(deliveries, func(d Delivery) bool { return !d.Kept })
		}
		return err
	}
	r.tally.committed(deliveries, heard, now, time.Now())
	if err := r.hand(deliveries); err != nil {
		return err
	}
	for name, note := range heard {
		b := r.booth(name)
		b.dirty, b.heard = true, now
		if note.Later > 0 {
			r.cfg.Log.Warn("events left out, too many holes below them; they come again", "booth", name, "count", note.Later)
		}
		if note.Refused > 0 || note.Conflicts > 0 {
			r.cfg.Log.Warn("events refused", "booth", name, "refused", note.Refused, "conflicts", note.Conflicts)
		}
	}
	for _, m := range ms {
		m.ack()
	}
	return nil
}

func (r *Receiver) booth(name string) *told {
	b, ok := r.booths[name]
	if !ok {
		b = new(told)
		r.booths[name] = b
	}
	return b
}

// receipts publishes what is due and keeps the tokens.
func (r *Receiver) receipts(ctx context.Context, l *line.Line, now time.Time, out []mqtt.Token) ([]mqtt.Token, error) {
	if n := r.dropped.Load(); n != r.said {
		r.cfg.Log.Warn("messages dropped, the queue was full; booths will repeat them", "count", n-r.said)
		r.said = n
	}
	busy, due := 0, []string(nil)
	for name, b := range r.booths {
		if now.Sub(b.heard) < recent {
			busy++
		}
		if b.dirty && now.Sub(b.at) >= r.cfg.Interval {
			due = append(due, name)
		}
	}
	if len(due) == 0 {
		return out, nil
	}
	rate := min(r.cfg.BoothRate, max(1, r.cfg.TotalRate/float64(max(busy, 1))))
	receipts, err := r.store.Receipts(ctx, due, r.cfg.Interval)
	if err != nil {
		return out, err
	}
	for _, name := range due {
		b := r.booths[name]
		b.at = now
		receipt, ok := receipts[name]
		if !ok {
			continue // told by another receiver just now, and perhaps not all: still due
		}
		if b.dirty = false; receipt.Epoch == "" {
			continue // no event yet
		}
		receipt.Rate, receipt.Window, receipt.At = rate, r.cfg.Window, now.UTC().Truncate(time.Millisecond)
		payload, err := contract.EncodeReceipt(receipt)
		if err != nil {
			return out, fmt.Errorf("receipt for %s: %w", name, err)
		}
		out = append(out, l.Publish(contract.ReceiptTopic(name), true, payload))
		r.tally.add(func(n *Counts) { n.Receipts, n.Wanted = n.Receipts+1, n.Wanted+uint64(len(receipt.Want)) })
		if out, err = settle(ctx, out, flights); err != nil {
			return out, err
		}
	}
	return out, nil
}

// settle takes PUBACKed receipts off the front; with more than most left it
// waits for the first. 0 only looks.
func settle(ctx context.Context, out []mqtt.Token, most int) ([]mqtt.Token, error) {
	for len(out) > 0 {
		if most > 0 && len(out) > most {
			if err := line.Await(ctx, out[0], line.AckTimeout, errors.New("no PUBACK in time")); err != nil {
				return out, fmt.Errorf("publishing a receipt: %w", err)
			}
		}
		select {
		case <-out[0].Done():
		default:
			return out, nil
		}
		if err := out[0].Error(); err != nil {
			return out, fmt.Errorf("publishing a receipt: %w", err)
		}
		out = out[1:]
	}
	return out, nil
}
