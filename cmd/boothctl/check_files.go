package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/configs"
)

const (
	maxRead = 512 << 10 // of a certificate, key or root; the largest known is a CA bundle of 220 KiB
	// soon is when a certificate is worth a word: certificates live 90 days or
	// more (mqtt contract, section 10; reliability reference, fault matrix).
	soon = 30 * 24 * time.Hour
)

// credentialDirs is where systemd looks for credentials by name, and where the
// running unit has them. $CREDENTIALS_DIRECTORY comes before.
var credentialDirs = [...]string{"/run/credentials/boothd.service", "/etc/credstore.encrypted", "/etc/credstore",
	"/run/credstore.encrypted", "/run/credstore", "/usr/lib/credstore.encrypted", "/usr/lib/credstore"}

func (k *check) files() {
	k.part = "files"
	k.root()
	k.tokenKey()
	k.signingKey()
	k.commandKeys()
	k.matcherKey()
	k.store()
	k.mqtt()
	for _, d := range k.cfg.Devices {
		k.secrets(d)
		if d.Zone == "" {
			continue
		}
		if _, err := time.LoadLocation(d.Zone); err != nil {
			k.fix("device "+d.Name, "this machine does not know time zone "+d.Zone, "apt install tzdata, or write a zone it knows")
		}
	}
}

// whereIs is where a reference points to: a file, or the folder in which systemd
// finds a credential of that name. It is "" if there is nothing.
func whereIs(ref configs.Ref) (path, dir string) {
	cred, ok := ref.Credential()
	if !ok {
		if _, err := os.Stat(string(ref)); errors.Is(err, fs.ErrNotExist) {
			return "", ""
		}
		return string(ref), ""
	}
	dirs := credentialDirs[:]
	if d := os.Getenv("CREDENTIALS_DIRECTORY"); d != "" {
		dirs = append([]string{d}, dirs...)
	}
	i := slices.IndexFunc(dirs, func(d string) bool { _, err := os.Stat(filepath.Join(d, cred)); return err == nil })
	if i < 0 {
		return "", ""
	}
	return filepath.Join(dirs[i], cred), filepath.Base(dirs[i])
}

// open finds what a reference points to and reads it. It reports what is
// wrong; data is nil if it could not be read.
func (k *check) open(name string, ref configs.Ref, secret bool) (path string, data []byte) {
	path, dir := whereIs(ref)
	cred, ok := ref.Credential()
	switch {
	case !ok:
		path = string(ref)
	case path == "":
		k.fix(name, fmt.Sprintf("no credential %q", cred),
			fmt.Sprintf("systemd-creds encrypt --name=%s FILE /etc/credstore.encrypted/%s", cred, cred))
		return "", nil
	case dir == "credstore.encrypted":
		k.ok(name, path+": sealed; boothd opens it at start")
		return "", nil
	case dir == "credstore":
		k.fix(name, path+": not sealed, and boothd.service takes sealed ones only",
			fmt.Sprintf("systemd-creds encrypt --name=%s %s /etc/credstore.encrypted/%s, then shred -u %s", cred, path, cred, path))
		return "", nil
	}
	return path, k.readable(name, path, secret)
}

// readable reads a file that the daemon must be able to read; a secret must be
// readable by nobody else.
func (k *check) readable(name, path string, secret bool) []byte {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		k.fix(name, describe(path, err), "put the file there, or correct "+name)
		return nil
	case !info.Mode().IsRegular():
		k.fix(name, path+": not a file", "correct "+name)
		return nil
	case info.Size() > maxRead:
		k.fix(name, fmt.Sprintf("%s: %d bytes, more than %d", path, info.Size(), maxRead), "correct "+name)
		return nil
	case secret && info.Mode().Perm()&0o077 != 0:
		k.fix(name, fmt.Sprintf("%s: mode %04o, others may read it", path, info.Mode().Perm()), "chmod 0600 "+path)
		return nil
	case !k.who.may(info, 4):
		k.fix(name, fmt.Sprintf("%s: %s may not read it (mode %04o)", path, k.who.name, info.Mode().Perm()), "chown boothd "+path)
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		k.fix(name, describe(path, err), "run boothctl check as root")
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRead))
	if err != nil {
		k.fix(name, describe(path, err), "")
		return nil
	}
	return b
}

// describe gives "path: reason" once.
func describe(path string, err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Sprintf("%s: %v", path, err)
}

// root checks what trust in lists starts from; it is judged by the TUF library.
func (k *check) root() {
	const name = "lists.root"
	path := string(k.cfg.Lists.Root)
	b := k.readable(name, path, false)
	if b == nil {
		return
	}
	root, err := parseRoot(b)
	switch {
	case err != nil:
		k.fix(name, fmt.Sprintf("%s: not a signed TUF root: %v", path, err), "copy root.json from headquarters' list office again")
	case root.Signed.IsExpired(k.now):
		// An expired first root is lawful: newer ones are fetched and chain from it.
		k.warn(name, fmt.Sprintf("%s: version %d expired %s", path, root.Signed.Version, date(root.Signed.Expires)),
			"a newer root comes with the lists; to be safe, copy it from the list office")
	default:
		k.ok(name, fmt.Sprintf("%s: version %d, until %s", path, root.Signed.Version, date(root.Signed.Expires)))
	}
}

