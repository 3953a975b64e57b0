package contract

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// texts are what a text may be, the awkward ones among them.
var texts = []string{"", "EXPEDITE", "5f3c2f9e5f3c2f9e5f3c2f9e5f3c2f9e", `a "quoted" \ word`, "tab\tand\nline", "Montréal  \u2028", "\x00\x7f", "<&>"}

// instants are times of every form that the encoder writes otherwise.
var instants = []time.Time{{}, noon, noon.Add(123456 * time.Microsecond), noon.Add(time.Nanosecond), noon.In(time.FixedZone("", -5*3600)), noon.Local(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}

var numbers = []int64{0, 1, -1, 9999, math.MaxInt64, math.MinInt64}

// fill gives every part of a value something, drawn anew for each.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(instants[r.IntN(len(instants))]))
			return
		}
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(numbers[r.IntN(len(numbers))])
	case reflect.Uint8, reflect.Uint16, reflect.Uint64:
		v.SetUint(uint64(numbers[r.IntN(len(numbers))]) & (1<<v.Type().Bits() - 1))
	case reflect.Float64:
		v.SetFloat([]float64{0, -1, 1, 0.97, 1e-9, 1e300, -0.5, r.Float64()}[r.IntN(8)])
	case reflect.Slice:
		if n := r.IntN(4); n < 3 { // else it is nil
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(r, v.Index(i))
			}
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	default:
		panic("a crossing has a " + v.Kind().String() + " now: fill it here and write it in crossing.go")
	}
}

// What is written by hand is, byte for byte, what the encoder would write:
// whatever there is in a crossing, and whatever will be.
func TestI8_CrossingIsEncodedAsItsTypesSay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		var c CrossingDecided
		fill(r, reflect.ValueOf(&c).Elem())
		want, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.encode(); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v\n got %s\nwant %s", err, got, want)
		}
	}
}

// What the encoder refuses is refused.
func TestCrossingRefusesWhatCannotBeWritten(t *testing.T) {
	for name, spoil := range map[string]func(*CrossingDecided){
		"text that is no UTF-8": func(c *CrossingDecided) { c.Mode = "staf\xffed" },
		"year":                  func(c *CrossingDecided) { c.Facts.Now = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no number":             func(c *CrossingDecided) { c.Evidence.Front.Confidence = math.NaN() },
	} {
		c, _ := judged(nil).Events()
		spoil(&c)
		if _, err := json.Marshal(c); err == nil {
			t.Errorf("%s: the encoder takes it", name)
		}
		if b, err := Encode(stamp(1), head, c); err == nil {
			t.Errorf("%s: %s", name, b)
		}
	}
}

// BenchmarkDraft is the record of a usual crossing, beside what the encoder
// needs for the same bytes.
func BenchmarkDraft(b *testing.B) {
	c, _ := judged(nil).Events()
	b.Run("by hand", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.encode(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoder", func(b *testing.B) {
		for b.Loop() {
			if _, err := json.Marshal(c); err != nil {
				b.Fatal(err)
			}
		}
	})
}
