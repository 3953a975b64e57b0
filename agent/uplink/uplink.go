// Package uplink carries the journal to headquarters over MQTT and takes
// headquarters' receipts back.
//
// The journal is the only queue. One connection is made at a time, each with a
// fresh client in the one configuration that reports an unacknowledged publish
// as an error; the loop around it is ours. A PUBACK never ends an event's
// life: the receipt of headquarters does (or the PUBACK where the booth was
// told to do without a receiver). Wire order promises nothing, the sequence
// does; alerts go before live rows, live rows before the backlog, and the
// backlog keeps to the rate that headquarters gives.
//
// Run returns only when its context ends: a broker that is gone, silent or
// lying costs the booth nothing but the delay (I5). Payloads are never logged.
//
// Source: mqtt contract, sections 1, 5, 8 and 9; lessons A and F.
package uplink

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
)

// Numbers of the contract; Config may override those that a test or a
// demonstration cannot wait for.
const (
	stopTimeout = 2 * time.Second // to say "stopping"; a clean stop has 5 s in all

	inFlight      = 64  // publishes without PUBACK
	defaultWindow = 256 // publishes without receipt
	maxWindow     = 4096
	defaultRate   = 20 // backlog messages a second
	minRate       = 1  // even when headquarters says 0

	resendFirst = time.Minute
	resendMost  = 15 * time.Minute

	healthEvery = time.Minute
	returnAfter = 10 * time.Minute // at least, from a later broker to the first; at most three times that
	unheardMost = 5 * time.Minute  // that a broker takes events and brings no receipt

	resendsMost = 4 // ranges that Resend holds, and as many under way
)

// Lane is which rows a query is for.
type Lane uint8

// The lanes, the most urgent first.
const (
	Alerts  Lane = iota // lookout hits, security: overtake everything
	Live                // stored while the link was up
	Backlog             // stored while it was down
)

// Query asks for rows that headquarters has not receipted, in order of Seq.
type Query struct {
	Lane  Lane
	After uint64 // only rows with a larger Seq
	Limit int
}

// Record is one row of the journal.
type Record struct {
	Seq   uint64
	Class string
	Body  []byte // the exact stored bytes
}

// Source is what the uplink asks of the journal, also several things at once.
type Source interface {
	// Epoch names the journal's life; it does not change while Run runs.
	Epoch() string
	// Last is the highest Seq given so far.
	Last() uint64
	// Pending reads rows that are neither receipted nor quarantined.
	Pending(ctx context.Context, q Query) ([]Record, error)
	// Range reads rows from..to, receipted ones too, as long as they are kept.
	Range(ctx context.Context, from, to uint64) iter.Seq2[Record, error]
	// Receipted applies what headquarters has. Applying it again, or one that
	// is older, does no harm.
	Receipted(ctx context.Context, r contract.Receipt) error
	// Bell rings (at least once) after rows have been stored.
	Bell() <-chan struct{}
	// SetOnline tells whether rows stored from now on are live.
	SetOnline(online bool)
}

// AckMode says what ends an event's life.
type AckMode uint8

const (
	// Receipt: headquarters' receipt.
	Receipt AckMode = iota
	// Puback: the broker's PUBACK, for a plain broker without a receiver.
	Puback
)

// Message is something that came down on one of Config.Inbound.
type Message struct {
	Topic   string
	Payload []byte
}

// Subscription is a topic filter beside the receipts. When C is full the
// oldest message in it is dropped and counted: the handler never blocks, or
// pings would go unanswered.
type Subscription struct {
	Filter string
	C      chan Message
	// OnCall: nothing is subscribed to at a connect; Calls name the topics.
	OnCall bool
	// Latest: what comes is retained and stands for all before it, so that QoS 0
	// will do (contract.QoSLatest).
	Latest bool
}

// Call asks headquarters for something for once. It is lost with the
// connection, or if there is none: who made it calls again.
type Call struct {
	Subscribe, Unsubscribe []string // topics, each within a Subscription that is OnCall
	Topic                  string   // where Body is published; "": nothing is
	Body                   []byte
}

// Config says where headquarters is and how the booth speaks to it.
type Config struct {
	Booth    string // id: client id, topic level and, by default, user name
	Username string
	Version  string   // of the program, for the status
	Boot     string   // kernel boot id, for the status
	Brokers  []string // ssl://host:port or tcp://host:port, in order of preference
	TLS      *tls.Config
	// Renew gives TLS anew for each connection, so that renewed certificates,
	// the booth's and headquarters', need no restart. On an error the last one
	// stays: a file that is half written costs no link. It may be nil.
	Renew   func() (*tls.Config, error)
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	AckMode AckMode

	// Conn gives the next number of a CONNECT, durable before it returns; see
	// ConnFile.
	Conn func() (uint64, error)
	// State is what the booth says of itself; called after each connect, every
	// 60 s, and when Changed fires (at most once a second).
	State   func() contract.State
	Changed <-chan struct{}
	// Connected hears of each connect once the booth is announced and events
	// count as live. It must not block.
	Connected func(conn uint64)
	// Report hears of what should not happen. It must not block.
	Report  func(contract.Notice)
	Inbound []Subscription
	Calls   <-chan Call
	// Aside gives what the backlog, and receipts while there is room without them,
	// have to wait for: until it closes. nil, or nil from it: nothing. Alerts, live
	// events and what is asked for never do.
	Aside func() <-chan struct{}
	Log   *slog.Logger

	// Zero: the contract's numbers.
	BackoffFirst, BackoffMost, TwinPause, ResendFirst, HealthEvery, ReturnAfter, UnheardMost time.Duration
}

