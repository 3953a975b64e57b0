package configs

import (
	"strings"
	"testing"
)

// withDevice is the example of a NEXUS lane with one device more.
func withDevice(t *testing.T, keys string) string {
	t.Helper()
	text := string(example(t, "nexus.toml"))
	out := strings.Replace(text, "\n[gpio]\n", "\n[[device]]\nname = \"more\"\n"+keys+"\n\n[gpio]\n", 1)
	if out == text {
		t.Fatal("the example has no [gpio]")
	}
	return out
}

// A scanner that is a USB keyboard is nothing that the driver of a serial line reads.
func TestOnlyAKeypadIsAKeyboard(t *testing.T) {
	for keys, want := range map[string]string{
		"driver = \"barcode\"\nrole = \"seal\"\npath = \"/dev/input/by-id/usb-scanner-event-kbd\"": `device.path: driver "barcode" does not read a USB keyboard; only driver "keypad" does`,
		"driver = \"mrz\"\nrole = \"document\"\npath = \"/dev/input/by-id/usb-reader-event-kbd\"":  `device.path: driver "mrz" does not read a USB keyboard; only driver "keypad" does`,
		"driver = \"keypad\"\nrole = \"keypad\"\npath = \"/dev/input/by-id/usb-keys-event-kbd\"":   "",
	} {
		_, err := drivers.Parse("x.toml", []byte(withDevice(t, keys)))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s:\n%v\nwant %s", keys, err, want)
		}
	}
}

// What is written to be nothing is nothing again when the configuration is written
// out, though the driver or the template would have it otherwise.
func TestNothingStaysNothing(t *testing.T) {
	for _, keys := range []string{
		"driver = \"line\"\nrole = \"plate.rear\"\npath = \"/dev/serial/by-id/usb-cam\"\ntemplate = \"axxon\"\nno_read = []",
	} {
		cfg, err := drivers.Parse("x.toml", []byte(withDevice(t, keys)))
		if err != nil {
			t.Fatal(err)
		}
		again(t, cfg)
	}
	kiosk := string(example(t, "nexus-air.toml"))
	text := strings.Replace(kiosk, "\nrole = \"receipt\"\n", "\nrole = \"receipt\"\nanswers = false\n", 1)
	if text == kiosk {
		t.Fatal("the example has no printer")
	}
	cfg, err := drivers.Parse("x.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	again(t, cfg)
}
