// Package line is one MQTT connection from CONNECT to its end, in the one
// configuration of the client library that reports an unacknowledged publish
// as an error. Booth and headquarters share it, so that the settings stand in
// one place.
//
// A Line is never used again after its end; who wants another opens another.
// Every wait has a limit. It reads packets of at most 256 KiB.
//
// Source: mqtt contract, section 5; lessons A.
package line

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"boothd/agent/contract"
)

// Limits of one connection (mqtt contract, sections 5 and 8).
const (
	AckTimeout     = 30 * time.Second // for a PUBACK or SUBACK; later ones end the line
	connackTimeout = 30 * time.Second
	keepAlive      = 25 * time.Second // lesson 15: 20 to 30 s
	pingTimeout    = 10 * time.Second
	writeTimeout   = 10 * time.Second // the library's default is for ever
	quiesceMS      = 250
)

// ErrNoConnack is a broker that takes the connection and does not answer.
var ErrNoConnack = errors.New("no CONNACK in time")

// Config says whom to call and as whom.
type Config struct {
	Broker   *url.URL // see ParseBroker
	ClientID string
	Username string // not sent to a broker that is shown a certificate of that name
	Password string
	TLS      *tls.Config // for ssl brokers; never below TLS 1.2
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Will     *Will
	// Take gets every message that comes in, in goroutines of the library. It
	// must not block: pings would go unanswered (lesson 11).
	Take func(mqtt.Message)
	// ManualAck leaves the PUBACKs to Take's owner (Message.Ack).
	ManualAck bool
}

// Will is what the broker says when the line ends without a word.
type Will struct {
	Topic   string
	Payload []byte
}

// ParseBroker reads ssl://host:port or tcp://host:port. A TLS configuration
// that does not check the broker's certificate is refused.
func ParseBroker(address string, cfg *tls.Config) (*url.URL, error) {
	at, err := url.Parse(address)
	switch {
	case err != nil || at.Hostname() == "" || at.Port() == "":
		return nil, fmt.Errorf("broker %q is not scheme://host:port", address)
	case at.Scheme == "tcp":
	case at.Scheme != "ssl":
		return nil, fmt.Errorf("broker %q: scheme is not ssl or tcp", address)
	case cfg == nil:
		return nil, fmt.Errorf("broker %q without TLS settings", address)
	case cfg.InsecureSkipVerify:
		return nil, fmt.Errorf("broker %q without checking its certificate", address)
	}
	return at, nil
}

// Line is one open connection.
type Line struct {
	client mqtt.Client
	lost   chan error
	wire   wire
}

// wire holds the network connection, so that it can be cut from our side. A
// mutex, because the library opens it in a goroutine of its own, perhaps after
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

// Open connects and waits for CONNACK, at most 30 s (then ErrNoConnack).
func Open(ctx context.Context, cfg Config) (*Line, error) {
	l := &Line{lost: make(chan error, 1)}
	l.client = mqtt.NewClient(l.options(ctx, cfg))
	if err := Await(ctx, l.client.Connect(), connackTimeout, ErrNoConnack); err != nil {
		l.Cut()
		return nil, err
	}
	return l, nil
}

// options is the one honest configuration. With AutoReconnect a publish ends
// without error when the link drops, although nothing was acknowledged.
func (l *Line) options(ctx context.Context, cfg Config) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions()
	o.AddBroker(cfg.Broker.String())
	o.SetClientID(cfg.ClientID).SetUsername(cfg.user()).SetPassword(cfg.Password)
	o.SetProtocolVersion(4) // 3.1.1, and no second try with 3.1
	o.SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false)
	o.SetStore(noStore{})
	o.SetOrderMatters(false)
	o.SetKeepAlive(keepAlive).SetPingTimeout(pingTimeout).SetWriteTimeout(writeTimeout).SetConnectTimeout(connackTimeout)
	o.SetAutoAckDisabled(cfg.ManualAck)
	if cfg.Will != nil {
		o.SetBinaryWill(cfg.Will.Topic, cfg.Will.Payload, contract.QoS, true)
	}
	// Before Connect: a message without a taker stalls delivery for good.
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { cfg.Take(m) })
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) {
		select {
		case l.lost <- err:
		default:
		}
	})
	// An own opening function, because the library's follows ALL_PROXY.
	o.SetCustomOpenConnectionFn(func(at *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
		c, err := open(ctx, cfg, at)
		if err != nil {
			return nil, err
		}
		bounded := newBoundedConn(newGatheringConn(c))
		return bounded, l.wire.set(bounded)
	})
	return o
}