// Status is a snapshot of the link for the page and the metrics.
type Status struct {
	Connected  bool
	Broker     string
	Since      time.Time // of the present state
	Conn       uint64    // number of the last CONNECT
	ReceiptAt  time.Time // last receipt of this epoch; zero if never
	Owed       time.Time // since when a broker has events that no receipt followed; zero: none
	Upto       uint64    // of that receipt
	InFlight   int       // without PUBACK
	Unreceipt  int       // sent, without receipt
	Sent       uint64    // PUBACKed since start, resends included
	Receipts   uint64
	Dropped    uint64 // inbound messages lost to full channels
	LastError  string // why the last connection ended; no payload
	RateLimit  float64
	WindowSize int
}

// Uplink is one booth's link. Run it once.
type Uplink struct {
	cfg     Config
	src     Source
	brokers []*url.URL
	air     *air
	said    map[string]bool // notices reported since start, by word
	resend  chan [2]uint64  // asked for by Resend, from any goroutine
	told    [][2]uint64     // of those, what is still to be sent; Run's own

	// status is read by the page while Run writes it.
	status  atomic.Pointer[Status]
	dropped atomic.Uint64 // written by the client's goroutines
}

// New checks the configuration.
func New(cfg Config, src Source) (*Uplink, error) {
	if err := contract.CheckBooth(cfg.Booth); err != nil {
		return nil, fmt.Errorf("uplink: %w", err)
	}
	u := &Uplink{cfg: cfg, src: src, air: newAir(), said: make(map[string]bool), resend: make(chan [2]uint64, resendsMost)}
	for _, b := range cfg.Brokers {
		at, err := line.ParseBroker(b, cfg.TLS)
		if err != nil {
			return nil, fmt.Errorf("uplink: %w", err)
		}
		u.brokers = append(u.brokers, at)
	}
	if len(u.brokers) == 0 || cfg.Dial == nil || cfg.Conn == nil || cfg.State == nil || cfg.Log == nil {
		return nil, errors.New("uplink: needs a broker, Dial, Conn, State and Log")
	}
	if u.cfg.Aside == nil {
		u.cfg.Aside = func() <-chan struct{} { return nil }
	}
	u.cfg.Username = cmp.Or(cfg.Username, cfg.Booth)
	u.cfg.ResendFirst = cmp.Or(cfg.ResendFirst, resendFirst)
	u.cfg.HealthEvery = cmp.Or(cfg.HealthEvery, healthEvery)
	u.cfg.ReturnAfter = cmp.Or(cfg.ReturnAfter, returnAfter)
	u.cfg.UnheardMost = cmp.Or(cfg.UnheardMost, unheardMost)
	u.status.Store(&Status{})
	return u, nil
}

// Status gives a snapshot.
func (u *Uplink) Status() Status {
	s := *u.status.Load()
	s.Dropped = u.dropped.Load()
	return s
}

// Resend has events from..to published again, as the rate of the backlog
// allows, whether or not they are receipted; 0, 0 stands for all that wait for
// their receipt. It is false if too many ranges wait already. It may be called
// from any goroutine.
func (u *Uplink) Resend(from, to uint64) bool {
	select {
	case u.resend <- [2]uint64{from, to}:
		return true
	default:
		return false
	}
}

// note changes the snapshot. Run's goroutine alone calls it.
func (u *Uplink) note(edit func(*Status)) {
	s := *u.status.Load()
	edit(&s)
	u.status.Store(&s)
}

// report tells headquarters' watch, once per word and run: a broker that lies
// all night is one event.
func (u *Uplink) report(what, detail string) {
	if u.said[what] {
		return
	}
	u.said[what] = true
	u.cfg.Log.Warn("uplink notice", "code", what)
	if u.cfg.Report != nil {
		u.cfg.Report(contract.Notice{What: what, Detail: detail})
	}
}

var (
	// errHome ends a healthy connection to a later broker: time to try the first.
	errHome = errors.New("returning to the first broker")
	// errUnheard ends a connection whose broker takes events that headquarters
	// does not receipt: one that is cut off from it looks just so.
	errUnheard = errors.New("the broker takes events, and no receipt comes back")
)

// Run connects, for ever, until ctx ends. It returns ctx's error.
func (u *Uplink) Run(ctx context.Context) error {
	pause := line.Pause{First: u.cfg.BackoffFirst, Most: u.cfg.BackoffMost, Twin: u.cfg.TwinPause}
	at := 0 // broker in turn
	for ctx.Err() == nil {
		life, err := u.connection(ctx, u.brokers[at], at > 0)
		if ctx.Err() != nil {
			break
		}
		u.down(err)
		if errors.Is(err, errHome) {
			at = 0
			continue
		}
		d, next := pause.After(life, err)
		if next || errors.Is(err, errUnheard) {
			at = (at + 1) % len(u.brokers)
		}
		if pause.Twins() {
			u.report("twin", "connections end as soon as they are made: another client may use this booth's name")
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	u.note(func(s *Status) { s.Connected, s.InFlight, s.Since = false, 0, time.Now() })
	return ctx.Err()
}

func (u *Uplink) up(broker string, conn uint64) {
	u.cfg.Log.Info("uplink connected", "broker", broker, "conn", conn)
	u.note(func(s *Status) {
		s.Connected, s.Broker, s.Since, s.LastError = true, broker, time.Now(), ""
	})
	if u.cfg.Connected != nil {
		u.cfg.Connected(conn)
	}
}

// down says why there is no link, once per change of state.
func (u *Uplink) down(err error) {
	was := u.status.Load()
	if was.Connected || was.LastError == "" {
		u.cfg.Log.Warn("uplink not connected", "err", err)
	}
	u.note(func(s *Status) {
		if s.Connected || s.Since.IsZero() {
			s.Since = time.Now()
		}
		s.Connected, s.InFlight, s.LastError = false, 0, err.Error()
	})
}
