package nedap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"boothd/devices"
)

// TemplateTags is the template of packets over TCP; the other one is of protocolled
// reports.
const TemplateTags = "tags"

// Settings are the keys of a configuration that such a camera has of its own (licence
// plate readers, section 2).
type Settings struct {
	Ack string `toml:"ack,omitempty"` // what a protocolled report is answered: hex and {open}, {id}, {xor}, {close}
}

// ackForm is what a camera may be answered: bytes in hex and places, between blanks.
var ackForm = regexp.MustCompile(`^(([0-9A-Fa-f]{2})+|\{(open|id|xor|close)\})( (([0-9A-Fa-f]{2})+|\{(open|id|xor|close)\}))*$`)

// Check judges them, and whether the camera's form is told.
func (s *Settings) Check(w devices.Written) {
	w.Need("template", `template = "protocolled" (RS-485) or "tags" (packets over TCP)`)
	if w.Template == TemplateTags {
		for _, key := range []string{"separator", "fields", "ack"} {
			if w.Has(key) {
				w.Refuse(key, fmt.Sprintf("template %q has no use for it", w.Template), "")
			}
		}
		if w.Scheme == "" {
			w.Refuse("path", "packets come over TCP", `write path = "tcp://camera:port", or template = "protocolled"`)
		}
		return
	}
	if w.Has("fields") && !devices.TellsPlate(w.Fields) {
		w.Refuse("fields", "no field is the plate", `write fields = ["plate"]`)
	} else if i := slices.IndexFunc(w.Fields, func(f string) bool { return !strings.Contains(f, ":") }); w.Separator == "" && i >= 0 && i < len(w.Fields)-1 {
		w.Refuse(devices.Item("fields", i), fmt.Sprintf("%q has no end: there is no separator", w.Fields[i]), `write separator = ";", or a width: "plate:10"`)
	}
	if w.Has("separator") && (w.Separator == "" || len(w.Separator) > 32) {
		w.Refuse("separator", "want 1 to 32 bytes", "leave the key out for none")
	}
	if w.Has("ack") && (len(s.Ack) > 2*ackMost || !ackForm.MatchString(s.Ack)) {
		w.Refuse("ack", fmt.Sprintf("%.40q is no answer", s.Ack), `write bytes in hex, {open}, {id}, {xor} and {close} with a blank between, such as "{open} {id} {xor} {close}"`)
	}
}