// parseRoot reads a root that its own keys have signed. The library may panic
// on hostile input, which must not take the tool down.
func parseRoot(b []byte) (root *metadata.Metadata[metadata.RootType], err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed: %v", p)
		}
	}()
	root, err = metadata.Root().FromBytes(b)
	if err != nil {
		return nil, err
	}
	return root, root.VerifyDelegate("root", root)
}

// madeByUnit is what StateDirectory= of boothd.service makes at the first start.
const madeByUnit = "/var/lib/boothd"

func (k *check) store() {
	const name = "store.dir"
	s := k.cfg.Store
	dir := string(s.Dir)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && dir == madeByUnit:
		k.ok(name, dir+": not there yet; boothd.service makes it")
		return
	case err != nil:
		k.fix(name, describe(dir, err), "install -d -o boothd -g boothd -m 0700 "+dir)
		return
	case !info.IsDir():
		k.fix(name, dir+": not a directory", "correct store.dir")
		return
	case !k.who.may(info, 7):
		k.fix(name, fmt.Sprintf("%s: %s may not write there (mode %04o)", dir, k.who.name, info.Mode().Perm()), "chown boothd:boothd "+dir)
		return
	case info.Mode().Perm()&0o007 != 0:
		k.warn(name, fmt.Sprintf("%s: mode %04o lets everybody look in", dir, info.Mode().Perm()), "chmod 0700 "+dir)
	}
	free, err := freeBytes(dir)
	switch {
	case err != nil:
		k.fix(name, err.Error(), "")
	case free < s.MaxBytes.Bytes:
		k.warn(name, fmt.Sprintf("%s: %d MiB free, store.max_bytes is %s", dir, free>>20, s.MaxBytes), "make room, or lower store.max_bytes")
	default:
		k.ok(name, fmt.Sprintf("%s: writable, %d MiB free", dir, free>>20))
	}
}

func (k *check) mqtt() {
	m := k.cfg.MQTT
	if !slices.ContainsFunc(m.Brokers, configs.Broker.TLS) {
		k.warn("mqtt.brokers", "no TLS: good for a test on this machine only", "")
		return
	}
	if path, b := k.open("mqtt.ca", m.CA, false); b != nil {
		k.ca("mqtt.ca", path, b)
	}
	certPath, cert := k.open("mqtt.cert", m.Cert, false)
	if cert != nil && !k.cert(certPath, cert) {
		cert = nil
	}
	keyPath, key := k.open("mqtt.key", m.Key, true)
	if key == nil {
		return
	}
	if block, _ := pem.Decode(key); block == nil {
		k.fix("mqtt.key", keyPath+": no PEM key in it", "copy the booth's private key there")
		return
	}
	if cert == nil {
		k.ok("mqtt.key", keyPath+": readable by boothd alone")
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		k.fix("mqtt.key", fmt.Sprintf("%s: not the key of %s", keyPath, certPath), "install certificate and key of one request together")
		return
	}
	k.ok("mqtt.key", keyPath+": readable by boothd alone, belongs to the certificate")
}

// ca wants at least one authority that is still valid.
func (k *check) ca(name, path string, b []byte) {
	certs, err := parseCerts(b)
	if err != nil {
		k.fix(name, fmt.Sprintf("%s: %v", path, err), "copy the authority's certificate there again")
		return
	}
	last := slices.MaxFunc(certs, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	k.valid(name, path, last, fmt.Sprintf("%d certificates", len(certs)))
}

// cert checks the booth's own certificate; it tells whether it could be parsed.
func (k *check) cert(path string, b []byte) bool {
	const name = "mqtt.cert"
	certs, err := parseCerts(b)
	if err != nil {
		k.fix(name, fmt.Sprintf("%s: %v", path, err), "copy the booth's certificate there")
		return false
	}
	leaf := certs[0]
	id := string(k.cfg.Booth.ID)
	switch {
	case leaf.Subject.CommonName != id:
		k.fix(name, fmt.Sprintf("%s: made out to %q, this booth is %q", path, leaf.Subject.CommonName, id),
			"brokers let a booth speak under its own name only: get its own certificate, or correct booth.id")
	case len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) &&
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		k.fix(name, path+": not made for clients (extended key usage)", "ask for one with clientAuth")
	default:
		k.valid(name, path, leaf, leaf.Subject.CommonName)
	}
	return true
}

// valid judges a certificate's time against this machine's clock.
func (k *check) valid(name, path string, c *x509.Certificate, what string) {
	left := c.NotAfter.Sub(k.now)
	switch {
	case k.now.Before(c.NotBefore):
		k.fix(name, fmt.Sprintf("%s: valid from %s only, and the clock here says %s", path, date(c.NotBefore), date(k.now)), "set the clock: timedatectl")
	case left <= 0:
		k.fix(name, fmt.Sprintf("%s: expired %s", path, date(c.NotAfter)), "renew it, then systemctl reload boothd")
	case left < soon:
		k.warn(name, fmt.Sprintf("%s: expires %s, in %d days", path, date(c.NotAfter), int(left.Hours()/24)), "renew it, then systemctl reload boothd")
	default:
		k.ok(name, fmt.Sprintf("%s: %s, until %s", path, what, date(c.NotAfter)))
	}
}

// parseCerts reads PEM certificates, of which there must be one.
func parseCerts(b []byte) (certs []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		block, b = pem.Decode(b)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading certificate: %w", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("no PEM certificate in it")
	}
	return certs, nil
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }
