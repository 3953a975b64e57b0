// Package configs is what the technician wrote: one TOML file and the files of
// conf.d beside it, decoded strictly, completed with defaults and checked
// before anything starts.
//
// Spans are time.Duration, sizes bytes, powers dBm, rates and confidences
// fractions from 0 to 1. Every fault of every file is reported at once, each
// with file, line, column, what is allowed and the nearest valid name. Nothing
// is opened but the configuration itself: whether a certificate, a port or a
// chip is there is for boothctl check and for the daemon's start.
//
// The text is parsed by go-toml; the values are bound here and not by its
// decoder, because that one stops at the first value of a wrong type, takes
// keys in any case and forgets where a key stood once decoding is over.
//
// Source: product design, section 3; domain reference, 7.5; mqtt contract,
// sections 1, 5 and 10.
package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// Schema is the only version of the file format that this package reads.
const Schema = 1

// Config is one booth's whole configuration with every default filled in. It
// comes from Load or Parse, is valid, and is not changed afterwards.
type Config struct {
	Schema   int      `toml:"schema"`
	Socket   Path     `toml:"socket,omitempty"` // control socket for boothctl
	Booth    Booth    `toml:"booth"`
	Lane     Lane     `toml:"lane"`
	Policy   Policy   `toml:"policy"`
	Lists    Lists    `toml:"lists"`
	Store    Store    `toml:"store"`
	MQTT     MQTT     `toml:"mqtt"`
	Commands Commands `toml:"commands"`
	Devices  []Device `toml:"device,omitempty"`
	GPIO     GPIO     `toml:"gpio,omitempty"`
	Boards   []Board  `toml:"board,omitempty" json:",omitempty"`
	Kiosk    Kiosk    `toml:"kiosk,omitempty"`
	Status   Status   `toml:"status"`
	Clock    Clock    `toml:"clock"`

	// Warnings are doubts that do not keep the booth from starting.
	Warnings Problems `toml:"-" json:"-"`

	as map[LaneType]*Config // for each of Lane.Others
}

// Booth says which booth this is.
type Booth struct {
	ID        BoothID   `toml:"id"`             // unique in the country; also certificate CN and MQTT client id
	Port      PortCode  `toml:"port"`           // "CBSA/0813"
	Direction Direction `toml:"direction"`      // of the traffic: whose rules apply
	Site      string    `toml:"site,omitempty"` // for people, in state/info; at most 64 characters
	// SigningKey signs checkpoints of the journal: PKCS#8 PEM, Ed25519; default
	// credential:booth-key.
	SigningKey Ref `toml:"signing_key"`
}

// Lane says what kind of lane it is and how the traveller's light behaves.
type Lane struct {
	Type       LaneType  `toml:"type"`
	LightMode  LightMode `toml:"light_mode"`
	RandomRate float64   `toml:"random_rate"` // 0..1, default 0.02
	// Others are the types that the officer may change the lane to between two
	// vehicles, and back; none: it is always of its Type.
	Others []LaneType `toml:"others,omitempty" json:",omitempty"`
}

// Policy is what the port has laid down (domain reference, 7.5).
type Policy struct {
	AcceptedPrograms   []Program `toml:"accepted_programs"`    // default NEXUS; into the US also SENTRI
	TIDRequired        bool      `toml:"tid_required"`         // default false
	AntiPassback       bool      `toml:"anti_passback"`        // default true
	AntiPassbackWindow Duration  `toml:"anti_passback_window"` // default 10m, at most 24h
	PlateConfidence    float64   `toml:"plate_confidence"`     // 0..1, default 0.8; under it: reason 601
	PlateJurisdiction  bool      `toml:"plate_jurisdiction"`   // default true: none reported is reason 601
	ReaderCapacity     int       `toml:"reader_capacity"`      // cards, default 8: reason 503 above

	LookoutRegions []string   `toml:"lookout_regions,omitempty" json:",omitempty"` // whose lookouts count; none: everybody's
	FASTPolicy     FASTPolicy `toml:"fast_policy,omitempty"`                       // default PIP_OR_BOTH, into the US CTPAT
	FASTPort       bool       `toml:"fast_port,omitempty"`                         // the port takes part in FAST; else reason 709
	AllowEmpty     bool       `toml:"allow_empty,omitempty"`                       // empty trucks may be expedited; else reason 711
	VerdictAge     Duration   `toml:"verdict_age,omitempty"`                       // default 30s, which is also the most: reason 853 above
	// Reasons that weigh more here than in the table: at least PRIMARY, or REFER.
	PrimaryOn []int `toml:"primary_on,omitempty" json:",omitempty"`
	ReferOn   []int `toml:"refer_on,omitempty" json:",omitempty"`
}

