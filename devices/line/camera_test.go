package line

import (
	"bytes"
	"testing"
)

// What the simulated camera writes in each template is what the driver reads.
func TestEveryTemplateOfTheSimulatedCamera(t *testing.T) {
	for _, name := range templates() {
		var wire bytes.Buffer
		cam := cameraOf(name, &wire)
		cam.Mute(true)
		if err := cam.Raw([]byte("unheard")); err != nil {
			t.Fatal(err)
		}
		cam.Mute(false)
		for _, act := range []func() error{func() error { return cam.Beat("ALIVE") }, func() error { return cam.Plate("ABCD123", "ON", 0.97) }, cam.NoRead} {
			if err := act(); err != nil {
				t.Fatal(err)
			}
		}
		plates, errs, dropped := all(t, form(name, Config{Heartbeat: "ALIVE"}), wire.Bytes())
		if errs != 0 || dropped != 0 || len(plates) != 2 || plates[0].Text != "ABCD123" || !plates[1].NoRead {
			t.Errorf("%s: %+v, %d errors", name, plates, errs)
			continue
		}
		if p := plates[0]; (name == "lumo" || name == "nedap-raw") && p.Jurisdiction != "ON" || (name == "lumo" || name == "csv-generic") && p.Confidence != 0.97 {
			t.Errorf("%s: %s", name, show(p))
		}
	}
}
