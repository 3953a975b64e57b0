package status

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/devices"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with testdata/name, or rewrites it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestPictureGolden(t *testing.T) {
	f := &frame{picture: sample()}
	text, err := f.json()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	golden(t, "state.json", out.Bytes())

	var back Picture
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.shown(), back); diff != "" {
		t.Errorf("the picture does not survive its JSON (-want +got):\n%s", diff)
	}
}

// The scripts index lists without asking whether they are there.
func TestEmptyPictureHasNoNulls(t *testing.T) {
	text, err := (&frame{}).json()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("null")) {
		t.Errorf("a list is null: %s", text)
	}
}

// TestI7_NoFieldHoldsAnIdentifier walks the type: what could hold a tag, a
// plate or a token cannot be put into a picture at all.
func TestI7_NoFieldHoldsAnIdentifier(t *testing.T) {
	banned := map[reflect.Type]bool{}
	for _, v := range []any{devices.Ident(""), devices.Read{}, devices.Tag{}, devices.Plate{}, passage.Token(""),
		passage.Card{}, passage.Plate{}, passage.Evidence{}, passage.Facts{}, passage.Hit{}, passage.Decision{}} {
		banned[reflect.TypeOf(v)] = true
	}
	// Free text could carry one: each such field is known, and written by the
	// configuration or by boothd, never by a reader.
	text := strings.Fields(`Version Booth.ID Booth.Site Booth.Port Booth.Direction Lane.Type Lane.Next Lane.Mode Lane.State Reason.Name Reason.Words
		Advice.Outcome Lamp.Name Passage.ID Passage.End Device.Name Device.Driver Device.Role Device.Reason List.Kind Outbox.Broker Clock.Quality
		Lamp.Seen SignalFault.Head SignalFault.Lamp SignalFault.Fault Warning.Code Warning.Words`)
	known := map[string]bool{}
	for _, n := range text {
		known[n] = true
	}
	seen := map[reflect.Type]bool{}
	var walk func(at string, ty reflect.Type)
	walk = func(at string, ty reflect.Type) {
		if banned[ty] {
			t.Errorf("%s is a %s", at, ty)
		}
		switch ty.Kind() {
		case reflect.String:
			if ty == reflect.TypeFor[string]() && !known[at] {
				t.Errorf("%s is free text that this test does not know", at)
			}
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(at, ty.Elem())
		case reflect.Map, reflect.Interface, reflect.Func, reflect.Chan:
			t.Errorf("%s is a %s: anything could be in it", at, ty)
		case reflect.Struct:
			if ty == reflect.TypeFor[time.Time]() || seen[ty] {
				return
			}
			seen[ty] = true
			for i := range ty.NumField() {
				f := ty.Field(i)
				name := ty.Name() + "." + f.Name
				walk(strings.TrimPrefix(name, "Picture."), f.Type)
			}
		}
	}
	walk("Picture", reflect.TypeFor[Picture]())
}

// TestI3_AdviceTellsNothingOfALookout: whoever forgets Public, and whoever
// puts a code in by hand, still tells nothing.
func TestI3_AdviceTellsNothingOfALookout(t *testing.T) {
	hit := Advise(passage.Decision{Outcome: passage.Refer, Lead: passage.LookoutStop, Silent: true, Caution: true,
		Reasons: []passage.Code{passage.LookoutStop, passage.LookoutObserve, passage.PlateMissing}})
	random := Advise(passage.Decision{Outcome: passage.Refer, Lead: passage.RandomCompliance,
		Reasons: []passage.Code{passage.PlateMissing, passage.RandomCompliance}})
	if diff := cmp.Diff(random, hit); diff != "" {
		t.Errorf("Advise tells a stop from the random selection (-random +stop):\n%s", diff)
	}

	p := sample()
	p.Lane.Now = &Advice{Outcome: "REFER", Lead: Because(passage.LookoutRefer), Reasons: []Reason{Because(passage.LookoutPossible)}}
	p.Last[0].Advice = *p.Lane.Now
	p.Why = []Reason{Because(passage.LookoutObserve), Because(passage.StoreFault)}
	text, err := (&frame{picture: p}).json()
	if err != nil {
		t.Fatal(err)
	}
	if low := strings.ToLower(string(text)); strings.Contains(low, `"code":30`) || strings.Contains(low, "lookout_") {
		t.Errorf("a lookout is in the picture: %s", text)
	}
	if p.Lane.Now.Reasons[0].Code != int(passage.LookoutPossible) {
		t.Error("cleaning wrote to the publisher's picture")
	}
}

func TestPictureIsCutToItsLimits(t *testing.T) {
	p := Picture{Last: make([]Passage, 10_000), Devices: make([]Device, 10_000), Lists: make([]List, 10_000),
		Lamps: make([]Lamp, 10_000), Why: make([]Reason, 10_000)}
	for i := range p.Devices {
		p.Devices[i].Reason = strings.Repeat("x", 10_000)
	}
	p.Last[0].Advice.Reasons = make([]Reason, 10_000)
	got := clean(p)
	if len(got.Last) != MaxLast || len(got.Devices) != MaxDevices || len(got.Lists) != MaxLists || len(got.Lamps) != MaxLamps ||
		len(got.Why) != MaxReasons || len(got.Last[0].Advice.Reasons) != MaxReasons || len(got.Devices[0].Reason) != maxText {
		t.Error("clean lets more through than its limits")
	}
}

func TestTotals(t *testing.T) {
	var got Totals
	got.Note(passage.Expedite, false, 50*time.Microsecond)
	got.Note(passage.Outcome(99), true, time.Second) // unknown counts as the safe one
	got.Note(passage.Hold, false, 0)
	want := Totals{Expedite: 1, Primary: 1, Hold: 1, Overridden: 1, Decision: Latency{Count: 2, SumUS: 1_000_050}}
	want.Decision.Buckets[0], want.Decision.Buckets[len(latencyBounds)] = 1, 1
	if got != want {
		t.Errorf("Note = %+v, want %+v", got, want)
	}
}

// TestI9_LampsAreDrawnAsDriven: an aspect that the interlock holds back is dark.
func TestI9_LampsAreDrawnAsDriven(t *testing.T) {
	green := signal.Aspects{Traveller: signal.Green, GateOpen: true, OfficerGreen: signal.Blinks, Count: 3, Buzzer: signal.Fast}
	for _, l := range Lit(signal.Levels{}, green, func(signal.Lamp) bool { return true }) {
		want := Dark
		switch l.Name {
		case "officer_green":
			want = Blinks
		case "buzzer":
			want = Fast
		}
		if l.Shows != want || (l.Count == 3) != (want == Blinks) {
			t.Errorf("Lit shows %s as %s (%d), want %s", l.Name, l.Shows, l.Count, want)
		}
	}
}
