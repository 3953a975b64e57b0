package docs_test

import (
	"os"
	"strings"
	"testing"

	"boothd/agent/command"
)

// Every command has its row, and every reason of a refusal its word.
func TestCommandsTellEveryNameAndReason(t *testing.T) {
	page, err := os.ReadFile("commands.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range command.Names() {
		if !strings.Contains(string(page), "\n| `"+name+"` | ") {
			t.Errorf("commands.md has no row for %s", name)
		}
	}
	for _, r := range command.Reasons() {
		if !strings.Contains(string(page), "`"+string(r)+"`") {
			t.Errorf("commands.md does not explain %s", r)
		}
	}
}
