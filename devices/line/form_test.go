package line

import (
	"io"

	"boothd/configs"
)

// kinds knows this driver alone.
var kinds = configs.Kinds{{Driver: "line", Text: true, Own: func() any { return &Settings{} }}}

// form is a camera's Config as a configuration that names a template fills it in.
func form(template string, c Config) Config {
	d, ok := kinds.Device("line", configs.Template(template))
	if !ok {
		panic("no template " + template)
	}
	own := d.Own.(*Settings)
	c.Start, c.End, c.Separator = either(c.Start, own.Start), either(c.End, own.End), either(c.Separator, d.Separator)
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
	for _, t := range kinds[0].Templates() {
		names = append(names, string(t))
	}
	return names
}