// Kiosk says how a kiosk's face matcher reaches the booth. Other lanes have none.
type Kiosk struct {
	Matcher    Path `toml:"matcher,omitempty"`     // unix socket; default /run/boothd/matcher.sock
	MatcherKey Ref  `toml:"matcher_key,omitempty"` // the key shared with it, 64 hex digits; default credential:matcher-key
}

// Lists says how old lists may get and whom to trust for them.
type Lists struct {
	SoftAge Duration `toml:"soft_age"` // default 15m: reason 211
	HardAge Duration `toml:"hard_age"` // default 4h, at most 24h: reason 204
	Root    Path     `toml:"root"`     // TUF root to start trust from
	Key     Ref      `toml:"key"`      // port key for tokens, 64 hex digits
	// URLs are where lists are fetched from, in order of preference; none: they
	// come over MQTT or on a stick alone.
	URLs   []WebURL `toml:"urls,omitempty" json:",omitempty"`
	Spread Duration `toml:"spread"` // default 5m: a fetch waits a random part of it, so that booths do not come all at once
}

// Store says where and how much the booth keeps.
type Store struct {
	Dir      Path     `toml:"dir"`       // default /var/lib/boothd
	MaxBytes Size     `toml:"max_bytes"` // of the journal; default 2GiB
	MaxRows  int      `toml:"max_rows"`  // events without receipt; default 0: no limit but MaxBytes
	Retain   Duration `toml:"retain"`    // of receipted events; default 7d, which is also the most
}

// MQTT says how headquarters is reached.
type MQTT struct {
	Brokers  []Broker `toml:"brokers"` // in order of preference, 1 to 8
	CA       Ref      `toml:"ca,omitempty"`
	Cert     Ref      `toml:"cert,omitempty"`
	Key      Ref      `toml:"key,omitempty"`
	Username string   `toml:"username"` // default: the booth's id, which is not said beside a certificate of that name
	AckMode  AckMode  `toml:"ack_mode"` // default receipt
}

// Commands says what headquarters may ask of this booth, and whose word that is.
type Commands struct {
	Allow []CommandName `toml:"allow"` // default all but lane.mode; none: nothing
	Keys  Path          `toml:"keys"`  // public keys, PEM; default /etc/boothd/trust/command-keys.pem
	// Upload is where bundle.upload puts support archives, https alone; none: nowhere.
	Upload WebURL `toml:"upload,omitempty" json:",omitempty"`
}

