package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"

	"boothd/configs"
	"boothd/devices/webhook"
)

// listener checks that this box has the address that a camera comes to. The port
// is not opened: boothd may have it.
func (k *check) listener(name, addr string) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		k.fix(name, fmt.Sprintf("%s: %v", addr, err), "correct its path")
		return
	}
	if at.Addr().IsUnspecified() {
		k.warn(name, addr+": listens at every address of this box", "write the one of the cameras' network")
		return
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		k.warn(name, fmt.Sprintf("%s: addresses of this box: %v", addr, err), "")
		return
	}
	for _, a := range all {
		if own, err := netip.ParsePrefix(a.String()); err == nil && own.Addr().Unmap() == at.Addr().Unmap() {
			k.ok(name, addr+": an address of this box; the camera comes there")
			return
		}
	}
	k.fix(name, addr+": this box has no such address", "ip address lists those it has")
}

// secrets checks what a device on the network is known by.
func (k *check) secrets(d configs.Device) {
	name := "device " + d.Name
	if d.Token != "" {
		path, b := k.open(name+" token", d.Token, true)
		switch n := len(bytes.TrimSpace(b)); {
		case b == nil:
		case n < webhook.TokenLeast || n > webhook.TokenMost:
			k.fix(name+" token", fmt.Sprintf("%s: %d characters, not %d to %d", path, n, webhook.TokenLeast, webhook.TokenMost),
				"make one: openssl rand -hex 24 > "+path+", and give it to the camera")
		default:
			k.ok(name+" token", path+": readable by boothd alone")
		}
	}
	if d.CA != "" {
		if path, b := k.open(name+" ca", d.CA, false); b != nil {
			k.ca(name+" ca", path, b)
		}
	}
	if d.Cert == "" {
		return
	}
	path, cert := k.open(name+" cert", d.Cert, false)
	if cert != nil {
		certs, err := parseCerts(cert)
		if err != nil {
			k.fix(name+" cert", fmt.Sprintf("%s: %v", path, err), "put the certificate that the camera is shown there")
			cert = nil
		} else {
			k.valid(name+" cert", path, certs[0], certs[0].Subject.CommonName)
		}
	}
	keyPath, key := k.open(name+" key", d.Key, true)
	if key == nil || cert == nil {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		k.fix(name+" key", fmt.Sprintf("%s: not the key of %s", keyPath, path), "install certificate and key of one request together")
		return
	}
	k.ok(name+" key", keyPath+": readable by boothd alone, belongs to the certificate")
}
