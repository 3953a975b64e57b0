package sim

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Camera is a plate camera's side of a line: it writes reports in one of the
// line driver's templates. Its fields are set before it is used; its methods
// may be called from any goroutine.
type Camera struct {
	Wire     io.Writer
	Template string // axxon (also the default), nedap-raw, lumo, csv-generic
	Name     string // two digits for axxon; default "01"

	mu   sync.Mutex // reports are written whole
	mute bool
}

// Plate reports a plate. Confidence is a fraction from 0 to 1; templates
// without a place for jurisdiction or confidence leave them out.
func (c *Camera) Plate(text, jurisdiction string, confidence float64) error {
	name, now := c.Name, time.Now().UTC()
	if name == "" {
		name = "01"
	}
	switch c.Template {
	case "nedap-raw":
		if jurisdiction != "" {
			text += "-" + jurisdiction
		}
		return c.Raw([]byte(text + "\r\n"))
	case "lumo":
		return c.Raw(fmt.Appendf(nil, "%s;%s;%.0f;IN\r\n", text, jurisdiction, 100*confidence))
	case "csv-generic":
		return c.Raw(fmt.Appendf(nil, "%s,%s,%.1f,%s\n", now.Format("2006-01-02T15:04:05"), text, 100*confidence, name))
	}
	return c.Raw(fmt.Appendf(nil, "\x02%s%.2s%s\x03", now.Format("20060102150405"), name, text))
}

// NoRead reports a vehicle without a readable plate.
func (c *Camera) NoRead() error {
	if c.Template == "nedap-raw" || c.Template == "lumo" || c.Template == "csv-generic" {
		return c.Plate("NOREAD", "", 0)
	}
	return c.Plate("Not defined", "", 0)
}

// Mute makes the camera fall silent, or speak again.
func (c *Camera) Mute(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = on
}

// Raw writes any bytes: heartbeats, babble, half a report.
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
