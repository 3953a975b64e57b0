package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The stream that captures what booths say, and what receivers share of it. Both
// are made by the first receiver and left as they are by all others, so that an
// operator may set other limits.
const (
	natsStream   = "EVT"
	natsConsumer = "receiver"
)

// natsSubjects are events, presence and states; NATS has dots for slashes. With
// presence and states from the broker, each receiver would have three
// subscriptions there at QoS 1, each a consumer that the cluster has to make
// anew at every connection: with a node down that fails after 5 s, again and
// again, and a receiver was seen away for a minute and a half.
func natsSubjects() []string {
	return []string{"booth.v1.*.evt.>", "booth.v1.*.status", "booth.v1.*.state.>"}
}

// Bounds of the way through NATS.
const (
	natsConnect = 10 * time.Second
	natsSetUp   = 30 * time.Second
	natsRedo    = 10 * time.Second // without acknowledgement, another receiver gets it
	natsKept    = 72 * time.Hour   // what is older has been sent again by its booth long since
	natsBytes   = 8 << 30          // some 9 million events, the oldest going first
	natsPings   = 5 * time.Second  // two without answer: the node is gone
)

// NATS says where all that booths say is pulled from, instead of subscriptions
// at the broker. The brokers of Config are the same servers' MQTT side: receipts
// go there, because what a NATS client publishes is not kept for a booth that is
// away.
type NATS struct {
	Servers  []string // nats://host:port or tls://host:port; any will do
	Replicas int      // of the stream, where this receiver makes it; zero: 3
}

// errPull is a consumer that ends, which is none of the broker's doing.
var errPull = errors.New("pulling from " + natsStream)

// message is one message to be committed, whatever way it came.
type message struct {
	topic string
	body  []byte
	kept  bool      // by the broker, who knows since when
	at    time.Time // when it came to headquarters; zero: just now
	ack   func()    // after the commit
}

// pull is a consumer at work until its end.
type pull struct {
	conn *nats.Conn
	stop func()
	gone chan struct{} // closed at its end
	err  error         // then: why
}

// startPull connects, makes what is not there yet and hands messages to out.
func startPull(ctx context.Context, cfg *NATS, secure *tls.Config, name string, out chan<- message) (*pull, error) {
	options := []nats.Option{
		nats.Name("boothhq receive " + name), nats.CustomInboxPrefix("_INBOX." + name), nats.Timeout(natsConnect), nats.NoReconnect(),
		nats.PingInterval(natsPings), nats.MaxPingsOutstanding(2),
		// Left out, these would write to standard error.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), nats.DisconnectErrHandler(func(*nats.Conn, error) {}),
	}
	if secure != nil {
		options = append(options, nats.Secure(secure.Clone()))
	}
	conn, err := nats.Connect(strings.Join(cfg.Servers, ","), options...)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	messages, err := consume(ctx, conn, cfg)
	if err != nil {
		conn.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &pull{conn: conn, stop: cancel, gone: make(chan struct{})}
	release := context.AfterFunc(ctx, messages.Stop)
	go func() {
		defer close(p.gone)
		defer release()
		defer messages.Stop()
		p.err = hand(ctx, messages, out)
	}()
	return p, nil
}

// consume finds or makes stream and consumer.
func consume(ctx context.Context, conn *nats.Conn, cfg *NATS) (jetstream.MessagesContext, error) {
	ctx, cancel := context.WithTimeout(ctx, natsSetUp)
	defer cancel()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	stream, err := js.Stream(ctx, natsStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		replicas := cfg.Replicas
		if replicas == 0 {
			replicas = 3
		}
		stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name: natsStream, Description: "what booths say, until the receivers have it", Subjects: natsSubjects(),
			Storage: jetstream.FileStorage, Replicas: replicas, MaxAge: natsKept, MaxBytes: natsBytes, Discard: jetstream.DiscardOld,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", natsStream, err)
	}
	consumer, err := stream.Consumer(ctx, natsConsumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: natsConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: natsRedo, MaxAckPending: 10 * batch,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s of %s: %w", natsConsumer, natsStream, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(batch))
	if err != nil {
		return nil, fmt.Errorf("pulling from %s: %w", natsStream, err)
	}
	return messages, nil
}

// hand hands on until the connection ends. It waits for the commits: what is
// not taken here, another receiver pulls.
func hand(ctx context.Context, messages jetstream.MessagesContext, out chan<- message) error {
	for {
		m, err := messages.Next()
		if err != nil {
			return fmt.Errorf("%w: %w", errPull, err)
		}
		// Its own acknowledgement, and that of a commit that failed, is missed by
		// nobody: it comes again, and is there already.
		one := message{topic: strings.ReplaceAll(m.Subject(), ".", "/"), body: m.Data(), ack: func() { _ = m.Ack() }}
		if about, err := m.Metadata(); err == nil {
			one.at = about.Timestamp
		}
		select {
		case out <- one:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end ends it and waits for it, acknowledgements sent.
func (p *pull) end() {
	p.stop()
	<-p.gone
	_ = p.conn.FlushTimeout(time.Second) // what is lost of them comes again
	p.conn.Close()
}
