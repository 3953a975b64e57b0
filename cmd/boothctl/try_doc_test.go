package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Every command that the technician's page has somebody type is one.
func TestTechniciansPageHasRealCommands(t *testing.T) {
	page, err := os.ReadFile("../../docs/technician.md")
	if err != nil {
		t.Fatal(err)
	}
	verbs := map[string]bool{}
	for _, found := range regexp.MustCompile("(?m)(?:^    (?:\\$ )?|`)boothctl ([a-z][^`\\n]*)").FindAllStringSubmatch(string(page), -1) {
		args := strings.Fields(strings.ReplaceAll(found[1], `'template = "axxon"'`, "template=axxon"))
		parser, err := kong.New(&cli{}, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(args); err != nil {
			t.Errorf("boothctl %s: %v", found[1], err)
		}
		verbs[args[0]] = true
	}
	for _, verb := range []string{"ports", "probe", "check", "try", "capture", "status", "watch", "list"} {
		if !verbs[verb] {
			t.Errorf("the page does not show boothctl %s", verb)
		}
	}
}
