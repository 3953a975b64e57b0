package llrp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// certificate is that of a reader called reader.example, and who trusts it.
func certificate(t *testing.T) (reader, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"reader.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "reader.example"}
}

// Under TLS all is as without: quiet hours, reads, the end.
func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, client := certificate(t)
		near, far := net.Pipe()
		s := &Sim{Every: time.Second}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = s.Serve(tls.Server(far, reader)) // ends with the wire
			_ = far.Close()
		}()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := Open(ctx, pipe{near}, Config{Name: "lane", TLS: client})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Hour, func() { s.Present(card) })
		reads := 0
		for read, e := range r.Reads(ctx) {
			if err = e; err == nil && read.Tag.EPC != cardEPC {
				t.Errorf("%+v", read)
			}
			if reads++; reads == 3 {
				cancel()
			}
		}
		if reads != 4 || !errors.Is(err, context.Canceled) || s.Acks() != 360 {
			t.Errorf("%d reads, %v, %d keep-alives", reads, err, s.Acks())
		}
		<-served
	})
}

// Silence is told at once, so that the driver hears that its time is over.
func TestTLSLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, client := certificate(t)
		near, far := net.Pipe()
		go func() {
			_ = (&Sim{}).Serve(tls.Server(far, reader)) // ends with the wire
			_ = far.Close()
		}()
		ctx, cancel := context.WithCancel(t.Context())
		r, err := Open(ctx, pipe{near}, Config{Name: "lane", TLS: client})
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan error)
		go func() {
			for _, err := range r.Reads(ctx) {
				over <- err
			}
		}()
		time.Sleep(time.Second)
		from := time.Now()
		cancel()
		if err, took := <-over, time.Since(from); !errors.Is(err, context.Canceled) || took > 200*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// A reader that cannot be trusted, or does not speak TLS, is not used.
func TestTLSRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(reader, client *tls.Config)
		took time.Duration
	}{
		"another name":      {func(_, client *tls.Config) { client.ServerName = "other.example" }, 0},
		"another authority": {func(_, client *tls.Config) { client.RootCAs = x509.NewCertPool() }, 0},
		"speaks LLRP":       {nil, 0},
		"silent":            {func(reader, _ *tls.Config) { reader.Certificates = nil }, shakeWait},
	} {
		synctest.Test(t, func(t *testing.T) {
			reader, client := certificate(t)
			near, far := net.Pipe()
			s := &Sim{}
			switch {
			case tc.took > 0: // takes everything and says nothing
				go func() {
					for b := make([]byte, 4096); ; {
						if _, err := far.Read(b); err != nil {
							return
						}
					}
				}()
			case tc.edit == nil:
				go func() { _ = s.Serve(far) }()
			default:
				tc.edit(reader, client)
				go func() {
					_ = s.Serve(tls.Server(far, reader))
					_ = far.Close()
				}()
			}
			from := time.Now()
			_, err := Open(t.Context(), pipe{near}, Config{Name: "lane", TLS: client})
			var later interface{ RetryAfter() time.Duration }
			if took := time.Since(from); err == nil || !errors.As(err, &later) || later.RetryAfter() != 30*time.Second || took > tc.took+time.Second || took < tc.took {
				t.Errorf("%s: %v after %v", name, err, took)
			}
			if heard := s.Heard(); len(heard) > 0 {
				t.Errorf("%s: the reader was told %d", name, heard)
			}
			_ = far.Close()
		})
	}
}
