package uplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
)

// session is one connection from CONNECT to its end. The goroutine of Run owns
// it; the client's goroutines reach it through channels alone.
type session struct {
	*Uplink
	line     *line.Line
	conn     uint64
	since    time.Time // CONNACK
	receipts chan []byte

	// What the journal does meanwhile, one of each; the ends come over these.
	noted   chan noted
	noting  bool
	pages   chan page
	reading bool

	// What came since a page was asked for.
	missed    bool             // rows have been stored
	receipted contract.Receipt // the last that was noted

	flying []flying // publishes without PUBACK, oldest first
	lanes  [3]laneBuffer
	asked  [][2]uint64 // ranges headquarters wants and we hold as receipted
	budget bucket
	window int
	aside  <-chan struct{} // the backlog waits for it; nil: for nothing
	pause  time.Time       // after a store error, no query before
}

// flying is one publish whose PUBACK is awaited.
type flying struct {
	token mqtt.Token
	seq   uint64 // 0: status or state
	until time.Time
}

// connection is the whole life of one connection. It returns how long it
// lasted from CONNACK on (0: it never came up) and why it ended.
func (u *Uplink) connection(ctx context.Context, broker *url.URL, later bool) (life time.Duration, err error) {
	n, err := u.cfg.Conn()
	if err != nil {
		return 0, err
	}
	u.note(func(s *Status) { s.Conn, s.Broker = n, broker.Host })
	s := &session{Uplink: u, conn: n, receipts: make(chan []byte, 4), noted: make(chan noted, 1), pages: make(chan page, 1), window: defaultWindow, budget: newBucket(defaultRate, time.Now())}
	will, err := s.statusMessage(contract.Offline)
	if err != nil {
		return 0, err
	}
	if u.cfg.Renew != nil {
		if fresh, err := u.cfg.Renew(); err == nil {
			u.cfg.TLS = fresh
		}
	}
	s.line, err = line.Open(ctx, line.Config{
		Broker: broker, ClientID: u.cfg.Booth, Username: u.cfg.Username, TLS: u.cfg.TLS, Dial: u.cfg.Dial,
		Will: &line.Will{Topic: contract.StatusTopic(u.cfg.Booth), Payload: will}, Take: s.take,
	})
	if err != nil {
		return 0, err
	}
	s.since = time.Now()
	err = s.live(ctx, broker.Host, later)
	u.src.SetOnline(false)
	u.told = append(u.air.lost(), u.told...)
	if ctx.Err() != nil || errors.Is(err, errHome) {
		s.farewell()
	} else {
		s.line.Cut()
	}
	return max(time.Since(s.since), 1), err
}

// live is what an open line does: subscribe, announce, serve.
func (s *session) live(ctx context.Context, broker string, later bool) error {
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	if err := s.announce(ctx); err != nil {
		return err
	}
	s.air.hold(time.Now().Add(wantPause))
	s.src.SetOnline(true)
	s.up(broker, s.conn)
	defer s.settle(ctx)
	return s.serve(ctx, later)
}

// subscribe asks for the receipts and everything of Config.Inbound. Without
// receipts there is no link; without the rest events still go up.
func (s *session) subscribe(ctx context.Context) error {
	receipt := contract.ReceiptTopic(s.cfg.Booth)
	want := map[string]byte{receipt: contract.QoSLatest}
	for _, in := range s.cfg.Inbound {
		switch {
		case in.OnCall:
		case in.Latest:
			want[in.Filter] = contract.QoSLatest
		default:
			want[in.Filter] = contract.QoS
		}
	}
	refused, err := s.line.SubscribeAt(ctx, want)
	if err != nil {
		return err
	}
	for _, f := range refused {
		if f == receipt && s.cfg.AckMode == Receipt {
			return errors.New("the broker refuses the subscription to receipts")
		}
		s.report("subscription_refused", "the broker refuses "+f)
	}
	return nil
}

// announce says that the booth is there. It waits for the broker's word, so
// that nothing is called online that the broker does not let speak.
func (s *session) announce(ctx context.Context) error {
	b, err := s.statusMessage(contract.Online)
	if err != nil {
		return err
	}
	t := s.line.Publish(contract.StatusTopic(s.cfg.Booth), true, b)
	if err := line.Await(ctx, t, line.AckTimeout, errors.New("no PUBACK in time")); err != nil {
		return fmt.Errorf("publishing status: %w", err)
	}
	return nil
}

