package line

import (
	"errors"
	"maps"
	"testing"
)

// Text within the frames of another protocol is its camera's own template's.
func TestText(t *testing.T) {
	for _, c := range []struct {
		cfg        Config
		text, want string
	}{
		{Config{}, "46HVR9-NLD", "46HVR9|NLD|-1|false||"},
		{Config{}, "46HVR9-NLD\r\n", "46HVR9|NLD|-1|false||"}, // as the raw template ends
		{Config{}, "", "||-1|true||"},
		{Config{NoRead: []string{"--"}}, "--", "||-1|true||"},
		{Config{Separator: ";", Fields: []string{"plate", "country", "confidence", "direction", "date", "time", "camera"}},
			"46HVR9;NLD;87;GOAWAY;2011-07-28;12-34-56;NEDAP_ANPR1", "46HVR9|NLD|0.87|false|NEDAP_ANPR1|2011-07-28T12:34:56Z"},
		{Config{Separator: ";", Fields: []string{"plate", "datetime"}, Zone: "America/Vancouver"}, "A1;2011-07-28 12:34:56", "A1||-1|false||2011-07-28T19:34:56Z"},
		{Config{Fields: []string{"plate:8", "confidence:3"}, ConfidenceScale: 1000}, "AB 123   87", "AB 123||0.087|false||"},
		{Config{Charset: "latin-1"}, "AB\xfcC-D", "ABüC|D|-1|false||"},
	} {
		text, err := NewText(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		p, err := text.Report([]byte(c.text))
		if got := show(p); err != nil || got != c.want {
			t.Errorf("%q: %s, %v, want %s", c.text, got, err, c.want)
		}
	}
	for _, cfg := range []Config{{Fields: []string{"camera"}}, {Fields: []string{"plate", "camera"}}, {Zone: "Mars/Olympus"}, {Charset: "ebcdic"}} {
		if _, err := NewText(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// Parts are read by their names; what cannot be read of one is no plate's.
func TestParts(t *testing.T) {
	text, err := NewText(Config{ConfidenceScale: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		parts map[string][]byte
		want  string // "": an error
	}{
		{map[string][]byte{"plate_country": []byte("AB-12-NLD"), "confidence": []byte("970"), "camera": []byte("north ")}, "AB-12|NLD|0.97|false|north|"},
		{map[string][]byte{"plate": []byte(" AB-CD "), "country": []byte("nld")}, "AB-CD|NLD|-1|false||"},
		{map[string][]byte{"date": []byte("2011-07-28"), "time": []byte("12-34-56")}, "||-1|true||2011-07-28T12:34:56Z"},
		{map[string][]byte{"plate": []byte("?"), "country": []byte("NLD"), "ignore": []byte("x")}, "||-1|true||"},
		{nil, "||-1|true||"},
		{map[string][]byte{"plate": []byte("--")}, ""},
		{map[string][]byte{"plate": []byte("AB\xfc")}, ""},
	} {
		p, err := text.Parts(maps.All(c.parts))
		if got := show(p); (err != nil) != (c.want == "") || err == nil && got != c.want || err != nil && !errors.Is(err, errFormat) {
			t.Errorf("%q: %s, %v, want %s", c.parts, got, err, c.want)
		}
	}
}
