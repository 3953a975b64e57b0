package devices

import (
	"fmt"
	"testing"
	"time"
)

func TestGlances(t *testing.T) {
	const window = 10 * time.Second
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	type told struct {
		after time.Duration
		Plate
		repeats bool
	}
	for name, all := range map[string][]told{
		"again within the window":  {{0, Plate{Text: "A"}, false}, {window - 1, Plate{Text: "A"}, true}},
		"again after it":           {{0, Plate{Text: "A"}, false}, {window, Plate{Text: "A"}, false}},
		"surer":                    {{0, Plate{Text: "A", Confidence: 0.5}, false}, {1, Plate{Text: "A", Confidence: 0.6}, false}, {2, Plate{Text: "A", Confidence: 0.6}, true}},
		"less sure":                {{0, Plate{Text: "A", Confidence: 0.5}, false}, {1, Plate{Text: "A", Confidence: 0.4}, true}},
		"a jurisdiction more":      {{0, Plate{Text: "A"}, false}, {1, Plate{Text: "A", Jurisdiction: "ON"}, false}},
		"a jurisdiction less":      {{0, Plate{Text: "A", Jurisdiction: "ON"}, false}, {1, Plate{Text: "A"}, true}},
		"two vehicles, no plates":  {{0, Plate{NoRead: true}, false}, {1, Plate{NoRead: true}, false}},
		"an empty text is a plate": {{0, Plate{}, false}, {1, Plate{}, true}},
	} {
		var g Glances
		for i, p := range all {
			if got := g.Repeats(p.Plate, noon.Add(p.after), window); got != p.repeats {
				t.Errorf("%s: report %d repeats: %t", name, i, got)
			}
		}
	}
	var g Glances
	for i := range 3 * GlancesMost {
		g.Repeats(Plate{Text: Ident(fmt.Sprint(i))}, noon.Add(time.Duration(i)), window)
	}
	if g.Repeats(Plate{Text: Ident(fmt.Sprint(2*GlancesMost - 1))}, noon.Add(window/2), window) {
		t.Error("more plates are remembered than there is room for")
	}
	if !g.Repeats(Plate{Text: Ident(fmt.Sprint(3*GlancesMost - 1))}, noon.Add(window/2), window) {
		t.Error("the newest plate gave way to an older one")
	}
}
