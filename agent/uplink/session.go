package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
)

// errNoConnack is a broker that does not answer: the next one is tried.
var errNoConnack = errors.New("no CONNACK in time")

// session is one connection from CONNECT to its end. The goroutine of Run owns
// it; the client's goroutines reach it through channels alone.
type session struct {
	*Uplink
	client   mqtt.Client
	conn     uint64
	receipts chan []byte
	lost     chan error
	wire     wire

	flying []flying // publishes without PUBACK, oldest first
	lanes  [3]laneBuffer
	asked  [][2]uint64 // ranges headquarters wants and we hold as receipted
	budget bucket
	window int
	pause  time.Time // after a store error, no query before
}

// flying is one publish whose PUBACK is awaited.
type flying struct {
	token mqtt.Token
	seq   uint64 // 0: status or state
	until time.Time
}

// wire holds the network connection, so that it can be cut from our side. A
// mutex, because the client opens it in a goroutine of its own, perhaps after
// we gave up.
type wire struct {
	mu   sync.Mutex
	conn net.Conn
	done bool
}

func (w *wire) set(c net.Conn) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		c.Close()
		return errors.New("given up meanwhile")
	}
	w.conn = c
	return nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	if w.conn != nil {
		w.conn.Close()
	}
}

// connection is the whole life of one connection. It returns how long it
// lasted from CONNACK on (0: it never came up) and why it ended.
func (u *Uplink) connection(ctx context.Context, broker *url.URL, later bool) (life time.Duration, err error) {
	n, err := u.cfg.Conn()
	if err != nil {
		return 0, err
	}
	u.note(func(s *Status) { s.Conn, s.Broker = n, broker.Host })
	s := &session{
		Uplink:   u,
		conn:     n,
		receipts: make(chan []byte, 4),
		lost:     make(chan error, 1),
		window:   defaultWindow,
	}
	s.budget = newBucket(defaultRate, time.Now())
	if err := s.connect(ctx, broker); err != nil {
		s.abort()
		return 0, err
	}
	since := time.Now()
	defer func() {
		u.src.SetOnline(false)
		u.air.lost()
		life = max(time.Since(since), 1)
	}()
	if err := s.subscribe(ctx); err != nil {
		s.abort()
		return 0, err
	}
	if err := s.announce(ctx); err != nil {
		s.abort()
		return 0, err
	}
	u.air.hold(time.Now().Add(wantPause))
	u.src.SetOnline(true)
	u.up(broker.Host, n)
	err = s.serve(ctx, later)
	if ctx.Err() != nil || errors.Is(err, errHome) {
		s.farewell()
		return 0, err
	}
	s.abort()
	return 0, err
}

// options is the one honest configuration of the client (mqtt contract,
// section 5). With AutoReconnect a publish ends without error when the link
// drops, although nothing was acknowledged.
func (s *session) options(ctx context.Context, broker *url.URL) (*mqtt.ClientOptions, error) {
	will, err := s.statusMessage(contract.Offline)
	if err != nil {
		return nil, err
	}
	o := mqtt.NewClientOptions()
	o.AddBroker(broker.String())
	o.SetClientID(s.cfg.Booth).SetUsername(s.cfg.Username)
	o.SetProtocolVersion(4) // 3.1.1, and no second try with 3.1
	o.SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false)
	o.SetStore(mqtt.NewMemoryStore()) // the file store panics on a full disk
	o.SetOrderMatters(false)
	o.SetKeepAlive(keepAlive).SetPingTimeout(pingTimeout).SetWriteTimeout(writeTimeout).SetConnectTimeout(connackTimeout)
	o.SetBinaryWill(contract.StatusTopic(s.cfg.Booth), will, contract.QoS, true)
	o.SetDefaultPublishHandler(s.take)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) {
		select {
		case s.lost <- err:
		default:
		}
	})
	// An own opening function, because the library's follows ALL_PROXY.
	o.SetCustomOpenConnectionFn(func(at *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
		c, err := s.open(ctx, at)
		if err != nil {
			return nil, err
		}
		bounded := newBoundedConn(c)
		return bounded, s.wire.set(bounded)
	})
	return o, nil
}

// open dials and, for ssl, checks the broker's certificate and name.
func (s *session) open(ctx context.Context, at *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connackTimeout)
	defer cancel()
	c, err := s.cfg.Dial(ctx, "tcp", at.Host)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", at.Host, err)
	}
	if at.Scheme != "ssl" {
		return c, nil
	}
	cfg := s.cfg.TLS.Clone()
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if cfg.ServerName == "" {
		cfg.ServerName = at.Hostname()
	}
	secure := tls.Client(c, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("TLS with %s: %w", at.Host, err)
	}
	return secure, nil
}

