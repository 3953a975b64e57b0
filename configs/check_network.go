package configs

import (
	"fmt"
	"net/netip"
	"slices"
)

// network checks whether a driver may be where its path says, and what makes
// the way there safe.
func (c *checker) network(p string, d *Device, of Kind) {
	path, scheme := sub(p, "path"), d.Path.Scheme()
	if d.Path == "" || c.bad[path] {
		return
	}
	only := func(has func(Kind) bool) string { return "only " + c.kinds.named(has) }
	switch _, web := d.Path.Web(); {
	case web && !of.Posts:
		c.refuse(path, fmt.Sprintf("driver %q is not posted to", d.Driver), only(func(k Kind) bool { return k.Posts })+" is")
	case !web && of.Posts:
		c.refuse(path, "a camera posts to an address of this box", `write path = "https://192.0.2.1:7443/front", or "http://127.0.0.1:7090/front" for a program on this box`)
	case scheme == "tls" && !of.TLS:
		c.refuse(path, fmt.Sprintf("driver %q does not speak TLS", d.Driver), only(func(k Kind) bool { return k.TLS })+" does")
	case scheme == "" && of.TLS:
		c.refuse(path, fmt.Sprintf("driver %q is on the network", d.Driver), `write path = "tcp://reader:port"`)
	}
	keys := map[string]bool{"cert": scheme == "https", "key": scheme == "https", "ca": scheme == "https" || scheme == "tls", "fingerprint": scheme == "tls"}
	for _, k := range []string{"cert", "key", "ca", "fingerprint"} {
		if c.has(sub(p, k)) && !keys[k] && slices.Contains(of.keys(), k) && !c.bad[path] {
			c.refuse(sub(p, k), fmt.Sprintf("%q has no use for it", string(d.Path)), "")
		}
	}
	if scheme == "tls" && of.TLS && d.CA == "" && d.Fingerprint == "" && !c.bad[sub(p, "ca")] && !c.bad[sub(p, "fingerprint")] {
		c.refuse(path, "TLS needs ca or fingerprint to know the reader by", `write ca = "/etc/boothd/tls/readers.pem", or fingerprint = "..." (openssl x509 -noout -fingerprint -sha256)`)
	}
	if of.Calls {
		c.called(p, d)
	}
}

// called checks a camera that connects to the box. Its reports are in clear and it
// shows nothing that it is known by: both must be on the lane's own network.
func (c *checker) called(p string, d *Device) {
	path, from := sub(p, "path"), sub(p, "from")
	if !c.has(from) || c.bad[from] || c.bad[path] {
		return
	}
	addr, _ := d.Path.Network()
	at, err := netip.ParseAddrPort(addr)
	peer, peerErr := netip.ParseAddr(string(d.From))
	switch {
	case d.Path == "":
		return // told already
	case d.Path.Scheme() != "tcp" || err != nil || at.Addr().IsUnspecified():
		c.refuse(path, "a camera connects to an address of this box", `write path = "tcp://10.0.5.1:9001", or leave from out if the box connects`)
	case !near(at.Addr()):
		c.refuse(path, "takes clear text from other networks", "listen at an address of the lane's own network")
	case peerErr != nil || !near(peer):
		c.refuse(from, "is of another network, and its reports are in clear", "put camera and box on a network of the lane's own")
	case peer.IsLoopback() != at.Addr().Unmap().IsLoopback() || peer.Is4() != at.Addr().Unmap().Is4():
		c.refuse(from, fmt.Sprintf("%s cannot reach %s", d.From, at.Addr()), "write the camera's address on the box's network")
	}
}

// near tells whether an address is of this machine or of a network of its own.
func near(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
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
