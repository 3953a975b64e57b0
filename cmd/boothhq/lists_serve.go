package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
	"boothd/cmd/boothhq/internal/authority"
)

// listsServeCmd keeps brokers in step with what is published, and sends the
// parts of lists that booths ask for.
type listsServeCmd struct {
	Dir string `arg:"" help:"Folder of the authority." type:"existingdir"`
	brokerFlags
	ClientID string `name:"client-id" default:"HQ-lists-serve" help:"MQTT client id and, where no certificate gives it, user name."`
	Rate     int    `default:"4096" help:"KiB a second at most that are sent to each broker on request."`
}

const (
	// wantsMost is how many wishes may wait: booths ask again.
	wantsMost = 256
	// serveOnce is how long one sending of a part serves all who ask for it.
	serveOnce = time.Second
	// serveLook is how often the folder is looked at: an urgent denial is in force
	// at booths within 2 s, of which they take one at most.
	serveLook = 250 * time.Millisecond
	// serveFirst and serveMost are the pauses before a broker is called again.
	serveFirst = time.Second
	serveMost  = time.Minute
)

// Run serves every broker until it is told to stop.
func (c *listsServeCmd) Run(t *tool) error {
	tls, password, err := c.secrets()
	if err != nil {
		return err
	}
	if c.Rate <= 0 {
		return &failure{errors.New("--rate is not above 0"), "4096 is 4 MiB a second", exitUsage}
	}
	var brokers []*url.URL
	for _, b := range c.Broker {
		at, err := line.ParseBroker(b, tls)
		if err != nil {
			return err
		}
		brokers = append(brokers, at)
	}
	log := slog.New(slog.NewTextHandler(t.stderr, nil))
	keeping := new(sync.Mutex) // of retained.json
	var all sync.WaitGroup
	for _, at := range brokers {
		s := &server{dir: c.Dir, rate: c.Rate << 10, log: log.With("broker", at.Host), keeping: keeping, in: make(chan wish, wantsMost), sent: map[string]time.Time{}}
		s.cfg = line.Config{Broker: at, ClientID: c.ClientID, Username: c.ClientID, Password: password, TLS: tls, Dial: new(net.Dialer).DialContext, Take: s.take}
		all.Go(func() { s.run(t.ctx) })
	}
	all.Wait()
	return nil // stopped
}

// wish is a message on a topic of wishes.
type wish struct {
	topic string
	body  []byte
}

// server serves one broker. Its goroutine owns everything but in.
type server struct {
	dir     string
	rate    int // bytes a second
	log     *slog.Logger
	cfg     line.Config
	keeping *sync.Mutex
	in      chan wish

	line  *line.Line
	parts map[string]authority.Part // by topic
	sent  map[string]time.Time      // by topic
	seen  time.Time                 // timestamp.json as it was sent
	free  time.Time                 // when the rate lets something be sent again
}

// take must not block.
func (s *server) take(m mqtt.Message) {
	select {
	case s.in <- wish{m.Topic(), m.Payload()}:
	default:
	}
}

func (s *server) run(ctx context.Context) {
	pause := serveFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := s.connection(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > serveMost {
			pause = serveFirst
		}
		wait := rand.N(pause)
		s.log.Warn("broker is not served", "err", err, "again", wait.Round(time.Millisecond))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		pause = min(2*pause, serveMost)
	}
}

func (s *server) connection(ctx context.Context) (err error) {
	if s.line, err = line.Open(ctx, s.cfg); err != nil {
		return err
	}
	defer s.line.Close()
	refused, err := s.line.Subscribe(ctx, contract.WantListTopic("+"))
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		return fmt.Errorf("the broker refuses the subscription %v", refused)
	}
	s.seen = time.Time{} // brokers lose what is retained
	look := time.NewTicker(serveLook)
	defer look.Stop()
	for {
		if err := s.post(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.line.Lost():
			return fmt.Errorf("connection lost: %w", err)
		case w := <-s.in:
			if err := s.answer(ctx, w); err != nil {
				return err
			}
		case <-look.C:
		}
	}
}

// post sends what was published since it was sent last.
func (s *server) post(ctx context.Context) error {
	info, err := os.Stat(filepath.Join(s.dir, "repository", "timestamp.json"))
	if err != nil || info.ModTime().Equal(s.seen) {
		return nil // nothing is published yet, or nothing new
	}
	parts, err := authority.Parts(s.dir)
	if err != nil {
		return err
	}
	s.parts = make(map[string]authority.Part, len(parts))
	for _, p := range parts {
		s.parts[contract.PartTopic(p.Kind, p.Digest)] = p
	}
	s.keeping.Lock()
	defer s.keeping.Unlock()
	p := &post{dir: s.dir, broker: s.cfg.Broker.Host, line: s.line, again: s.seen.IsZero()}
	if err := p.send(ctx); err != nil {
		return err
	}
	s.seen = info.ModTime()
	s.log.Info("sent", "metadata", p.pieces, "parts", p.parts)
	return nil
}

// answer sends the parts of a wish. One sending serves everybody who asks.
func (s *server) answer(ctx context.Context, w wish) error {
	booth, err := contract.WantSource(w.topic)
	if err != nil {
		return nil // not ours
	}
	want, err := contract.DecodeWant(w.body)
	if err != nil {
		s.log.Warn("wish refused", "booth", booth, "err", err)
		return nil
	}
	for topic, at := range s.sent {
		if time.Since(at) > serveOnce {
			delete(s.sent, topic)
		}
	}
	n := 0
	for _, d := range want.Parts {
		topic := contract.PartTopic(want.List, d)
		part, ok := s.parts[topic]
		if _, sent := s.sent[topic]; !ok || sent {
			continue // published no more, or just sent
		}
		b, err := part.Bytes()
		if err != nil {
			s.log.Error("part not sent", "err", err)
			continue
		}
		if err := s.pace(ctx, len(b)); err != nil {
			return err
		}
		if err := line.Await(ctx, s.line.Publish(topic, false, b), line.AckTimeout, errors.New("no PUBACK in time")); err != nil {
			return fmt.Errorf("%s: %w", topic, err)
		}
		s.sent[topic] = time.Now()
		n++
		if err := s.post(ctx); err != nil { // a publication does not wait for parts
			return err
		}
	}
	s.log.Info("wish answered", "booth", booth, "list", want.List, "wanted", len(want.Parts), "sent", n)
	return nil
}

// pace waits until n more bytes keep to the rate.
func (s *server) pace(ctx context.Context, n int) error {
	now := time.Now()
	if s.free.Before(now) {
		s.free = now
	}
	wait := s.free.Sub(now)
	s.free = s.free.Add(time.Duration(n) * time.Second / time.Duration(s.rate))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
