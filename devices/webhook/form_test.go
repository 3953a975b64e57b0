package webhook

import (
	"testing"

	"boothd/configs"
)

// kinds knows this driver alone.
var kinds = configs.Kinds{{Driver: "webhook", Posts: true, Own: func() any { return &Settings{} }}}

// ready is a camera's Config as a configuration that names a template fills it in.
func ready(template string, c Config) Config {
	d, ok := kinds.Device("webhook", configs.Template(template))
	if !ok {
		panic("no template " + template)
	}
	own := d.Own.(*Settings)
	c.Paths, c.Seen, c.Scale = own.Paths, own.Seen, float64(d.ConfidenceScale)
	return c
}

// forms are those of every template that there is.
func forms(t testing.TB) map[string]form {
	out := make(map[string]form)
	for _, name := range templates() {
		f, err := formOf(ready(name, Config{}))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = f
	}
	return out
}

func templates() (names []string) {
	for _, t := range kinds[0].Templates() {
		names = append(names, string(t))
	}
	return names
}

// A camera that no template is of, told by paths alone.
func TestAnyCamerasReport(t *testing.T) {
	f, err := formOf(Config{Scale: 1000, Seen: "lp", Paths: map[string]string{"event": "kind", "plate": "v.seen[].lp.text",
		"confidence": "v.seen[].lp.q", "region": "v.seen[].state", "camera": "from.name"}})
	if err != nil {
		t.Fatal(err)
	}
	plates, beat, err := f.decode([]byte(`{"kind":"lp","from":{"name":"c7","x":[1]},"v":{"seen":[{"lp":{"text":"ABC 1","q":910},"state":"us-wa"},{"lp":{"text":"","q":0}}]}}`))
	if err != nil || beat || len(plates) != 2 {
		t.Fatalf("%+v, %t, %v", plates, beat, err)
	}
	if p := plates[0]; p.Text != "ABC 1" || p.Confidence != 0.91 || p.Jurisdiction != "WA" || p.Camera != "c7" || !plates[1].NoRead {
		t.Errorf("%+v", plates)
	}
	if plates, beat, err := f.decode([]byte(`{"kind":"alive"}`)); err != nil || !beat || plates != nil {
		t.Errorf("%+v, %t, %v", plates, beat, err)
	}
	for _, c := range []Config{{}, {Paths: map[string]string{"camera": "c"}}, {Paths: map[string]string{"plate": "p", "colour": "c"}},
		{Paths: map[string]string{"plate": "p", "camera": "p"}}, {Paths: map[string]string{"plate": "p", "event": "e"}}, {Seen: "s", Paths: map[string]string{"plate": "p"}},
		{Paths: map[string]string{"plate": "p", "camera": ""}}} {
		if _, err := formOf(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
