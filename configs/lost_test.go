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
