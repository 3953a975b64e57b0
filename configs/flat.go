package configs

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// flat is the configuration as it is written: a driver's own keys stand in its
// device's table beside the others.
func (c *Config) flat() any {
	devices := make([]any, len(c.Devices))
	for i := range c.Devices {
		devices[i] = c.Devices[i].flat()
	}
	whole := fieldsIn(reflect.ValueOf(c).Elem())
	for i, f := range whole {
		if f.name == "Devices" {
			whole[i].value = reflect.ValueOf(devices)
		}
	}
	return structOf(whole)
}

func (d *Device) flat() any {
	all := fieldsIn(reflect.ValueOf(d).Elem())
	if d.Own == nil {
		return structOf(all)
	}
	for _, f := range fieldsIn(reflect.ValueOf(d.Own).Elem()) {
		f.name = "Own" + f.name // a driver's names are its own affair
		all = append(all, f)
	}
	return structOf(all)
}

// TOML gives the device's keys, its driver's own ones too, as ParseDevice takes them.
func (d *Device) TOML() ([]byte, error) {
	b, err := toml.Marshal(d.flat())
	if err != nil {
		return nil, fmt.Errorf("writing a device: %w", err)
	}
	return b, nil
}

// ParseDevice takes what TOML gave. It may have no path. The keys are known and of
// the right type; whether they go together is not judged.
func (ks Kinds) ParseDevice(content []byte) (Device, error) {
	var d Device
	root, fault := parse("device", content)
	if fault != nil {
		return d, Problems{*fault}
	}
	if path := root.table["path"]; path != nil && path.scalar == "" {
		delete(root.table, "path")
	}
	b := newBinder(ks)
	b.table("", root, reflect.ValueOf(&d).Elem())
	if len(b.problems) > 0 {
		return Device{}, b.problems
	}
	return d, nil
}

// field is one that has a key.
type field struct {
	name  string
	tag   reflect.StructTag
	value reflect.Value
}

// fieldsIn gives a struct's fields that have a key, spans as this package writes
// them.
func fieldsIn(v reflect.Value) (fields []field) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		if key := f.Tag.Get("toml"); key == "" || key == "-" {
			continue
		}
		if span, is := value.Interface().(time.Duration); is {
			value = reflect.ValueOf(Duration{span})
		}
		tag := f.Tag
		if value.Kind() == reflect.Slice && !value.IsNil() && value.Len() == 0 { // written to be none, whatever a template says
			tag = reflect.StructTag(strings.Replace(string(tag), ",omitempty", "", 1))
		}
		fields = append(fields, field{f.Name, tag, value})
	}
	return fields
}

// structOf is a struct of these fields, in this order.
func structOf(fields []field) any {
	types := make([]reflect.StructField, len(fields))
	for i, f := range fields {
		types[i] = reflect.StructField{Name: f.name, Type: f.value.Type(), Tag: f.tag}
	}
	v := reflect.New(reflect.StructOf(types)).Elem()
	for i, f := range fields {
		v.Field(i).Set(f.value)
	}
	return v.Interface()
}