// noStore keeps nothing. A message that is not acknowledged ends with the line,
// and whoever published it has it; the library would look into its store only
// for a line that goes on.
type noStore struct{}

func (noStore) Open()                             {}
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) All() []string                     { return nil }
func (noStore) Del(string)                        {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}

// user is the name in CONNECT. Where a certificate says who calls there is none,
// unless it is another one: RabbitMQ asks for a password with every name.
func (c Config) user() string {
	shown := c.Broker.Scheme == "ssl" && c.TLS != nil && (len(c.TLS.Certificates) > 0 || c.TLS.GetClientCertificate != nil)
	if shown && c.Username == c.ClientID && c.Password == "" {
		return ""
	}
	return c.Username
}

// open dials and, for ssl, checks the broker's certificate and name.
func open(ctx context.Context, cfg Config, at *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connackTimeout)
	defer cancel()
	c, err := cfg.Dial(ctx, "tcp", at.Host)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", at.Host, err)
	}
	if at.Scheme != "ssl" {
		return c, nil
	}
	t := cfg.TLS.Clone()
	t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
	if t.ServerName == "" {
		t.ServerName = at.Hostname()
	}
	secure := tls.Client(c, t)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("TLS with %s: %w", at.Host, err)
	}
	return secure, nil
}

// Await waits for a token, at most d; late is the error then.
func Await(ctx context.Context, t mqtt.Token, d time.Duration, late error) error {
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

// Subscribe asks for filters at QoS 1 and reads the broker's answers, since
// 0x80 is a refusal that looks like success. It returns the refused ones.
func (l *Line) Subscribe(ctx context.Context, filters ...string) (refused []string, err error) {
	return l.SubscribeAt(ctx, sure(filters))
}

func sure(filters []string) map[string]byte {
	want := make(map[string]byte, len(filters))
	for _, f := range filters {
		want[f] = contract.QoS
	}
	return want
}

// SubscribeAt is Subscribe with the QoS of each filter.
func (l *Line) SubscribeAt(ctx context.Context, want map[string]byte) (refused []string, err error) {
	t := l.client.SubscribeMultiple(want, nil)
	if err := Await(ctx, t, AckTimeout, errors.New("no SUBACK in time")); err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	codes := t.(*mqtt.SubscribeToken).Result()
	for f := range want {
		if code, answered := codes[f]; !answered || code > 2 {
			refused = append(refused, f)
		}
	}
	return refused, nil
}

// Ask is Subscribe without waiting; the token is a *mqtt.SubscribeToken.
func (l *Line) Ask(filters ...string) mqtt.Token {
	return l.client.SubscribeMultiple(sure(filters), nil)
}

// Drop ends subscriptions.
func (l *Line) Drop(filters ...string) mqtt.Token { return l.client.Unsubscribe(filters...) }

// Publish sends at QoS 1. It blocks for at most the write time-out; the token
// ends with an error unless a PUBACK comes.
func (l *Line) Publish(topic string, retain bool, body []byte) mqtt.Token {
	return l.client.Publish(topic, contract.QoS, retain, body)
}

// Lost gives why the connection ended, once.
func (l *Line) Lost() <-chan error { return l.lost }

// Up tells whether the connection is open as far as this side knows.
func (l *Line) Up() bool { return l.client.IsConnectionOpen() }

// Close disconnects in order: the will stays unsaid.
func (l *Line) Close() {
	l.client.Disconnect(quiesceMS)
	l.Cut()
}

// Cut ends the line without a word, so that the broker publishes the will.
func (l *Line) Cut() {
	l.wire.cut()
	l.client.Disconnect(quiesceMS)
}
