package configs

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
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
		if c.has(sub(p, k)) && !keys[k] && slices.Contains(d.Driver.entry().allKeys(), k) && !c.bad[path] {
			c.refuse(sub(p, k), fmt.Sprintf("%q has no use for it", string(d.Path)), "")
		}
	}
	if scheme == "tls" && d.Driver == LLRP && d.CA == "" && d.Fingerprint == "" && !c.bad[sub(p, "ca")] && !c.bad[sub(p, "fingerprint")] {
		c.refuse(path, "TLS needs ca or fingerprint to know the reader by", `write ca = "/etc/boothd/tls/readers.pem", or fingerprint = "..." (openssl x509 -noout -fingerprint -sha256)`)
	}
}

func (c *checker) webhook(p string, d *Device) {
	c.need(sub(p, "template"), `template = "plate-recognizer", or "custom" and its paths`)
	c.posted(p, d)
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

// postedPath is where something is in a posted report: keys with dots between
// them, "[]" behind one that is a list.
var postedPath = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}(\[\])?(\.[A-Za-z0-9_-]{1,32}(\[\])?)*$`)

// postedParts are what may be told of a posted report, and postedMost the
// characters of where it is, at most.
var postedParts = []string{"plate", "confidence", "region", "candidate", "camera", "time", "event"}

const postedMost = 63

// posted checks where in a camera's posted reports is what.
func (c *checker) posted(p string, d *Device) {
	at := sub(p, "paths")
	for _, part := range slices.Sorted(maps.Keys(d.Paths)) {
		path, where := sub(at, part), d.Paths[part]
		switch {
		case !slices.Contains(postedParts, part):
			c.refuse(path, "no part of a report", cmp.Or(didYouMean(part, postedParts), "parts are "+listed(postedParts)))
		case len(where) > postedMost || !postedPath.MatchString(where):
			c.refuse(path, quoted(where)+" is no place in a report", `write keys with dots between them and [] behind a list, such as "results[].plate"`)
		}
	}
	for i, part := range postedParts {
		for _, other := range postedParts[:i] {
			if where := d.Paths[part]; where != "" && where == d.Paths[other] {
				c.refuse(sub(at, part), "is where "+other+" is", "")
			}
		}
	}
	plates, _, several := strings.Cut(d.Paths["plate"], "[]")
	switch {
	case d.Template == "" || c.bad[sub(p, "template")]:
	case d.Paths["plate"] == "":
		c.refuse(at, `it does not say where the plate is`, `write paths = { plate = "results[].plate" }`)
	case strings.Count(d.Paths["plate"], "[]") > 1:
		c.refuse(sub(at, "plate"), "the plate is in a list of lists", "")
	default:
		for _, part := range []string{"confidence", "region", "candidate"} {
			if where := d.Paths[part]; where != "" && several && !strings.HasPrefix(where, plates+"[].") {
				c.refuse(sub(at, part), fmt.Sprintf("%q is not of one plate: those are in %q", where, plates+"[]"), "")
			}
		}
	}
	if (d.Seen == "") != (d.Paths["event"] == "") {
		c.refuse(sub(p, "seen"), "paths.event and what stands there when a plate was seen belong together", "write both or neither")
	}
	if path := sub(p, "confidence_scale"); c.has(path) && !slices.Contains([]int{1, 100, 1000}, d.ConfidenceScale) {
		c.refuse(path, fmt.Sprintf("%d is not one of 1 100 1000", d.ConfidenceScale), "")
	}
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
