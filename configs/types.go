package configs

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is a struct so that a bare number is refused: as a named int64,
// "hard_age = 4" would decode in silence as four nanoseconds.
type Duration struct{ time.Duration }

const day = 24 * time.Hour

// UnmarshalText takes "250ms", "4h" or whole days, "7d".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if n, ok := strings.CutSuffix(string(b), "d"); ok {
		var days uint64
		days, err = strconv.ParseUint(n, 10, 16)
		v = time.Duration(days) * day
	}
	if err != nil || v <= 0 {
		return &valueError{msg: fmt.Sprintf("%s is not %s", quoted(string(b)), `a positive duration such as "4h"`)}
	}
	d.Duration = v
	return nil
}

// MarshalText writes what UnmarshalText takes.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String gives whole days as days, the rest as Go does, without empty units.
func (d Duration) String() string {
	if d.Duration > 0 && d.Duration%day == 0 {
		return fmt.Sprintf("%dd", d.Duration/day)
	}
	s := d.Duration.String()
	if t, ok := strings.CutSuffix(s, "m0s"); ok {
		s = t + "m"
	}
	if t, ok := strings.CutSuffix(s, "h0m"); ok {
		s = t + "h"
	}
	return s
}

func (d *Duration) wanted() string { return `a duration such as "4h"` }

// Size is a number of bytes, a struct for Duration's reason.
type Size struct{ Bytes int64 }

