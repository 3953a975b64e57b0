package line

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"boothd/devices"
)

// Camera is a plate camera's side of a line: it writes reports of the fields
// that a driver's configuration has, without checksums. Its fields are set before it
// is used; its methods may be called from any goroutine. A wire that nobody
// reads blocks it, a pty after 4 KiB.
type Camera struct {
	Wire       io.Writer
	Start, End string   // bytes around a report
	Separator  string   // between fields
	Fields     []string // as in Config
	Scale      int      // what full confidence is; 100 if not given
	Unread     string   // what stands for a plate that was not read; NOREAD if not given
	Name       string   // in the field "camera"; default "01"

	mu   sync.Mutex // reports are written whole
	mute bool
	seq  int
}

// Lumo is a camera whose reports have the parts that a lane knows, as a Nedap
// Lumo can be set to write them: plate, jurisdiction, confidence, direction.
func Lumo(wire io.Writer) *Camera {
	return &Camera{Wire: wire, End: "\r\n", Separator: ";", Fields: []string{"plate", "state", "confidence", "direction"}}
}

// Plate reports a plate. Confidence is a fraction from 0 to 1; where there is no
// field for jurisdiction or confidence they are left out.
func (c *Camera) Plate(text, jurisdiction string, confidence float64) error {
	now := time.Now().UTC()
	c.mu.Lock()
	c.seq++
	seq := c.seq
	c.mu.Unlock()
	parts := make([]string, 0, len(c.Fields))
	for _, f := range c.Fields {
		name, arg, _ := strings.Cut(f, ":")
		columns, pad, _ := strings.Cut(arg, ":")
		width, err := strconv.Atoi(columns)
		if err != nil {
			width = 0
		}
		var part string
		switch name {
		case "literal":
			part, width = arg, 0
		case "plate":
			part = text
		case "plate_country":
			part = text
			if jurisdiction != "" {
				part += "-" + jurisdiction
			}
		case "state", "country":
			part = jurisdiction
		case "confidence":
			part = strconv.FormatFloat(confidence*float64(either(c.Scale, 100)), 'g', 4, 64)
		case "camera":
			part = either(c.Name, "01")
			part = strings.Repeat("0", max(0, width-len(part))) + part
		case "datetime":
			part = now.Format(either(map[int]string{14: "20060102150405"}[width], "2006-01-02T15:04:05"))
		case "date":
			part = now.Format(either(map[int]string{8: "20060102"}[width], "2006-01-02"))
		case "time":
			part = now.Format(either(map[int]string{6: "150405"}[width], "15:04:05"))
		case "epoch":
			part = strconv.FormatInt(now.UnixMilli(), 10)
		case "seq":
			part = strconv.Itoa(seq)
		case "direction":
			part = "IN"
		default: // nothing that a lane asks for
			part = "0"
		}
		if width > 0 {
			part += strings.Repeat(either(pad, " "), max(0, width-len(part)))
			part = part[:width]
		}
		parts = append(parts, part)
	}
	return c.Beat(strings.Join(parts, c.Separator))
}

// NoRead reports a vehicle without a readable plate.
func (c *Camera) NoRead() error { return c.Plate(either(c.Unread, "NOREAD"), "", 0) }

// Beat sends a heartbeat: a report of this text alone, which the driver's
// configuration names.
func (c *Camera) Beat(text string) error { return c.Raw([]byte(c.Start + text + c.End)) }

// Mute makes the camera fall silent, or speak again.
func (c *Camera) Mute(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = on
}

// Raw writes any bytes: babble, half a report, another camera's format.
func (c *Camera) Raw(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mute {
		return nil
	}
	if _, err := c.Wire.Write(b); err != nil {
		return fmt.Errorf("playing a camera: %w", err)
	}
	return nil
}

// Far is the camera as a lane is played with.
func (c *Camera) Far() devices.Far {
	return devices.Far{Plate: c.Plate, NoRead: c.NoRead, Mute: c.Mute}
}
