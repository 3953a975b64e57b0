package agent

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"boothd/configs"
)

// serverTLS is what a camera is shown, and whom it must be signed by. Cameras
// are old: TLS 1.2 is taken too (reliability reference, S5).
func serverTLS(w World, d configs.Device) (*tls.Config, error) {
	chain, err := w.Secret(d.Cert)
	if err != nil {
		return nil, fmt.Errorf("reading cert: %w", err)
	}
	key, err := w.Secret(d.Key)
	if err != nil {
		return nil, fmt.Errorf("reading key: %w", err)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("cert with key: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if d.CA != "" {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs, err = pool(w, d.CA)
	}
	return c, err
}

// readerTLS is how a reader at tls:// is known; nil for any other.
func readerTLS(w World, d configs.Device) (c *tls.Config, err error) {
	if d.Path.Scheme() != "tls" {
		return nil, nil
	}
	at, _ := d.Path.Network()
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		return nil, err
	}
	c = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if d.CA != "" {
		if c.RootCAs, err = pool(w, d.CA); err != nil {
			return nil, err
		}
	}
	if d.Fingerprint != "" {
		c.InsecureSkipVerify = d.CA == "" // the fingerprint says more than any signature
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if sum := sha256.Sum256(s.PeerCertificates[0].Raw); hex.EncodeToString(sum[:]) != string(d.Fingerprint) {
				return fmt.Errorf("it shows certificate %x, not the one of fingerprint", sum)
			}
			return nil
		}
	}
	if d.CA == "" && d.Fingerprint == "" {
		return nil, errors.New("neither ca nor fingerprint says who the reader is")
	}
	return c, nil
}

func pool(w World, ref configs.Ref) (*x509.CertPool, error) {
	pem, err := w.Secret(ref)
	if err != nil {
		return nil, fmt.Errorf("reading ca: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, errors.New("reading ca: no certificate in it")
	}
	return p, nil
}
