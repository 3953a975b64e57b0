package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"boothd/agent/uplink/line"
)

// brokerFlags say where the broker is and who calls it.
type brokerFlags struct {
	Broker []string `required:"" help:"Broker as ssl://host:port (or tcp:// on this machine), in order of preference." placeholder:"URL"`
	callerFlags
}

func (c *brokerFlags) secrets() (*tls.Config, string, error) { return c.callerFlags.secrets(c.Broker) }

// calls is how each broker is called.
func (c *brokerFlags) calls(clientID string) ([]line.Config, error) {
	tls, password, err := c.secrets()
	if err != nil {
		return nil, err
	}
	var calls []line.Config
	for _, b := range c.Broker {
		var at *url.URL
		if at, err = line.ParseBroker(b, tls); err != nil {
			return nil, err
		}
		calls = append(calls, line.Config{Broker: at, ClientID: clientID, Username: clientID, Password: password, TLS: tls, Dial: new(net.Dialer).DialContext})
	}
	return calls, nil
}

// callerFlags say who calls a broker.
type callerFlags struct {
	CA           string `name:"ca" type:"existingfile" help:"Certificates that sign the brokers'."`
	Cert         string `type:"existingfile" help:"Certificate of this program; its common name is its user name."`
	Key          string `type:"existingfile" help:"Its private key."`
	PasswordFile string `help:"Read the MQTT password from this file, where there is one." type:"existingfile"`
}

// secrets reads what the flags name; the TLS settings are nil without any, for
// brokers on this machine.
func (c *callerFlags) secrets(brokers []string) (*tls.Config, string, error) {
	for _, b := range brokers {
		if err := clear(b); err != nil {
			return nil, "", &failure{err, "use ssl://, with --ca, --cert and --key", exitUsage}
		}
	}
	cfg, err := c.tls(brokers)
	if err != nil {
		return nil, "", &failure{err, "--ca, --cert and --key go together", exitUsage}
	}
	if c.PasswordFile == "" {
		return cfg, "", nil
	}
	b, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return nil, "", fmt.Errorf("reading --password-file: %w", err)
	}
	return cfg, strings.TrimSpace(string(b)), nil
}

// clear refuses to speak in clear over a network: receipts decide what booths
// may throw away.
func clear(broker string) error {
	u, err := url.Parse(broker)
	if err != nil || u.Scheme != "tcp" || u.Hostname() == "localhost" {
		return nil // what else is wrong is told on connecting
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("broker %s: in clear, and not on this machine", broker)
}

func (c *callerFlags) tls(brokers []string) (*tls.Config, error) {
	if c.CA == "" && c.Cert == "" && c.Key == "" {
		for _, b := range brokers {
			if strings.HasPrefix(b, "ssl:") {
				return nil, fmt.Errorf("broker %s: needs --ca, --cert and --key", b)
			}
		}
		return nil, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("reading --ca: %w", err)
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca %s: no certificate in it", c.CA)
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("reading --cert and --key: %w", err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg, nil
}