// Device is one reader, keypad or printer on a serial line or the network. Fields that
// its driver's kind does not ask for are zero.
type Device struct {
	Name   string `toml:"name"`
	Driver Driver `toml:"driver"`
	Role   Role   `toml:"role"`
	Path   Port   `toml:"path,omitempty"` // device file, tcp:// or tls://host:port, or where the box listens: the URL that a camera posts to, tcp:// with From
	Baud   int    `toml:"baud,omitempty"` // default: the driver's; 0 on the network or a GPIO chip

	// Model and Template name what is known of a make (profiles): they stand for the
	// keys that the device does not write itself.
	Model    Model    `toml:"model,omitempty" json:",omitempty"` // whose limits hold; none: the driver's own
	Template Template `toml:"template,omitempty"`                // the form of a camera's reports

	// Of readers and cameras on the network.
	Token       Ref         `toml:"token,omitempty"`                  // that a camera which posts must know, 16 to 256 characters
	Cert        Ref         `toml:"cert,omitempty"`                   // chain that is shown to it, PEM
	Key         Ref         `toml:"key,omitempty"`                    // of Cert
	CA          Ref         `toml:"ca,omitempty"`                     // who signs the reader's certificate; the camera's, if it must have one
	Fingerprint Fingerprint `toml:"fingerprint,omitempty"`            // SHA-256 of the reader's certificate, instead of CA
	From        Host        `toml:"from,omitempty" json:",omitempty"` // the camera connects to the box at Path, from this address alone; none: the box connects

	Address int    `toml:"address,omitempty"`                 // of the reader on its line; default 0
	Data0   string `toml:"data0,omitempty" json:",omitempty"` // the kernel's names of the lines of a reader that pulses
	Data1   string `toml:"data1,omitempty" json:",omitempty"` //

	// Of card readers.
	Antennas []int `toml:"antennas,omitempty"` // ports, counted from 1; default: the driver's
	Weakest  int   `toml:"weakest,omitempty"`  // dBm: a card that is read more weakly is another lane's; none: any
	// BoothAntennas are those that look at the vehicle at the booth, where they read
	// every card at least as strongly as BoothWeakest, and none of the vehicle behind.
	// The reader's others look at the approach. None: nothing is known of places.
	BoothAntennas []int `toml:"booth_antennas,omitempty" json:",omitempty"`
	BoothWeakest  int   `toml:"booth_weakest,omitempty" json:",omitempty"` // dBm
	AtBooth       bool  `toml:"at_booth,omitempty" json:",omitempty"`      // who waits behind cannot reach the reader, or be seen by the camera

	// Of cameras.
	Window          Duration `toml:"window,omitempty"`           // in which the same plate is the same report; default 10s
	ConfidenceScale int      `toml:"confidence_scale,omitempty"` // 1, 100 or 1000
	Separator       string   `toml:"separator,omitempty"`
	Fields          []Field  `toml:"fields,omitempty"`
	NoRead          []string `toml:"no_read,omitempty"` // texts that stand for "no plate seen"
	Charset         Charset  `toml:"charset,omitempty"`
	Zone            string   `toml:"zone,omitempty"` // of the camera's clock, "UTC" or "America/Vancouver"

	// Own are the driver's own keys: what its Kind makes.
	Own any `toml:"-"`
}

// GPIO names the chip and what is wired to its lines.
type GPIO struct {
	Chip string             `toml:"chip"` // "/dev/gpiochip0", a chip's label, or "sim:/path"
	In   map[string]InLine  `toml:"in,omitempty"`
	Out  map[string]OutLine `toml:"out,omitempty"`
}

// InLine is one input: a loop, a beam, a button, or what is seen of a lamp.
type InLine struct {
	Line      string   `toml:"line"` // the kernel's line name
	ActiveLow bool     `toml:"active_low,omitempty"`
	Debounce  Duration `toml:"debounce"` // default 50ms (loops), 30ms (buttons), 20ms (obstacle and feedback)
}

// OutLine is one output: a lamp, the buzzer or the gate.
type OutLine struct {
	Line      string `toml:"line"`
	ActiveLow bool   `toml:"active_low,omitempty"`
}

// Board is a board of relays and inputs on a serial line or the network. A point
// of the lane is wired to a line of the GPIO chip or to a board, not to both.
type Board struct {
	Name     string              `toml:"name"`
	Protocol BoardProtocol       `toml:"protocol"`
	Path     Port                `toml:"path"`                            // device file, or tcp://host:port
	Baud     int                 `toml:"baud,omitempty"`                  // default 9600; 0 for tcp
	Address  int                 `toml:"address,omitempty"`               // Modbus unit, 1 to 247; default 1
	Lapse    Duration            `toml:"lapse,omitzero" json:",omitzero"` // of protocol modbus: the board itself puts a green out that it is not told of for so long, 1s to 10s; none: it does not
	In       map[string]BoardIn  `toml:"in,omitempty"`
	Out      map[string]BoardOut `toml:"out,omitempty"`
}

