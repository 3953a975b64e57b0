package line

import (
	"io"

	"boothd/configs"
)

// form is a camera's Config as a configuration that names a template fills it in.
func form(template string, c Config) Config {
	d, ok := configs.Template(template).Device(configs.Line)
	if !ok {
		panic("no template " + template)
	}
	c.Start, c.End, c.Separator = either(c.Start, d.Start), either(c.End, d.End), either(c.Separator, d.Separator)
	if len(c.Fields) == 0 {
		for _, f := range d.Fields {
			c.Fields = append(c.Fields, string(f))
		}
	}
	if len(c.NoRead) == 0 {
		c.NoRead = d.NoRead
	}
	return c
}

// cameraOf plays a camera of a template.
func cameraOf(template string, wire io.Writer) *Camera {
	c := form(template, Config{})
	cam := &Camera{Wire: wire, Start: c.Start, End: c.End, Separator: c.Separator, Fields: c.Fields}
	if len(c.NoRead) > 0 {
		cam.Unread = c.NoRead[0]
	}
	return cam
}

// templates are the names of those that there are.
func templates() (names []string) {
	for _, t := range configs.Templates(configs.Line) {
		names = append(names, string(t))
	}
	return names
}
