package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/configs"
)

// certEvery is the pause before certificates that could not be read, or a link
// that could not be set up, are tried again.
const certEvery = 30 * time.Second

// uplink carries the journal to headquarters until ctx ends. Without a journal
// there is nothing to carry.
func (b *booth) uplink(ctx context.Context) {
	j := b.outbox.journal.Load()
	if j == nil {
		return
	}
	for ctx.Err() == nil {
		err := contain(func() error { return b.carry(ctx, uplink.Outbox{Journal: j}) })
		if ctx.Err() != nil {
			return
		}
		j.SetOnline(false)
		b.log.Error("no link to headquarters", "err", err)
		sleep(ctx, certEvery)
	}
}

func (b *booth) carry(ctx context.Context, src uplink.Source) error {
	conf, err := b.tls()
	if err != nil {
		return err
	}
	u, err := uplink.New(b.line(conf), src)
	if err != nil {
		return err
	}
	b.outbox.carrier.Store(u)
	return u.Run(ctx)
}

// line is how the booth speaks to headquarters.
func (b *booth) line(conf *tls.Config) uplink.Config {
	m := b.cfg.MQTT
	c := uplink.Config{Booth: string(b.cfg.Booth.ID), Username: m.Username, Version: b.world.Version, Boot: b.world.Boot, TLS: conf, Renew: b.tls,
		Dial: b.world.Dial, Conn: uplink.ConnFile(filepath.Join(string(b.cfg.Store.Dir), "conn")), State: b.bulletin.state,
		Changed: b.bulletin.changed, Report: b.report, Log: b.log, Aside: b.lane.courtesy.asked,
		Connected: b.commands.connected,
		Inbound: []uplink.Subscription{{Filter: contract.CommandTopic(string(b.cfg.Booth.ID)), C: b.commands.in}, {Filter: metaFilter + "#", C: b.arrival.in, Latest: true},
			{Filter: partFilter, C: b.arrival.part, OnCall: true}, {Filter: contract.TopicNotice, C: b.notice.in, Latest: true}}, Calls: b.arrival.parts.calls}
	if m.AckMode == configs.AckPuback {
		c.AckMode = uplink.Puback
	}
	for _, broker := range m.Brokers {
		c.Brokers = append(c.Brokers, string(broker))
	}
	return c
}

// report records what should not happen on the link. It must not block: a
// notice that finds the last one still being stored is only logged.
func (b *booth) report(n contract.Notice) {
	now := time.Now()
	n.Clock = b.time.stamp(now)
	select {
	case b.notices <- remark{now, n}:
	default:
		b.log.Warn("notice not recorded", "what", n.What)
	}
}

// policyEvery is how often the policy is recorded anew: what decisions stand
// on must be kept for as long as they are.
const policyEvery = 24 * time.Hour

// tell stores the link's notices, and the policy once a day, until ctx ends.
func (b *booth) tell(ctx context.Context) {
	daily := time.NewTicker(policyEvery)
	defer daily.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-daily.C:
			b.words(ctx, contract.PolicySet{Digest: b.bulletin.policy().Digest(), Policy: b.bulletin.policy(), Clock: b.time.stamp(time.Now())})
		case r := <-b.notices:
			if _, err := b.outbox.store(ctx, r.at, r.data); err != nil && ctx.Err() == nil {
				b.log.Warn("notice not recorded", "err", err)
			}
		}
	}
}

// tls reads the booth's certificate and whom it believes; nil where every
// broker is on this machine and in clear text.
func (b *booth) tls() (*tls.Config, error) {
	m := b.cfg.MQTT
	secure := false
	for _, broker := range m.Brokers {
		secure = secure || strings.HasPrefix(string(broker), "ssl://")
	}
	for _, u := range b.cfg.Lists.URLs {
		secure = secure || u.TLS()
	}
	secure = secure || b.cfg.Commands.Upload != ""
	if !secure {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, Time: b.time.certificates}
	if m.CA != "" {
		pem, err := b.world.Secret(m.CA)
		if err != nil {
			return nil, fmt.Errorf("reading mqtt.ca: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("reading mqtt.ca: no certificate in it")
		}
	}
	if m.Cert == "" {
		return conf, nil
	}
	cert, err := b.certificate()
	if err != nil {
		return nil, err
	}
	conf.Certificates = []tls.Certificate{*cert}
	return conf, nil
}

func (b *booth) certificate() (*tls.Certificate, error) {
	m := b.cfg.MQTT
	chain, err := b.world.Secret(m.Cert)
	if err != nil {
		return nil, fmt.Errorf("reading mqtt.cert: %w", err)
	}
	key, err := b.world.Secret(m.Key)
	if err != nil {
		return nil, fmt.Errorf("reading mqtt.key: %w", err)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("mqtt.cert with mqtt.key: %w", err)
	}
	if cert.Leaf != nil {
		b.bulletin.certUntil.Store(&cert.Leaf.NotAfter)
	}
	return &cert, nil
}
