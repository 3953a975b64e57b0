package configs

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Driver is the name of a wire protocol.
type Driver string

// Kind is what a configuration may say of one driver's devices. This package knows
// no driver: whoever knows them gives their kinds to Load. Beside what every
// device has there are keys that several drivers have in common, which a kind asks
// for here, and a driver's own.
type Kind struct {
	Driver Driver
	Roles  []Role // what its devices may be for, the most usual first

	Baud   int  // of its line, if none is written
	TLS    bool // it is on the network alone, at tcp:// or tls://: keys ca, fingerprint
	Posts  bool // it posts to a URL of the box: keys token, cert, key, ca
	Calls  bool // it may connect to the box: key from
	Pulses bool // it has lines of the GPIO chip in the place of a path: keys data0, data1

	Address int  // of its line, at most: key address; 0: it has none
	Shares  bool // several may be on one line, with an address each

	Antennas      int   // that it has, at most: keys antennas, weakest, booth_antennas, booth_weakest; 0: they are not told apart
	FirstAntennas []int // in use if none are written; none: all
	ByHand        bool  // cards are held to it: key at_booth

	// Cameras all have the keys at_booth, window and confidence_scale.
	Text   bool // its report is text: keys separator, fields, no_read, charset, zone
	Custom bool // its form may be told by its own keys: template "custom"

	// Own makes the driver's own keys with their defaults: a pointer to a struct with
	// tags as in Config. Fields are texts, numbers, truths, time.Durations, maps and
	// lists; a tag one lists the words that a text may be, is:"ref" is a Ref. nil: it has none.
	Own func() any
	// Check judges and completes them; nil: there is nothing to judge.
	Check func(d *Device, k Keys)
}

// Kinds are the drivers that a configuration may name.
type Kinds []Kind

// Of gives a driver's kind; false: there is none.
func (ks Kinds) Of(d Driver) (Kind, bool) {
	i := slices.IndexFunc(ks, func(k Kind) bool { return k.Driver == d })
	if i < 0 {
		return Kind{}, false
	}
	return ks[i], true
}

func (ks Kinds) names() (names []string) {
	for _, k := range ks {
		names = append(names, string(k.Driver))
	}
	return names
}

// named names the drivers of some kinds: `driver "x"`.
func (ks Kinds) named(has func(Kind) bool) string {
	var names []string
	for _, k := range ks {
		if has(k) {
			names = append(names, fmt.Sprintf("%q", k.Driver))
		}
	}
	if len(names) == 1 {
		return "driver " + names[0]
	}
	return "drivers " + strings.Join(names, ", ")
}

// ownKeys are those of the driver alone.
func (k Kind) ownKeys() (keys []string) {
	if k.Own == nil {
		return nil
	}
	for key := range fieldsOf(reflect.TypeOf(k.Own()).Elem()) {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// keys are all beside the ones that every device has.
func (k Kind) keys() []string {
	keys := k.ownKeys()
	for _, some := range []struct {
		has  bool
		keys []string
	}{
		{k.TLS, []string{"ca", "fingerprint"}},
		{k.Posts, []string{"token", "cert", "key", "ca"}},
		{k.Calls, []string{"from"}},
		{k.Pulses, []string{"data0", "data1"}},
		{k.Address > 0, []string{"address"}},
		{k.Antennas > 0, []string{"antennas", "weakest", "booth_antennas", "booth_weakest"}},
		{k.ByHand || k.sees(), []string{"at_booth"}},
		{k.sees(), []string{"window", "confidence_scale"}},
		{k.Text, []string{"separator", "fields", "no_read", "charset", "zone"}},
		{len(k.profiles(keyTemplate)) > 0, []string{keyTemplate}},
		{len(k.profiles(keyModel)) > 0, []string{keyModel}},
	} {
		if some.has {
			keys = append(keys, some.keys...)
		}
	}
	return keys
}

// sees tells whether it is a camera.
func (k Kind) sees() bool { return slices.Contains(k.Roles, RolePlateFront) }

// Keys is what was written of one device.
type Keys struct {
	c *checker
	p string // path of the device's table
}

// path is that of a key, or of an element of it: "paths.plate", "fields[2]".
func (k Keys) path(key string) string {
	p := k.p
	for part := range strings.SplitSeq(key, ".") {
		name, i, indexed := strings.Cut(part, "[")
		if p = sub(p, name); indexed {
			p += "[" + i
		}
	}
	return p
}

// Good tells whether nothing was found wrong with a key.
func (k Keys) Good(key string) bool { return !k.c.bad[k.path(key)] }

// Has tells whether a key is written, or the device's template or model says it.
func (k Keys) Has(key string) bool { return k.c.has(k.path(key)) }

// Refuse reports a fault of a key, or of an element of it, unless it has one already.
func (k Keys) Refuse(key, msg, hint string) { k.c.refuse(k.path(key), msg, hint) }

// Warn reports what works and deserves a word.
func (k Keys) Warn(key, msg, hint string) { k.c.warn(k.path(key), msg, hint) }

// Span refuses a span that is not between least and most.
func (k Keys) Span(key string, v, least, most time.Duration, why string) {
	k.c.span(k.path(key), Duration{v}, least, most, why)
}

// Mean gives a hint which of some words was meant, or lists them.
func (k Keys) Mean(word string, words []string) string {
	return cmp.Or(didYouMean(word, words), "there are "+listed(words))
}

// own gives a driver's own key of a device, as it is there; false: it has none.
func (d *Device) own(key string) (reflect.Value, bool) {
	if d.Own == nil {
		return reflect.Value{}, false
	}
	v := reflect.ValueOf(d.Own).Elem()
	i, ok := fieldsOf(v.Type())[key]
	if !ok {
		return reflect.Value{}, false
	}
	return v.Field(i), true
}

// refs are the places of secrets among a device's keys.
func (d *Device) refs() []*Ref {
	refs := []*Ref{&d.Token, &d.Key}
	if d.Own == nil {
		return refs
	}
	v := reflect.ValueOf(d.Own).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("is") == "ref" {
			refs = append(refs, (*Ref)(v.Field(i).Addr().Interface().(*string)))
		}
	}
	return refs
}

// Secrets tells where a device's are, each that is configured.
func (d Device) Secrets() (refs []Ref) {
	for _, r := range d.refs() {
		if *r != "" {
			refs = append(refs, *r)
		}
	}
	return refs
}

// copied is the device with own keys that nobody else has.
func (d Device) copied() Device {
	if d.Own != nil {
		own := reflect.New(reflect.TypeOf(d.Own).Elem())
		own.Elem().Set(reflect.ValueOf(d.Own).Elem())
		d.Own = own.Interface()
	}
	return d
}

// Pulses tells whether the device has lines of the GPIO chip in the place of a path.
func (d Device) Pulses() bool { return d.Data0 != "" || d.Data1 != "" }
