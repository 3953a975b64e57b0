package webhook

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// The page's vectors, and what is derived from its table of paths.
const (
	recognized = `{"hook":{"event":"recognition","id":"camera-1"},"data":{"camera_id":"camera-1","timestamp":"2021-09-29T05:56:13.606935Z","results":[{"plate":"9jub11","score":0.839,"region":{"code":"gb","score":0.413},"vehicle":{"type":"Big Truck","score":0.267},"direction":""}]}}`
	published  = `{"plate":"ABC123","device":"ACCCxxxxx","localTime":"2020-01-01 12:23:34","timestamp":1586794095057}`
	results    = `{"data_type":"alpr_results","epoch_time":1586794095057,"camera_id":7,"uuid":"u-1","results":[{"plate":"CDLK123","confidence":91.5,"region":"us-ny","candidates":[{"plate":"CDLK128","confidence":70}]}]}`
)

func TestDecode(t *testing.T) {
	at := time.UnixMilli(1586794095057).UTC()
	read := func(text, jurisdiction, camera string, confidence float64, at time.Time) devices.Plate {
		return devices.Plate{Text: devices.Ident(text), Jurisdiction: jurisdiction, Camera: camera, Confidence: confidence, DeviceAt: at}
	}
	none := func(camera string) []devices.Plate {
		return []devices.Plate{{NoRead: true, Confidence: -1, Camera: camera}}
	}
	for _, c := range []struct {
		name, template, body string
		want                 []devices.Plate
	}{
		{"vector of Plate Recognizer", "plate-recognizer", recognized,
			[]devices.Plate{read("9jub11", "GB", "camera-1", 0.839, time.Date(2021, 9, 29, 5, 56, 13, 606935000, time.UTC))}},
		{"vector of AXIS", "axis", published, []devices.Plate{read("ABC123", "", "ACCCxxxxx", -1, at)}},
		{"derived, OpenALPR", "openalpr", results, []devices.Plate{{Text: "CDLK123", Jurisdiction: "NY", Camera: "7", Confidence: 0.915, DeviceAt: at, Candidates: []devices.Ident{"CDLK128"}}}},
		{"results before the event", "openalpr", `{"results":[{"plate":"A1"}],"data_type":"alpr_results"}`, []devices.Plate{read("A1", "", "", -1, time.Time{})}},
		{"two plates", "openalpr", `{"data_type":"alpr_results","results":[{"plate":"A1","confidence":100},{"confidence":0,"plate":"B2"}]}`,
			[]devices.Plate{read("A1", "", "", 1, time.Time{}), read("B2", "", "", 0, time.Time{})}},
		{"candidates", "openalpr", `{"data_type":"alpr_results","results":[{"plate":"A1","confidence":100,"candidates":[{"plate":"a1","confidence":100},{"plate":"A7"},{"plate":"A7"},{"plate":""},{"plate":"--"},{"plate":7},{"plate":"AI"},{"plate":"4I"},{"plate":"41"}]}]}`,
			[]devices.Plate{{Text: "A1", Confidence: 1, Candidates: []devices.Ident{"A7", "7", "AI", "4I"}}}},
		{"candidates of each", "plate-recognizer", `{"hook":{"event":"recognition"},"data":{"results":[{"candidates":[{"plate":"b7"}],"plate":"b1"},{"plate":"c1"}]}}`,
			[]devices.Plate{{Text: "b1", Confidence: -1, Candidates: []devices.Ident{"b7"}}, read("c1", "", "", -1, time.Time{})}},
		{"time with a space", "plate-recognizer", `{"hook":{"event":"recognition"},"data":{"timestamp":"2021-09-29 05:56:13.5+00:00","results":[{"plate":"A1"}]}}`,
			[]devices.Plate{read("A1", "", "", -1, time.Date(2021, 9, 29, 5, 56, 13, 500000000, time.UTC))}},
		{"seconds", "axis", `{"plate":"A1","timestamp":"1586794095"}`, []devices.Plate{read("A1", "", "", -1, at.Truncate(time.Second))}},
		{"no time", "axis", `{"plate":"A1","timestamp":"yesterday"}`, []devices.Plate{read("A1", "", "", -1, time.Time{})}},
		{"confidence out of range", "openalpr", `{"data_type":"alpr_results","results":[{"plate":"A1","confidence":101}]}`, []devices.Plate{read("A1", "", "", -1, time.Time{})}},
		{"region that is no code", "openalpr", `{"data_type":"alpr_results","results":[{"plate":"A1","region":"Ontario"}]}`, []devices.Plate{read("A1", "", "", -1, time.Time{})}},
		{"vehicle without a plate", "openalpr", `{"data_type":"alpr_results","camera_id":"c","results":[]}`, none("c")},
		{"plate is empty", "axis", `{"plate":" ","device":"c"}`, none("c")},
		{"plate is null", "axis", `{"plate":null,"device":"c"}`, none("c")},
		{"same key elsewhere", "axis", `{"x":{"plate":"X"},"y":[{"plate":"Y"}],"plate":"A1","x.plate":1}`, []devices.Plate{read("A1", "", "", -1, time.Time{})}},
		{"key in escapes", "axis", `{"\u0070\u006cate":"A1","p\\late":"B2","\u00e9":1,"":2,"plate ":"C3"}`, []devices.Plate{read("A1", "", "", -1, time.Time{})}},
		{"quotes and brackets in a text", "axis", `{"x":"}]\",\\","plate" : "A1" , "y":[ ],"z":{ }}`, []devices.Plate{read("A1", "", "", -1, time.Time{})}},
		{"key that looks like a path", "plate-recognizer", `{"hook":{"event":"recognition"},"data.results[].plate":"X","data":{"results":[{"plate":"A1"}]}}`,
			[]devices.Plate{read("A1", "", "", -1, time.Time{})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, beat, err := forms(t)[c.template].decode([]byte(c.body))
			if err != nil || beat || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("decode(%s) = %+v, %t, %v, want %+v", c.body, got, beat, err, c.want)
			}
		})
	}
}