// units, greatest first.
var units = [...]struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// UnmarshalText takes a whole number of B, KiB, MiB, GiB or TiB.
func (s *Size) UnmarshalText(b []byte) error {
	digits := strings.TrimRight(string(b), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.TrimSpace(string(b[len(digits):]))
	n, err := strconv.ParseInt(digits, 10, 32)
	names := make([]string, 0, len(units))
	for _, u := range units {
		if u.name == unit && err == nil && n > 0 && n <= (1<<62)/u.bytes {
			s.Bytes = n * u.bytes
			return nil
		}
		names = append(names, u.name)
	}
	e := &valueError{msg: fmt.Sprintf("%s is not a size such as \"512MiB\"", quoted(string(b)))}
	if near := nearest(unit, names); near != "" && near != unit && err == nil {
		e.hint = fmt.Sprintf("did you mean %q?", digits+near)
	}
	return e
}

// MarshalText writes what UnmarshalText takes.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String uses the greatest unit that leaves a whole number.
func (s Size) String() string {
	for _, u := range units {
		if s.Bytes != 0 && s.Bytes%u.bytes == 0 && s.Bytes/u.bytes <= 1<<31-1 {
			return strconv.FormatInt(s.Bytes/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(s.Bytes, 10) + "B"
}

func (s *Size) wanted() string { return `a size such as "512MiB"` }

// BoothID is a booth's name: certificate CN, MQTT client id and topic level at
// once, hence its narrow alphabet (mqtt contract, section 1).
type BoothID string

var boothID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{2,39}$`)

// UnmarshalText takes 3 to 40 of a-z, 0-9 and "-", not beginning with "-".
func (i *BoothID) UnmarshalText(b []byte) error {
	if !boothID.Match(b) {
		return &valueError{msg: quoted(string(b)) + ` is not a booth id: 3 to 40 of a-z, 0-9 and "-", not beginning with "-"`}
	}
	*i = BoothID(b)
	return nil
}

// PortCode is a port of entry as agency and code. The agencies' codes collide,
// so neither means anything alone (domain reference, glossary).
type PortCode string

var portCode = regexp.MustCompile(`^(CBSA|CBP)/[0-9]{4}$`)

// UnmarshalText takes "CBSA/0813" and the like.
func (p *PortCode) UnmarshalText(b []byte) error {
	if !portCode.Match(b) {
		return &valueError{msg: quoted(string(b)) + ` is not a port such as "CBSA/0813": agency CBSA or CBP and four digits, leading zeros kept`}
	}
	*p = PortCode(b)
	return nil
}

func (p *PortCode) wanted() string { return `a port such as "CBSA/0813"` }

// Agency gives "CBSA" or "CBP".
func (p PortCode) Agency() string { a, _, _ := strings.Cut(string(p), "/"); return a }

// Path is an absolute path in its shortest form.
type Path string

// UnmarshalText refuses relative paths: what they are relative to depends on
// who starts the program.
func (p *Path) UnmarshalText(b []byte) error {
	s := string(b)
	switch {
	case !filepath.IsAbs(s):
		return &valueError{msg: quoted(s) + " is not an absolute path", hint: `begin it with "/"`}
	case strings.ContainsRune(s, 0) || len(s) > 4095:
		return &valueError{msg: quoted(s) + " is not a path"}
	}
	*p = Path(filepath.Clean(s))
	return nil
}

// Ref says where something that may be secret is kept: "credential:NAME" (a
// systemd credential) or an absolute path. The secret itself is refused, and
// no message quotes what was written in its place.
type Ref string

var credential = regexp.MustCompile(`^credential:[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// UnmarshalText takes a reference.
func (r *Ref) UnmarshalText(b []byte) error {
	var p Path
	switch {
	case credential.Match(b):
		*r = Ref(b)
		return nil
	case p.UnmarshalText(b) == nil:
		*r = Ref(p)
		return nil
	}
	return &valueError{msg: "want where it is kept, never the secret itself", hint: `write "credential:NAME" or an absolute path`}
}

func (r *Ref) wanted() string { return `"credential:NAME" or an absolute path` }

// Credential gives the name of the systemd credential, if it is one.
func (r Ref) Credential() (name string, ok bool) {
	return strings.CutPrefix(string(r), "credential:")
}

// File gives the file to read; dir is $CREDENTIALS_DIRECTORY. Without one, a
// credential cannot be found and the error says so.
func (r Ref) File(dir string) (string, error) {
	name, ok := r.Credential()
	switch {
	case !ok:
		return string(r), nil
	case dir == "":
		return "", fmt.Errorf("credential %s: no credentials directory (systemd gives one by LoadCredential=)", name)
	}
	return filepath.Join(dir, name), nil
}

// Broker is the address of an MQTT broker: ssl://host:port, or tcp:// to this
// machine only.
type Broker string

// UnmarshalText refuses clear text to anywhere but loopback, and everything in
// an address but scheme, host and port.
func (k *Broker) UnmarshalText(b []byte) error {
	u, err := url.Parse(string(b))
	if err == nil && u.User != nil {
		return &valueError{msg: "an address does not carry a user or password", hint: "use mqtt.username and a certificate"}
	}
	bad := func(why, hint string) error {
		return &valueError{msg: quoted(string(b)) + " " + why, hint: hint}
	}
	if err != nil || u.Host == "" || strings.Trim(u.Path+u.RawQuery+u.Fragment+u.Opaque, "/") != "" {
		return bad(`is not a broker such as "ssl://hq-a:8883"`, "")
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 || u.Hostname() == "" {
		return bad("has no port", fmt.Sprintf("write %q", u.Scheme+"://"+net.JoinHostPort(u.Hostname(), "8883")))
	}
	switch {
	case u.Scheme == "tcp" && !loopback(u.Hostname()):
		return bad("is clear text to another machine", fmt.Sprintf("write %q", "ssl://"+u.Host))
	case !slices.Contains([]string{"ssl", "tcp"}, u.Scheme):
		return bad(`has a scheme other than "ssl"`, fmt.Sprintf("write %q", "ssl://"+u.Host))
	}
	*k = Broker(u.Scheme + "://" + u.Host)
	return nil
}

func (k *Broker) wanted() string { return `a broker such as "ssl://hq-a:8883"` }

// TLS tells whether the link is encrypted.
func (k Broker) TLS() bool { return strings.HasPrefix(string(k), "ssl://") }

// WebURL is where a web server has lists: https://host/folder, or http:// to
// this machine only. It ends in a slash.
type WebURL string

// UnmarshalText refuses clear text to anywhere but loopback, and secrets and
// questions in the address.
func (k *WebURL) UnmarshalText(b []byte) error {
	u, err := url.Parse(string(b))
	bad := func(why, hint string) error {
		return &valueError{msg: quoted(string(b)) + " " + why, hint: hint}
	}
	switch {
	case err == nil && u.User != nil:
		return &valueError{msg: "an address does not carry a user or password", hint: "the booth shows its certificate"}
	case err != nil || u.Hostname() == "" || u.RawQuery+u.Fragment+u.Opaque != "" || len(b) > 256:
		return bad(`is not a folder such as "https://hq-a/lists/"`, "")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return bad("is clear text to another machine", fmt.Sprintf("write %q", "https://"+u.Host+u.Path))
	case u.Scheme != "https" && u.Scheme != "http":
		return bad(`has a scheme other than "https"`, "")
	}
	*k = WebURL(u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/") + "/")
	return nil
}

func (k *WebURL) wanted() string { return `a folder such as "https://hq-a/lists/"` }

// TLS tells whether the link is encrypted.
func (k WebURL) TLS() bool { return strings.HasPrefix(string(k), "https://") }

// Listen is a loopback address and port.
type Listen string

// UnmarshalText refuses everything that another machine could reach.
func (l *Listen) UnmarshalText(b []byte) error {
	at, err := netip.ParseAddrPort(string(b))
	switch {
	case err != nil:
		return &valueError{msg: quoted(string(b)) + ` is not an address such as "127.0.0.1:7080"`}
	case !at.Addr().IsLoopback():
		return &valueError{msg: quoted(string(b)) + " can be reached from other machines", hint: fmt.Sprintf("write %q", fmt.Sprintf("127.0.0.1:%d", at.Port()))}
	}
	*l = Listen(b)
	return nil
}

func (l *Listen) wanted() string { return `an address such as "127.0.0.1:7080"` }

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Port is where a device is: a device file, tcp:// or tls://host:port, or the
// http:// or https:// address of this box that a camera posts to.
type Port string

// UnmarshalText takes an absolute path, tcp:// or tls://host:port, or a URL.
func (p *Port) UnmarshalText(b []byte) error {
	switch scheme, rest, _ := strings.Cut(string(b), "://"); scheme {
	case "tcp", "tls":
		host, port, err := net.SplitHostPort(rest)
		n, numErr := strconv.ParseUint(port, 10, 16)
		if err != nil || numErr != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@ ") {
			return &valueError{msg: quoted(string(b)) + ` is not a port such as "tcp://192.0.2.7:55555"`}
		}
		*p = Port(b)
		return nil
	case "http", "https":
		return p.web(b)
	}
	var path Path
	if err := path.UnmarshalText(b); err != nil {
		return &valueError{msg: quoted(string(b)) + " is neither an absolute path nor tcp://host:port", hint: "boothctl ports lists what is plugged in"}
	}
	*p = Port(path)
	return nil
}

// web takes the address that a camera posts to. Clear text stays on this machine.
func (p *Port) web(b []byte) error {
	u, err := url.Parse(string(b))
	if err == nil && u.User != nil {
		return &valueError{msg: "an address does not carry a user or password", hint: "the camera shows its token"}
	}
	bad := func(why, hint string) error { return &valueError{msg: quoted(string(b)) + " " + why, hint: hint} }
	if err != nil || len(b) > 128 || u.RawQuery+u.Fragment+u.Opaque+u.RawPath != "" {
		return bad(`is not an address such as "https://192.0.2.1:7443/front"`, "")
	}
	at, err := netip.ParseAddrPort(u.Host)
	switch {
	case err != nil || at.Port() == 0:
		return bad("is not at an address of this box", fmt.Sprintf("write %q", u.Scheme+"://127.0.0.1:7090/front"))
	case u.Scheme == "http" && !at.Addr().IsLoopback():
		return bad("takes clear text from other machines", fmt.Sprintf("write %q", "https://"+u.Host+u.Path))
	}
	*p = Port(u.Scheme + "://" + u.Host + "/" + strings.TrimPrefix(u.Path, "/"))
	return nil
}

// Network tells whether a device is reached over the network, or reaches the
// box over it, and where: host:port.
func (p Port) Network() (addr string, ok bool) {
	scheme, rest, ok := strings.Cut(string(p), "://")
	addr, _, _ = strings.Cut(rest, "/")
	return addr, ok && scheme != ""
}

// Scheme gives "tcp", "tls", "http" or "https"; "" for a device file.
func (p Port) Scheme() string {
	scheme, _, ok := strings.Cut(string(p), "://")
	if !ok {
		return ""
	}
	return scheme
}

// Web gives the path of the address that a camera posts to.
func (p Port) Web() (path string, ok bool) {
	_, rest, _ := strings.Cut(string(p), "://")
	_, path, _ = strings.Cut(rest, "/")
	return "/" + path, p.Scheme() == "http" || p.Scheme() == "https"
}

// Fingerprint is the SHA-256 of a certificate in 64 hex digits, with or without
// colons; kept in lower case and without.
type Fingerprint string

// UnmarshalText takes what openssl x509 -fingerprint -sha256 prints.
func (f *Fingerprint) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(strings.ReplaceAll(string(b), ":", ""))
	if err != nil || len(raw) != 32 {
		return &valueError{msg: quoted(string(b)) + " is not the SHA-256 of a certificate, 64 hex digits",
			hint: "openssl x509 -noout -fingerprint -sha256 prints it"}
	}
	*f = Fingerprint(hex.EncodeToString(raw))
	return nil
}

// Field is one part of a camera's report: a name, "name:WIDTH" where columns
// are fixed, or "literal:TEXT".
type Field string

var fieldNames = []string{"plate", "plate_country", "country", "state", "confidence", "camera", "lane",
	"direction", "date", "time", "datetime", "epoch", "speed", "class", "seq", "ignore"}

// UnmarshalText takes a field.
func (f *Field) UnmarshalText(b []byte) error {
	name, arg, has := strings.Cut(string(b), ":")
	n, err := strconv.ParseUint(arg, 10, 8)
	switch {
	case name == "literal" && arg != "" && len(arg) <= 32:
	case !slices.Contains(fieldNames, name):
		return &valueError{msg: fmt.Sprintf("%s is not a field; fields are %s, \"literal:TEXT\"", quoted(string(b)), listed(fieldNames)),
			hint: didYouMean(name, fieldNames)}
	case has && (err != nil || n == 0):
		return &valueError{msg: quoted(string(b)) + ` has no width such as "plate:10", 1 to 255 characters`}
	}
	*f = Field(b)
	return nil
}
