package configs

import (
	"embed"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"sync"
)

// profileFiles are what is known of makes of devices, as data: a camera or a
// reader of another make is an entry there and no line of code.
//
//go:embed profiles/*.toml
var profileFiles embed.FS

// profile is what is known of one make of device.
type profile struct {
	driver Driver
	limits Limits
	keys   map[string]*node // of [[device]], for a device that does not write them
}

// Limits is what a reader of one model can do. A zero field: nothing is known.
type Limits struct {
	PowerMost float64  `toml:"power_most"` // dBm
	Antennas  int      `toml:"antennas"`   // how many it has
	Regions   []string `toml:"regions"`    // that it takes
}

// Keys of [[device]] that name a profile, and the tables of the files.
const (
	keyTemplate = "template"
	keyModel    = "model"
)

// profiles gives every profile by key and name. What is wrong with the files is
// wrong with the program.
var profiles = sync.OnceValue(func() map[string]map[string]profile {
	known := map[string]map[string]profile{keyTemplate: {}, keyModel: {}}
	names, err := profileFiles.ReadDir("profiles")
	if err != nil {
		panic(err)
	}
	for _, n := range names {
		text, err := profileFiles.ReadFile(path.Join("profiles", n.Name()))
		if err != nil {
			panic(err)
		}
		root, fault := parse(n.Name(), text)
		if fault != nil {
			panic(*fault)
		}
		for kind, table := range root.table {
			for name, n := range table.table {
				known[kind][name] = profileOf(n)
			}
		}
	}
	return known
})

func profileOf(n *node) profile {
	b, p := newBinder(nil), profile{keys: maps.Clone(n.table)}
	bind := func(key string, dst any) {
		if inner, ok := p.keys[key]; ok {
			b.value(key, inner, reflect.ValueOf(dst).Elem())
			delete(p.keys, key)
		}
	}
	bind("driver", &p.driver)
	bind("limits", &p.limits)
	if len(b.problems) > 0 {
		panic(b.problems)
	}
	return p // its keys are judged where a device names it
}

// profiles names the profiles that the driver's devices may name with a key.
func (k Kind) profiles(key string) (names []string) {
	if key == keyTemplate && k.Custom {
		names = append(names, string(TemplateCustom))
	}
	for name, p := range profiles()[key] {
		if p.driver == k.Driver {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// fill writes into every device what its template and model say and it does not.
// Faults in that are shown where the device names them.
func fill(root *node) {
	list, ok := root.table["device"]
	if !ok {
		return
	}
	for _, d := range list.list {
		for _, key := range []string{keyTemplate, keyModel} {
			named, ok := d.table[key]
			if !ok {
				continue
			}
			name, _ := named.scalar.(string)
			p, ok := profiles()[key][name]
			if driver, said := d.table["driver"]; !ok || !said || driver.scalar != string(p.driver) {
				continue // told when it is bound or checked
			}
			for _, k := range slices.Sorted(maps.Keys(p.keys)) {
				_, written := d.table[k]
				if _, silence := d.table["silence"]; !written && (k != "end" || !silence) { // either ends a report
					d.table[k] = p.keys[k].at(named.val)
				}
			}
		}
	}
}

// at is the same value at another place.
func (n *node) at(p place) *node {
	c := *n
	c.key, c.val = p, p
	if n.table != nil {
		c.table = make(map[string]*node, len(n.table))
		for k, inner := range n.table {
			c.table[k] = inner.at(p)
		}
	}
	c.list = slices.Clone(n.list)
	for i, inner := range c.list {
		c.list[i] = inner.at(p)
	}
	return &c
}

// Models lists those of the driver's readers in order.
func (k Kind) Models() (names []Model) {
	for _, name := range k.profiles(keyModel) {
		names = append(names, Model(name))
	}
	return names
}

// Template is the ready-made form of a camera's reports.
type Template string

// TemplateCustom says that the device's own keys tell all; profiles/cameras.toml has
// the other templates.
const TemplateCustom Template = "custom"

// UnmarshalText takes a template of any driver.
func (t *Template) UnmarshalText(b []byte) error { return chooseProfile(t, b, keyTemplate) }

// Model is a make of reader whose limits are known.
type Model string

// UnmarshalText takes a model of any driver.
func (m *Model) UnmarshalText(b []byte) error { return chooseProfile(m, b, keyModel) }

// Limits is what readers of the model can do.
func (m Model) Limits() Limits { return profiles()[keyModel][string(m)].limits }

func chooseProfile[T ~string](dst *T, text []byte, key string) error {
	var names []T
	if key == keyTemplate {
		names = append(names, T(TemplateCustom))
	}
	for name := range profiles()[key] {
		names = append(names, T(name))
	}
	slices.Sort(names)
	return choose(dst, text, names...)
}

// named checks that a device's template and model are of its driver, and that
// it asks no more of the model than it can.
func (c *checker) named(p string, d *Device, of Kind) {
	for key, name := range map[string]string{keyTemplate: string(d.Template), keyModel: string(d.Model)} {
		at, have := sub(p, key), of.profiles(key)
		if name != "" && !c.bad[at] && !slices.Contains(have, name) {
			c.refuse(at, fmt.Sprintf("driver %q has no %s %q", d.Driver, key, name), "it has "+listed(have))
		}
	}
	can := d.Model.Limits()
	if power, ok := d.own("power"); ok && can.PowerMost > 0 && power.Float() > can.PowerMost {
		c.refuse(sub(p, "power"), fmt.Sprintf("%v dBm, and model %q has %v", power.Float(), d.Model, can.PowerMost), "write less")
	}
	if region, ok := d.own("region"); ok && can.Regions != nil && region.String() != "" && !slices.Contains(can.Regions, region.String()) {
		c.refuse(sub(p, "region"), fmt.Sprintf("model %q does not take %q", d.Model, region.String()), "it takes "+listed(can.Regions))
	}
	for i, a := range d.Antennas {
		if can.Antennas > 0 && a > can.Antennas {
			c.refuse(item(sub(p, "antennas"), i), fmt.Sprintf("antenna %d, and model %q has %d", a, d.Model, can.Antennas), "")
		}
	}
}

// Device is what a driver's template says, as a device that has no other keys.
// It is false if the driver has none of that name.
func (ks Kinds) Device(d Driver, t Template) (Device, bool) {
	p, ok := profiles()[keyTemplate][string(t)]
	if !ok || p.driver != d {
		return Device{}, false
	}
	keys := maps.Clone(p.keys)
	keys["driver"] = &node{scalar: string(d)}
	out := Device{Template: t}
	newBinder(ks).table("", &node{table: keys}, reflect.ValueOf(&out).Elem())
	return out, true
}

// Templates lists those of the driver in order, without "custom".
func (k Kind) Templates() (names []Template) {
	for _, name := range k.profiles(keyTemplate) {
		if Template(name) != TemplateCustom {
			names = append(names, Template(name))
		}
	}
	return names
}
