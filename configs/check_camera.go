package configs

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// zonePattern is a zone's form. Whether this machine knows the zone is for
// boothctl check: the same file must decode alike everywhere.
var zonePattern = regexp.MustCompile(`^(UTC|[A-Z][A-Za-z_-]{1,31}(/[A-Z][A-Za-z_-]{1,31}){1,2})$`)

func (c *checker) completeWindow(p string, d *Device) {
	if !c.has(sub(p, "window")) {
		d.Window = Duration{10 * time.Second}
	}
}

func (c *checker) line(p string, d *Device) {
	if d.Template == "" {
		c.refuse(sub(p, "template"), "missing", `write template = "axxon", or "custom" and its end and fields`)
	}
	if d.Template == TemplateCustom {
		if d.End == "" && d.Silence.Duration == 0 {
			c.refuse(sub(p, "end"), "missing", `a custom template needs end = "\r\n" or silence = "50ms"`)
		}
		if !hasPlate(d.Fields) {
			c.refuse(sub(p, "fields"), "a custom template needs the field \"plate\"", `write fields = ["plate"]`)
		}
	}
	framing := map[string]string{"start": d.Start, "end": d.End, "separator": d.Separator, "heartbeat": d.Heartbeat}
	for k, v := range framing {
		if path := sub(p, k); c.has(path) && (len(v) == 0 || len(v) > 32) {
			c.refuse(path, "want 1 to 32 bytes", "leave the key out for none")
		}
	}
	c.told(p, d)
	if path := sub(p, "max_length"); c.has(path) {
		c.count(path, d.MaxLength, 16, 4096)
	}
	if path := sub(p, "silence"); c.has(path) {
		c.span(path, d.Silence, time.Millisecond, time.Second, "")
	}
	if path := sub(p, "window"); c.has(path) {
		c.span(path, d.Window, time.Millisecond, time.Minute, "")
	}
	if path := sub(p, "quiet"); c.has(path) {
		c.span(path, d.Quiet, time.Second, time.Hour, "three heartbeats")
		if d.Heartbeat == "" {
			c.refuse(path, "a camera without a heartbeat is silent while no vehicle comes", "write heartbeat, or take quiet out")
		}
	}
	c.checksumEnd(p, d)
	c.answers(p, d)
}

func (c *checker) checksumEnd(p string, d *Device) {
	path := sub(p, "checksum_end")
	switch {
	case !d.ChecksumEnd:
	case d.Checksum == "" || d.Checksum == "none":
		c.refuse(path, "there is no checksum", `write checksum = "xor", or take it out`)
	case d.Silence.Duration > 0:
		c.refuse(path, "silence ends a report, and no byte", "write end, or take it out")
	}
}

// answers checks what a camera is answered.
func (c *checker) answers(p string, d *Device) {
	numbered := slices.ContainsFunc(d.Fields, func(f Field) bool { return f == "seq" || strings.HasPrefix(string(f), "seq:") })
	if path := sub(p, "ack"); c.has(path) {
		switch {
		case len(d.Ack) > ackMost || !answerPattern.MatchString(d.Ack):
			c.refuse(path, quoted(d.Ack)+" is no answer", `write bytes in hex and {seq} with a blank between, such as "06" or "02 {seq} 06 03"`)
		case strings.Contains(d.Ack, "{seq}") && !numbered:
			c.refuse(path, "no field is the report's number", `write fields with "seq" among them, or leave {seq} out`)
		}
	}
	if path := sub(p, "nak"); c.has(path) && (len(d.Nak) > ackMost || !answerPattern.MatchString(d.Nak) || strings.Contains(d.Nak, "{")) {
		c.refuse(path, quoted(d.Nak)+" is no answer", `write bytes in hex with a blank between, such as "15"`)
	}
}

// told checks what is about the text of a camera's reports, whatever they come
// in.
func (c *checker) told(p string, d *Device) {
	if path := sub(p, "confidence_scale"); c.has(path) && !slices.Contains([]int{1, 100, 1000}, d.ConfidenceScale) {
		c.refuse(path, fmt.Sprintf("%d is not one of 1 100 1000", d.ConfidenceScale), "")
	}
	if path := sub(p, "zone"); c.has(path) && !zonePattern.MatchString(d.Zone) {
		c.refuse(path, quoted(d.Zone)+` is not a time zone such as "America/Vancouver"`, "")
	}
}

func hasPlate(fields []Field) bool {
	return slices.ContainsFunc(fields, func(f Field) bool {
		return f == "plate" || strings.HasPrefix(string(f), "plate:") || strings.HasPrefix(string(f), "plate_country")
	})
}

// ackPattern is what a camera may be answered: bytes in hex and places, between
// blanks.
var ackPattern = regexp.MustCompile(`^(([0-9A-Fa-f]{2})+|\{(open|id|xor|close)\})( (([0-9A-Fa-f]{2})+|\{(open|id|xor|close)\}))*$`)

// answerPattern is the same of driver line.
var answerPattern = regexp.MustCompile(`^(([0-9A-Fa-f]{2})+|\{seq\})( (([0-9A-Fa-f]{2})+|\{seq\}))*$`)

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

const ackMost = 128 // characters: 64 bytes in hex

func (c *checker) nedap(p string, d *Device) {
	c.need(sub(p, "template"), `template = "protocolled" (RS-485) or "tags" (packets over TCP)`)
	c.told(p, d)
	c.called(p, d)
	if path := sub(p, "window"); c.has(path) {
		c.span(path, d.Window, time.Millisecond, time.Minute, "")
	}
	if d.Template == TemplateTags {
		for _, k := range []string{"separator", "fields", "ack"} {
			if c.has(sub(p, k)) {
				c.refuse(sub(p, k), fmt.Sprintf("template %q has no use for it", d.Template), "")
			}
		}
		if d.Path != "" && d.Path.Scheme() == "" {
			c.refuse(sub(p, "path"), "packets come over TCP", `write path = "tcp://camera:port", or template = "protocolled"`)
		}
		return
	}
	if path := sub(p, "fields"); c.has(path) && !hasPlate(d.Fields) {
		c.refuse(path, "no field is the plate", `write fields = ["plate"]`)
	} else if i := slices.IndexFunc(d.Fields, func(f Field) bool { return !strings.Contains(string(f), ":") }); d.Separator == "" && i >= 0 && i < len(d.Fields)-1 {
		c.refuse(item(path, i), fmt.Sprintf("%q has no end: there is no separator", d.Fields[i]), `write separator = ";", or a width: "plate:10"`)
	}
	if path := sub(p, "separator"); c.has(path) && (d.Separator == "" || len(d.Separator) > 32) {
		c.refuse(path, "want 1 to 32 bytes", "leave the key out for none")
	}
	if path := sub(p, "ack"); c.has(path) && (len(d.Ack) > ackMost || !ackPattern.MatchString(d.Ack)) {
		c.refuse(path, quoted(d.Ack)+" is no answer", `write bytes in hex, {open}, {id}, {xor} and {close} with a blank between, such as "{open} {id} {xor} {close}"`)
	}
}
