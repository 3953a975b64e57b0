package configs

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// quietLeast is how long a camera may be silent at least: one that is heard of
// again is open for so long, and its listener closed for a moment only.
const quietLeast = 30 * time.Second

// network checks whether a driver may be where its path says, and what makes
// the way there safe.
func (c *checker) network(p string, d *Device) {
	path, scheme := sub(p, "path"), d.Path.Scheme()
	if d.Path == "" || c.bad[path] {
		return
	}
	switch _, web := d.Path.Web(); {
	case web && d.Driver != Webhook:
		c.refuse(path, fmt.Sprintf("driver %q is not posted to", d.Driver), `only driver "webhook" is`)
	case !web && d.Driver == Webhook:
		c.refuse(path, "a camera posts to an address of this box", `write path = "https://192.0.2.1:7443/front", or "http://127.0.0.1:7090/front" for a program on this box`)
	case scheme == "tls" && d.Driver != LLRP:
		c.refuse(path, fmt.Sprintf("driver %q does not speak TLS", d.Driver), `only driver "llrp" does`)
	case scheme == "" && d.Driver == LLRP:
		c.refuse(path, "an LLRP reader is on the network", `write path = "tcp://reader:5084"`)
	}
	keys := map[string]bool{"cert": scheme == "https", "key": scheme == "https", "ca": scheme == "https" || scheme == "tls", "fingerprint": scheme == "tls"}
	for _, k := range []string{"cert", "key", "ca", "fingerprint"} {
		if c.has(sub(p, k)) && !keys[k] && slices.Contains(driverKeys[d.Driver], k) && !c.bad[path] {
			c.refuse(sub(p, k), fmt.Sprintf("%q has no use for it", string(d.Path)), "")
		}
	}
	if scheme == "tls" && d.Driver == LLRP && d.CA == "" && d.Fingerprint == "" && !c.bad[sub(p, "ca")] && !c.bad[sub(p, "fingerprint")] {
		c.refuse(path, "TLS needs ca or fingerprint to know the reader by", `write ca = "/etc/boothd/tls/readers.pem", or fingerprint = "..." (openssl x509 -noout -fingerprint -sha256)`)
	}
}

func (c *checker) webhook(p string, d *Device) {
	c.need(sub(p, "template"), `template = "plate-recognizer"`)
	c.need(sub(p, "token"), `token = "credential:front-token", 16 to 256 characters that the camera shows`)
	if d.Path.Scheme() == "https" {
		c.need(sub(p, "cert"), `cert = "/etc/boothd/tls/front.pem"`)
		c.need(sub(p, "key"), `key = "credential:front-key"`)
	}
	if path := sub(p, "quiet"); c.has(path) {
		c.span(path, d.Quiet, quietLeast, 24*time.Hour, "")
	}
	if path := sub(p, "window"); c.has(path) {
		c.span(path, d.Window, time.Millisecond, time.Minute, "")
	}
}

// template checks that a template is one of the driver's.
func (c *checker) template(p string, d *Device) {
	path, have := sub(p, "template"), templatesOf[d.Driver]
	if d.Template == "" || c.bad[path] || slices.Contains(have, d.Template) {
		return
	}
	words := make([]string, len(have))
	for i, t := range have {
		words[i] = string(t)
	}
	c.refuse(path, fmt.Sprintf("driver %q has no template %q", d.Driver, d.Template), "it has "+listed(words))
}

// Host is the address of one machine.
type Host string

// UnmarshalText takes an IP address, not a name: who may connect is not for a
// name server to say.
func (h *Host) UnmarshalText(b []byte) error {
	a, err := netip.ParseAddr(string(b))
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return &valueError{msg: quoted(string(b)) + ` is not the address of a machine such as "10.0.5.30"`}
	}
	*h = Host(a.Unmap().String())
	return nil
}

func (h *Host) wanted() string { return `an address such as "10.0.5.30"` }
