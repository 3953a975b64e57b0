package line

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"boothd/devices"
)

// Settings are the keys of a configuration that such a camera has of its own (licence
// plate readers, section 1). What is about the text of a report is of every camera
// that sends one.
type Settings struct {
	Start       string        `toml:"start,omitempty"`   // bytes before a report
	End         string        `toml:"end,omitempty"`     // bytes after it
	Silence     time.Duration `toml:"silence,omitempty"` // ends a report that has no end
	Checksum    string        `toml:"checksum,omitempty" one:"none xor xor-hex sum-hex twos-hex crc16-ibm crc16-ccitt-false crc16-xmodem"`
	ChecksumEnd bool          `toml:"checksum_end,omitempty" json:",omitempty"` // the checksum follows the end and covers it, too
	Heartbeat   string        `toml:"heartbeat,omitempty"`                      // a report that only says that the camera is alive
	Quiet       time.Duration `toml:"quiet,omitempty"`                          // how long a camera with a heartbeat may say nothing; 30 s if not written
	MaxLength   int           `toml:"max_length,omitempty"`                     // bytes of a report, 16 to 4096
	Ack         string        `toml:"ack,omitempty"`                            // what a report is answered: hex and {seq}
	Nak         string        `toml:"nak,omitempty" json:",omitempty"`          // what one is answered whose checksum is wrong: hex
}

// answerForm is what a camera may be answered: bytes in hex and places, between
// blanks.
var answerForm = regexp.MustCompile(`^(([0-9A-Fa-f]{2})+|\{seq\})( (([0-9A-Fa-f]{2})+|\{seq\}))*$`)

// Check judges them, and whether the camera's form is told.
func (s *Settings) Check(w devices.Written) {
	if w.Template == "" {
		w.Refuse("template", "missing", `write template = "axxon", or "custom" and its end and fields`)
	}
	if w.Template == "custom" {
		if s.End == "" && s.Silence == 0 {
			w.Refuse("end", "missing", `a custom template needs end = "\r\n" or silence = "50ms"`)
		}
		if !devices.TellsPlate(w.Fields) {
			w.Refuse("fields", "a custom template needs the field \"plate\"", `write fields = ["plate"]`)
		}
	}
	for key, v := range map[string]string{"start": s.Start, "end": s.End, "separator": w.Separator, "heartbeat": s.Heartbeat} {
		if w.Has(key) && (len(v) == 0 || len(v) > 32) {
			w.Refuse(key, "want 1 to 32 bytes", "leave the key out for none")
		}
	}
	if w.Has("max_length") {
		w.Count("max_length", s.MaxLength, 16, 4096)
	}
	if w.Has("silence") {
		w.Span("silence", s.Silence, time.Millisecond, time.Second, "")
	}
	if w.Has("quiet") {
		w.Span("quiet", s.Quiet, time.Second, time.Hour, "three heartbeats")
		if s.Heartbeat == "" {
			w.Refuse("quiet", "a camera without a heartbeat is silent while no vehicle comes", "write heartbeat, or take quiet out")
		}
	}
	switch {
	case !s.ChecksumEnd:
	case s.Checksum == "" || s.Checksum == "none":
		w.Refuse("checksum_end", "there is no checksum", `write checksum = "xor", or take it out`)
	case s.Silence > 0:
		w.Refuse("checksum_end", "silence ends a report, and no byte", "write end, or take it out")
	}
	s.answers(w)
}

func (s *Settings) answers(w devices.Written) {
	numbered := slices.ContainsFunc(w.Fields, func(f string) bool { return f == "seq" || strings.HasPrefix(f, "seq:") })
	if w.Has("ack") {
		switch {
		case len(s.Ack) > 2*answerMost || !answerForm.MatchString(s.Ack):
			w.Refuse("ack", fmt.Sprintf("%.40q is no answer", s.Ack), `write bytes in hex and {seq} with a blank between, such as "06" or "02 {seq} 06 03"`)
		case strings.Contains(s.Ack, "{seq}") && !numbered:
			w.Refuse("ack", "no field is the report's number", `write fields with "seq" among them, or leave {seq} out`)
		}
	}
	if w.Has("nak") && (len(s.Nak) > 2*answerMost || !answerForm.MatchString(s.Nak) || strings.Contains(s.Nak, "{")) {
		w.Refuse("nak", fmt.Sprintf("%.40q is no answer", s.Nak), `write bytes in hex with a blank between, such as "15"`)
	}
}
