package configs

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// laneWith is a whole configuration with this as its front camera or card reader.
func laneWith(t *testing.T, device string) (*Config, error) {
	t.Helper()
	text, err := Examples.ReadFile("general.toml")
	if err != nil {
		t.Fatal(err)
	}
	s := string(text)
	for from := strings.Index(s, "\n[[device]]"); from >= 0; from = strings.Index(s, "\n[[device]]") {
		to := strings.Index(s[from+2:], "\n[")
		s = s[:from] + s[from+2+to:]
	}
	return drivers.Parse("general.toml", []byte(s+"\n[[device]]\nname = \"front\"\n"+device))
}

// pathsOf are where each driver that has profiles may be.
var pathsOf = map[Driver]string{"mercury": "/dev/serial/by-id/usb-a", "line": "/dev/serial/by-id/usb-a", "llrp": "tcp://192.0.2.20:5084",
	"nedap": "tcp://192.0.2.30:9000", "webhook": "http://127.0.0.1:7090/front"}

// Every entry of the profiles is good as it stands, and a device that names one
// is the same as one that writes its keys.
func TestProfilesAreGood(t *testing.T) {
	seen := 0
	for key, known := range profiles() {
		for name, p := range known {
			seen++
			of, _ := drivers.Of(p.driver)
			device := fmt.Sprintf("driver = %q\nrole = %q\npath = %q\n%s = %q\n", p.driver, of.Roles[0], pathsOf[p.driver], key, name)
			if of.Posts {
				device += "token = \"credential:t\"\n"
			}
			cfg, err := laneWith(t, device)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			text, err := cfg.TOML()
			if err != nil {
				t.Fatal(err)
			}
			written, err := drivers.Parse("written", text)
			if err != nil || written.Digest() != cfg.Digest() {
				t.Errorf("%s: %v\n%s", name, err, text)
				continue
			}
			for k := range p.keys {
				if f := written.Devices[0].key(k); !f.IsValid() || f.IsZero() {
					t.Errorf("%s: %s is not filled in", name, k)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("%d profiles", seen)
	}
}

// What a device writes itself goes before its template's; silence and an end are
// two ways to end a report.
func TestADeviceOverridesItsTemplate(t *testing.T) {
	front := "driver = \"line\"\nrole = \"plate.front\"\npath = \"/dev/serial/by-id/usb-a\"\ntemplate = \"lumo\"\n"
	for _, c := range []struct{ keys, end, separator string }{
		{"", "\r\n", ";"},
		{"separator = \"|\"\n", "\r\n", "|"},
		{"silence = \"50ms\"\n", "", ";"},
		{"silence = \"50ms\"\nend = \"#\"\n", "#", ";"},
	} {
		cfg, err := laneWith(t, front+c.keys)
		if err != nil {
			t.Fatalf("%q: %v", c.keys, err)
		}
		d := cfg.Devices[0]
		if end, ok := d.own("end"); !ok || end.String() != c.end || d.Separator != c.separator || len(d.Fields) != 4 {
			t.Errorf("%q gives end %q, separator %q, fields %q", c.keys, end, d.Separator, d.Fields)
		}
	}
}

// key is a device's value of a key, its driver's own ones too.
func (d *Device) key(key string) reflect.Value {
	if v, ok := d.own(key); ok {
		return v
	}
	return reflect.ValueOf(d).Elem().Field(fieldsOf(reflect.TypeFor[Device]())[key])
}
