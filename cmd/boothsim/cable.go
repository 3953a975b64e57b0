package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"boothd/configs"
	"boothd/devices/sim"
)

// cable is the line of one device that is played: a pty, a port that the booth
// connects to, or one of the booth's that the device connects to. To unplug it is to pull the plug.
type cable struct {
	path   configs.Port              // where the booth looks for it; "": a pty anywhere
	serve  func(io.ReadWriter) error // plays the device until the line ends; nil: it only writes
	secure *tls.Config               // of tls://
	calls  bool                      // it connects to the booth, again and again
	at     configs.Port              // where it is
	served sync.WaitGroup            // goroutines that serve

	mu    sync.Mutex // commands plug and unplug, connections come
	pty   *sim.PTY
	door  net.Listener
	conns map[net.Conn]bool
	// hangUp ends what calls.
	hangUp context.CancelFunc
}

// Write says what a device says by itself. Nobody hears it while the cable is
// unplugged or nobody has connected.
func (c *cable) Write(b []byte) (int, error) {
	c.mu.Lock()
	pty := c.pty
	var conns []net.Conn
	for conn := range c.conns {
		conns = append(conns, conn)
	}
	c.mu.Unlock()
	if pty != nil {
		return pty.Write(b)
	}
	for _, conn := range conns {
		_, _ = conn.Write(b) // one that has gone is no listener
	}
	return len(b), nil
}

// plug puts the device where the booth looks for it.
func (c *cable) plug() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.pty != nil || c.door != nil || c.hangUp != nil:
		return errors.New("it is plugged in")
	case c.calls:
		c.call()
		return nil
	case c.path.Scheme() != "":
		return c.listen()
	}
	pty, path, err := sim.OpenPTY()
	if err != nil {
		return err
	}
	if c.path != "" {
		if err := link(path, string(c.path)); err != nil {
			return errors.Join(err, pty.Close())
		}
	}
	c.pty, c.at = pty, configs.Port(path)
	if c.serve != nil {
		c.served.Go(func() { _ = c.serve(pty) }) // ends when the pty is closed
	}
	return nil
}

// listen waits for the booth on the network. The caller holds mu.
func (c *cable) listen() error {
	addr, _ := c.path.Network()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	c.at = configs.Port(c.path.Scheme() + "://" + ln.Addr().String())
	if c.secure != nil {
		ln = tls.NewListener(ln, c.secure)
	}
	c.door, c.conns = ln, map[net.Conn]bool{}
	c.served.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // unplugged
			}
			c.mu.Lock()
			if c.door != ln {
				c.mu.Unlock()
				_ = conn.Close() // unplugged meanwhile
				return
			}
			c.conns[conn] = true
			c.mu.Unlock()
			c.served.Go(func() { c.answer(conn) })
		}
	})
	return nil
}

// callEvery is how often a device tries to connect to a booth that is not there.
const callEvery = 200 * time.Millisecond

// call connects to the booth until it is unplugged, and anew when the booth has
// gone. The caller holds mu.
func (c *cable) call() {
	ctx, cancel := context.WithCancel(context.Background())
	addr, _ := c.path.Network()
	c.at, c.hangUp, c.conns = c.path, cancel, map[net.Conn]bool{}
	c.served.Go(func() {
		for ctx.Err() == nil {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err == nil {
				c.mu.Lock()
				if c.conns != nil {
					c.conns[conn] = true
				} else {
					_ = conn.Close() // unplugged meanwhile
				}
				c.mu.Unlock()
				c.answer(conn)
			}
			select {
			case <-ctx.Done():
			case <-time.After(callEvery):
			}
		}
	})
}

// answer plays the device on one connection.
func (c *cable) answer(conn net.Conn) {
	if c.serve != nil {
		_ = c.serve(conn) // ends with the connection
	} else {
		_, _ = io.Copy(io.Discard, conn) // likewise
	}
	c.mu.Lock()
	delete(c.conns, conn)
	c.mu.Unlock()
	_ = conn.Close() // it has ended
}

// unplug pulls the plug. One that is out stays out.
func (c *cable) unplug() error {
	c.mu.Lock()
	var errs []error
	if c.pty != nil {
		errs = append(errs, c.pty.Close())
		if c.path != "" {
			errs = append(errs, os.Remove(string(c.path)))
		}
	}
	if c.door != nil {
		errs = append(errs, c.door.Close())
	}
	if c.hangUp != nil {
		c.hangUp()
	}
	for conn := range c.conns {
		_ = conn.Close() // whoever serves it sees that
	}
	c.pty, c.door, c.conns, c.hangUp = nil, nil, nil, nil
	c.mu.Unlock()
	c.served.Wait()
	return errors.Join(errs...)
}

// free lets the next driver have the line of one that was killed.
func (c *cable) free() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pty != nil {
		_ = c.pty.Free() // a line that is unplugged needs none
	}
}

// link puts a pty where a device is looked for. What is there is left alone,
// but for a link of a run that had no time to take it away.
func link(pty, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s is no device file", path)
	}
	if at, err := os.Readlink(path); err == nil && strings.HasPrefix(at, "/dev/pts/") {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return os.Symlink(pty, path)
}

// certify makes a certificate for a reader at tls:// and writes it where the
// booth looks for who signs it. A file that is there is left alone.
func certify(host string, ca string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "boothsim"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 30),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(ca, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("a simulated reader has a certificate of its own: %w", err)
	}
	if err := errors.Join(pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: der}), f.Close()); err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, nil
}