func (s *session) connect(ctx context.Context, broker *url.URL) error {
	o, err := s.options(ctx, broker)
	if err != nil {
		return err
	}
	s.client = mqtt.NewClient(o)
	return s.await(ctx, s.client.Connect(), connackTimeout, errNoConnack)
}

// await waits for a token, at most d.
func (s *session) await(ctx context.Context, t mqtt.Token, d time.Duration, late error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-timer.C:
		return late
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscribe asks for the receipts and everything of Config.Inbound, and reads
// the broker's answers: 0x80 is a refusal that looks like success. Without
// receipts there is no link; without the rest events still go up.
func (s *session) subscribe(ctx context.Context) error {
	receipt := contract.ReceiptTopic(s.cfg.Booth)
	filters := map[string]byte{receipt: contract.QoS}
	for _, in := range s.cfg.Inbound {
		filters[in.Filter] = contract.QoS
	}
	t := s.client.SubscribeMultiple(filters, nil)
	if err := s.await(ctx, t, ackTimeout, errors.New("no SUBACK in time")); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	codes := t.(*mqtt.SubscribeToken).Result()
	for filter := range filters {
		code, answered := codes[filter]
		switch {
		case answered && code <= 2:
		case filter == receipt && s.cfg.AckMode == Receipt:
			return fmt.Errorf("subscribing to receipts: refused with %#x", code)
		default:
			s.report("subscription_refused", "the broker refuses "+filter)
		}
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
	t := s.client.Publish(contract.StatusTopic(s.cfg.Booth), contract.QoS, true, b)
	if err := s.await(ctx, t, ackTimeout, errors.New("no PUBACK in time")); err != nil {
		return fmt.Errorf("publishing status: %w", err)
	}
	return nil
}

func (s *session) statusMessage(word string) ([]byte, error) {
	return contract.EncodeStatus(contract.Status{S: word, Conn: s.conn, Boot: s.cfg.Boot, At: time.Now().UTC(), Version: s.cfg.Version})
}

// farewell says "stopping" and disconnects in order; the will stays unsaid.
func (s *session) farewell() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if b, err := s.statusMessage(contract.Stopping); err == nil && s.client.IsConnectionOpen() {
		t := s.client.Publish(contract.StatusTopic(s.cfg.Booth), contract.QoS, true, b)
		_ = s.await(ctx, t, stopTimeout, nil) // the link may be gone; the will then speaks
	}
	s.client.Disconnect(250)
	s.abort()
}

// abort cuts the line without a word, so that the broker publishes the will,
// and lets the client's goroutines go.
func (s *session) abort() {
	s.wire.cut()
	if s.client != nil {
		s.client.Disconnect(250)
	}
}

// serve moves events until the connection ends.
func (s *session) serve(ctx context.Context, later bool) error {
	health := time.NewTicker(s.cfg.HealthEvery)
	defer health.Stop()
	var home <-chan time.Time
	if later { // not the preferred broker: try that again after 10 to 30 min
		t := time.NewTimer(10*time.Minute + rand.N(20*time.Minute))
		defer t.Stop()
		home = t.C
	}
	var changed <-chan time.Time // at most one publish of state a second
	if err := s.publishState(); err != nil {
		return err
	}
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		next, err := s.pump(ctx)
		if err != nil {
			return err
		}
		acked, until := s.oldest()
		wake.Reset(time.Until(earlier(next, until)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.lost:
			return fmt.Errorf("connection lost: %w", err)
		case <-home:
			return errHome
		case <-acked:
			err = s.land(ctx)
		case b := <-s.receipts:
			s.receive(ctx, b)
		case <-s.src.Bell():
			s.rung()
		case <-health.C:
			err = s.publishState()
		case <-s.cfg.Changed:
			if changed == nil {
				changed = time.After(time.Second)
			}
		case <-changed:
			changed = nil
			err = s.publishState()
		case <-wake.C:
			if !time.Now().Before(until) {
				return fmt.Errorf("no PUBACK within %v", ackTimeout)
			}
		}
		if err != nil {
			return err
		}
	}
}

// publishState publishes the retained snapshots; brokers lose them, so this
// also follows each connect.
func (s *session) publishState() error {
	st := s.cfg.State()
	info, err := contract.EncodeInfo(st.Info)
	if err != nil {
		return err
	}
	health, err := contract.EncodeHealth(st.Health)
	if err != nil {
		return err
	}
	lists, err := contract.EncodeLists(st.Lists)
	if err != nil {
		return err
	}
	s.publish(0, contract.InfoTopic(s.cfg.Booth), true, info)
	s.publish(0, contract.ListsTopic(s.cfg.Booth), true, lists)
	s.publish(0, contract.HealthTopic(s.cfg.Booth), true, health)
	return nil
}