// BoardIn is one input of a board.
type BoardIn struct {
	Channel   int      `toml:"channel"` // from 1, as printed on the board
	ActiveLow bool     `toml:"active_low,omitempty"`
	Debounce  Duration `toml:"debounce"` // default 50ms (loops), 30ms (buttons), 20ms (obstacle and feedback)
}

// BoardOut is one relay of a board.
type BoardOut struct {
	Channel   int  `toml:"channel"`              // from 1, as printed on the board
	ActiveLow bool `toml:"active_low,omitempty"` // lit while the relay is released: what stays on when the board dies
}

// HasIn tells whether a point of the lane is wired, to the chip or a board.
func (c *Config) HasIn(point string) bool {
	_, ok := c.GPIO.In[point]
	return ok || slices.ContainsFunc(c.Boards, func(b Board) bool { _, ok := b.In[point]; return ok })
}

// HasOut tells the same of an output.
func (c *Config) HasOut(point string) bool {
	_, ok := c.GPIO.Out[point]
	return ok || slices.ContainsFunc(c.Boards, func(b Board) bool { _, ok := b.Out[point]; return ok })
}

// Status says where the read-only page listens: a loopback address only.
type Status struct {
	Listen Listen `toml:"listen"`
}

// Clock says who judges the wall clock.
type Clock struct {
	Source ClockSource `toml:"source"`
}

// As is the configuration with the lane of another of its types, its defaults
// being that type's. It is false for a type that is neither Lane.Type nor one
// of Lane.Others.
func (c *Config) As(t LaneType) (*Config, bool) {
	if t == c.Lane.Type {
		return c, true
	}
	other, ok := c.as[t]
	return other, ok
}

// TOML gives the whole configuration, defaults included, as a file that Parse
// takes and that has the same Digest.
func (c *Config) TOML() ([]byte, error) {
	b, err := toml.Marshal(c.flat())
	if err != nil {
		return nil, fmt.Errorf("writing configuration: %w", err)
	}
	return b, nil
}

// Digest is "sha256:" and the hex SHA-256 over the content with defaults
// filled in: comments, order and the split into files do not change it.
func (c *Config) Digest() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("configs: digest: %v", err)) // every type here marshals
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Redacted returns a copy for a support archive: without the user name, and
// with the places of secrets replaced. Secrets themselves are never in Config.
func (c *Config) Redacted() *Config {
	r := *c
	r.Warnings = slices.Clone(c.Warnings)
	r.Devices = slices.Clone(c.Devices)
	for i, d := range r.Devices {
		r.Devices[i] = d.copied()
	}
	r.GPIO.In, r.GPIO.Out = maps.Clone(c.GPIO.In), maps.Clone(c.GPIO.Out)
	for _, ref := range r.secrets() {
		*ref = redactedRef
	}
	r.MQTT.Username = "redacted"
	return &r
}

// Secrets tells where the booth's secrets are, each that is configured.
func (c *Config) Secrets() (refs []Ref) {
	for _, ref := range c.secrets() {
		refs = append(refs, *ref)
	}
	return refs
}

func (c *Config) secrets() []*Ref {
	all := []*Ref{&c.Booth.SigningKey, &c.Lists.Key, &c.MQTT.Key, &c.Kiosk.MatcherKey}
	for i := range c.Devices {
		all = append(all, c.Devices[i].refs()...)
	}
	return slices.DeleteFunc(all, func(r *Ref) bool { return *r == "" })
}

// redactedRef is itself a valid reference, so that a redacted file still parses.
const redactedRef Ref = "credential:redacted"
