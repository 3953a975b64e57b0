package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"boothd/agent/contract"
)

// Whatever class of events a booth has can be asked for.
func TestEventsOfEveryClass(t *testing.T) {
	field, _ := reflect.TypeFor[eventsCmd]().FieldByName("Class")
	known := strings.Split(field.Tag.Get("enum"), ",")
	for _, typ := range contract.Types() {
		if !slices.Contains(known, string(typ.Class())) {
			t.Errorf("--class %s (%s) is not to be had", typ.Class(), typ)
		}
		if !strings.Contains(field.Tag.Get("help"), string(typ.Class())) {
			t.Errorf("%s is not in the help", typ.Class())
		}
	}
}
