package docs_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"boothd/agent"
	"boothd/agent/passage"
	"boothd/configs"
)

// The table of lanes.md is the domain's, which the program is tested against,
// in the program's own words.
func TestLanesTellEveryReason(t *testing.T) {
	page, err := os.ReadFile("lanes.md")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("../agent/passage/testdata/outcomes.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) != 6 {
			continue
		}
		n, err := strconv.Atoi(f[0])
		if err != nil {
			continue
		}
		seen++
		want := fmt.Sprintf("| %s | %s | %s | %s |\n", f[0], f[1], passage.Code(n).Words(), strings.Join(f[2:], " | "))
		if !strings.Contains(string(page), want) {
			t.Errorf("lanes.md lacks %s", want)
		}
	}
	if seen != len(passage.Codes()) {
		t.Errorf("%d rows", seen)
	}
}

// Every driver and every board that a configuration may name has its row in
// hardware.md, and every template of a camera and model of a reader.
func TestHardwareTellsEveryDriver(t *testing.T) {
	page, err := os.ReadFile("hardware.md")
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"`modbus`", "`modbus-registers`", "`lcus`", "`lcus-answer`", "`lcus-text`", "`numato`"}
	for _, k := range agent.Drivers {
		if k.Driver != "line" {
			words = append(words, "`"+string(k.Driver)+"`")
		}
		for _, tpl := range k.Templates() {
			words = append(words, "`"+string(tpl)+"`")
		}
		for _, m := range k.Models() {
			words = append(words, "`"+string(m)+"`")
		}
	}
	for _, point := range configs.OutPoints() {
		if !strings.HasPrefix(point, "officer_") {
			words = append(words, "`"+point+"`")
		}
	}
	for _, w := range words {
		if !strings.Contains(string(page), w) {
			t.Errorf("hardware.md lacks %s", w)
		}
	}
}
