package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"boothd/configs"
)

// webClient makes the client for web servers, with the booth's certificate.
func (b *booth) webClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{ // without Proxy: the booth's network is headquarters'
			DialContext:           b.world.Dial,
			DialTLSContext:        b.dialTLS,
			MaxIdleConns:          2,
			IdleConnTimeout:       10 * time.Second,
			ResponseHeaderTimeout: fetchStall,
			DisableCompression:    true, // ranges are of the bytes that are signed
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dialTLS connects to a web server and checks it, as the link checks a broker.
func (b *booth) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	conf, err := b.tls()
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	c, err := b.world.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conf.ServerName = host
	secure := tls.Client(c, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with %s: %w", addr, err), c.Close())
	}
	return secure, nil
}

func webURLs(cfg *configs.Config) (out []string) {
	for _, u := range cfg.Lists.URLs {
		out = append(out, string(u))
	}
	return out
}