// What is no report of a plate says that the camera is there.
func TestDecodeBeat(t *testing.T) {
	for template, body := range map[string]string{
		"plate-recognizer": `{"hook":{"event":"status"},"data":{"results":[{"plate":"A1"}]}}`,
		"openalpr":         `{"data_type":"heartbeat","company_id":"x"}`,
	} {
		if plates, beat, err := forms(t)[template].decode([]byte(body)); err != nil || !beat || plates != nil {
			t.Errorf("%s: decode(%s) = %+v, %t, %v, want a beat", template, body, plates, beat, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ template, body string }{
		"nothing":                     {"axis", ``},
		"no JSON":                     {"axis", "\x02garbage\x03"},
		"no object":                   {"axis", `[{"plate":"A1"}]`},
		"two reports":                 {"axis", published + published},
		"something behind":            {"axis", published + "x"},
		"another camera's":            {"axis", recognized},
		"another camera's too":        {"openalpr", published},
		"no results":                  {"openalpr", `{"data_type":"alpr_results"}`},
		"results are no list":         {"openalpr", `{"data_type":"alpr_results","results":{"plate":"A1"}}`},
		"result is no object":         {"openalpr", `{"data_type":"alpr_results","results":["A1"]}`},
		"result without a plate":      {"openalpr", `{"data_type":"alpr_results","results":[{"confidence":1}]}`},
		"plate twice":                 {"axis", `{"plate":"A1","plate":"B2"}`},
		"plate twice, one in escapes": {"axis", `{"plate":"A1","plat\u0065":"B2"}`},
		"plate of a MiB":              {"axis", `{"plate":"` + strings.Repeat("A", 1<<20) + `"}`},
		"results twice":               {"openalpr", `{"data_type":"alpr_results","results":[],"results":[]}`},
		"event twice":                 {"openalpr", `{"data_type":"alpr_results","data_type":"heartbeat","results":[]}`},
		"plate is long":               {"axis", fmt.Sprintf(`{"plate":%q}`, strings.Repeat("A", plateMost+1))},
		"plate has control bytes":     {"axis", `{"plate":"A\u0000B"}`},
		"plate is no UTF-8":           {"axis", "{\"plate\":\"A\xff\"}"},
		"plate is a list":             {"axis", `{"plate":["A1"]}`},
		"too deep":                    {"axis", strings.Repeat(`{"x":`, depthMost+1) + "1" + strings.Repeat("}", depthMost+1)},
		"too many plates":             {"openalpr", `{"data_type":"alpr_results","results":[` + strings.Repeat(`{"plate":"A1"},`, platesMost) + `{"plate":"A1"}]}`},
	} {
		plates, beat, err := forms(t)[c.template].decode([]byte(c.body))
		if !errors.Is(err, errFormat) || beat || plates != nil {
			t.Errorf("%s: decode = %+v, %t, %v, want %v", name, plates, beat, err, errFormat)
		}
	}
}

// A report that was cut off anywhere is none.
func TestDecodeCutAtEveryByte(t *testing.T) {
	for name, body := range map[string]string{"plate-recognizer": recognized, "openalpr": results, "axis": published} {
		for cut := range len(body) {
			if plates, beat, err := forms(t)[name].decode([]byte(body[:cut])); err == nil {
				t.Fatalf("%s: the first %d bytes gave %+v, %t", name, cut, plates, beat)
			}
		}
	}
}

func TestI7_ErrorsQuoteNothing(t *testing.T) {
	for _, body := range []string{`{"plate":"SECRET1","plate":"SECRET1"}`, `{"plate":"SECRET1` + strings.Repeat("x", 99) + `"}`, `{"SECRET1":`, `{"plate":["SECRET1"]}`} {
		if _, _, err := forms(t)["axis"].decode([]byte(body)); err == nil || strings.Contains(err.Error(), "SECRET1") {
			t.Errorf("decode(%s): %v", body, err)
		}
	}
}

// A report of a MiB may be a picture and may be a million zeros: what no template
// names costs nothing.
func TestDecodeIsFrugal(t *testing.T) {
	known := forms(t)
	for name, x := range map[string]string{
		"zeros":   "[" + strings.Repeat("0,", bodyMost/2) + "0]",
		"texts":   "[" + strings.Repeat(`"",`, bodyMost/3) + "0]",
		"keys":    "{" + strings.Repeat(`"a":{},`, bodyMost/7) + `"b":0}`,
		"picture": `"` + strings.Repeat("/9j/4AAQ", bodyMost/8) + `"`,
	} {
		body := []byte(`{"x":` + x + `,"plate":"A1"}`)
		devicestest.Frugal(t, func() int {
			if plates, _, err := known["axis"].decode(body); err != nil || len(plates) != 1 || plates[0].Text.Reveal() != "A1" {
				t.Errorf("%s: %v, %v", name, plates, err)
			}
			return 0
		})
	}
	devicestest.Frugal(t, func() int {
		plates, _, err := known["openalpr"].decode([]byte(`{"data_type":"alpr_results","results":[{"plate":"A1","candidates":[` +
			strings.Repeat(`{"plate":" "},`, 1<<10) + `{"plate":"B2"}]}]}`))
		if err != nil || len(plates) != 1 {
			t.Errorf("%v, %v", plates, err)
		}
		return 1
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{recognized, published, results, `{"data_type":"heartbeat"}`, `{}`, `[`, `{"plate":{"x":[1,{"y":null}]}}`} {
		f.Add([]byte(s))
	}
	known := forms(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, tmpl := range known {
			devicestest.Frugal(t, func() int { _, _, _ = tmpl.decode(body); return 0 })
			plates, beat, err := tmpl.decode(body)
			switch {
			case err != nil && (plates != nil || beat), beat && plates != nil, err == nil && !beat && len(plates) == 0, len(plates) > platesMost:
				t.Fatalf("%s: %+v, %t, %v", name, plates, beat, err)
			}
			for _, p := range plates {
				text := p.Text.Reveal()
				if p.NoRead != (text == "") || text != "" && !legible(text) || p.Confidence > 1 || len(p.Camera) > cameraMost || len(p.Jurisdiction) > 3 {
					t.Fatalf("%s: %+v", name, p)
				}
			}
			if again, beatAgain, _ := tmpl.decode(body); beatAgain != beat || !reflect.DeepEqual(again, plates) {
				t.Fatalf("%s: %+v, then %+v", name, plates, again)
			}
		}
	})
}
