package line

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Camera is a plate camera's side of a line: it writes reports in one of the
// line driver's templates. Its fields are set before it is used; its methods
// may be called from any goroutine. A wire that nobody reads blocks it, a pty
// after 4 KiB.
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
		return c.say(text)
	case "lumo":
		return c.say(fmt.Sprintf("%s;%s;%.0f;IN", text, jurisdiction, 100*confidence))
	case "csv-generic":
		return c.say(fmt.Sprintf("%s,%s,%.1f,%s", now.Format("2006-01-02T15:04:05"), text, 100*confidence, name))
	}
	if len(name) < 2 {
		name = "0" + name // a column of two
	}
	return c.say(fmt.Sprintf("%s%.2s%s", now.Format("20060102150405"), name, text))
}

// NoRead reports a vehicle without a readable plate.
func (c *Camera) NoRead() error {
	switch c.Template {
	case "nedap-raw", "lumo", "csv-generic":
		return c.Plate("NOREAD", "", 0)
	}
	return c.Plate("Not defined", "", 0)
}

// Beat sends a heartbeat: a report of this text alone, which the driver's
// configuration names.
func (c *Camera) Beat(text string) error { return c.say(text) }

// Mute makes the camera fall silent, or speak again.
func (c *Camera) Mute(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = on
}

// say puts a report between the start and the end of the template.
func (c *Camera) say(report string) error {
	switch c.Template {
	case "nedap-raw", "lumo":
		return c.Raw([]byte(report + "\r\n"))
	case "csv-generic":
		return c.Raw([]byte(report + "\n"))
	}
	return c.Raw([]byte("\x02" + report + "\x03"))
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