func (s *session) statusMessage(word string) ([]byte, error) {
	return contract.EncodeStatus(contract.Status{S: word, Conn: s.conn, Boot: s.cfg.Boot, At: time.Now().UTC(), Version: s.cfg.Version})
}

// farewell says "stopping" and disconnects in order; the will stays unsaid.
func (s *session) farewell() {
	if b, err := s.statusMessage(contract.Stopping); err == nil && s.line.Up() {
		t := s.line.Publish(contract.StatusTopic(s.cfg.Booth), true, b)
		// The link may be gone after all; the will then speaks.
		_ = line.Await(context.Background(), t, stopTimeout, nil)
	}
	s.line.Close()
}

// serve moves events until the connection ends.
func (s *session) serve(ctx context.Context, later bool) error {
	health := time.NewTicker(s.cfg.HealthEvery)
	defer health.Stop()
	var home <-chan time.Time
	if later { // not the preferred broker: try that again, not in step with other booths
		t := time.NewTimer(s.cfg.ReturnAfter + rand.N(2*s.cfg.ReturnAfter))
		defer t.Stop()
		home = t.C
	}
	var changed <-chan time.Time // at most one publish of state a second
	s.publishState()
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		s.aside = s.cfg.Aside()
		next, err := s.pump(ctx)
		if err != nil {
			return err
		}
		acked, until := s.oldest()
		receipts, resend := s.takes()
		hush := s.hush()
		wake.Reset(time.Until(earlier(next, earlier(until, hush))))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.line.Lost():
			return fmt.Errorf("connection lost: %w", err)
		case <-home:
			return errHome
		case <-s.aside: // the backlog goes on
		case <-acked:
			err = s.land(ctx)
		case b := <-receipts:
			s.receive(ctx, b)
		case r := <-s.noted:
			s.apply(ctx, r)
		case p := <-s.pages:
			s.turned(ctx, p)
		case r := <-resend:
			s.tell(r)
		case <-s.src.Bell():
			s.rung()
		case <-health.C:
			s.publishState()
		case c := <-s.cfg.Calls:
			s.call(c)
		case <-s.cfg.Changed:
			if changed == nil {
				changed = time.After(time.Second)
			}
		case <-changed:
			changed = nil
			s.publishState()
		case <-wake.C:
			switch now := time.Now(); {
			case !now.Before(until):
				return fmt.Errorf("no PUBACK within %v", line.AckTimeout)
			case !now.Before(hush):
				return errUnheard
			}
		}
		if err != nil {
			return err
		}
	}
}

// takes gives what may come in now: receipts one after the other, of which the
// newest four are kept, and ranges to send again as long as there is room. To note
// a receipt is bulk work, unless live events wait for it.
func (s *session) takes() (receipts <-chan []byte, resend <-chan [2]uint64) {
	if !s.noting && (s.aside == nil || len(s.air.flights) >= s.window) {
		receipts = s.receipts
	}
	if len(s.told) < resendsMost {
		resend = s.resend
	}
	return receipts, resend
}

// settle waits for what is at the journal. That the connection has ended is no
// reason to leave a receipt half noted, or not to know that it is.
func (s *session) settle(ctx context.Context) {
	if s.reading {
		<-s.pages
	}
	if s.noting {
		s.apply(ctx, <-s.noted)
	}
}

// hush is when a connection without receipts is given up. A broker may have lost
// its way to headquarters, or this connection its subscription, and still take
// everything.
func (s *session) hush() time.Time {
	owed := s.status.Load().Owed
	if owed.IsZero() {
		return time.Now().Add(idle)
	}
	return later(owed, s.since).Add(s.cfg.UnheardMost)
}

// publishState publishes the retained snapshots; brokers lose them, so this
// also follows each connect. One that cannot be encoded is told of, and is no
// reason to send no events.
func (s *session) publishState() {
	st := s.cfg.State()
	for _, part := range []struct {
		topic  string
		encode func() ([]byte, error)
	}{
		{contract.InfoTopic(s.cfg.Booth), func() ([]byte, error) { return contract.EncodeInfo(st.Info) }},
		{contract.ListsTopic(s.cfg.Booth), func() ([]byte, error) { return contract.EncodeLists(st.Lists) }},
		{contract.HealthTopic(s.cfg.Booth), func() ([]byte, error) { return contract.EncodeHealth(st.Health) }},
	} {
		b, err := part.encode()
		if err != nil {
			s.report("state_unsaid", "a state cannot be told: "+err.Error())
			continue
		}
		s.publish(0, part.topic, true, b)
	}
}
