package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"boothd/test/programs"
)

// What lists.md tells to be typed works as it stands, in an empty folder.
func TestListsCanBeTyped(t *testing.T) {
	page, err := os.ReadFile("lists.md")
	if err != nil {
		t.Fatal(err)
	}
	bin, err := programs.Dir()
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	typed, told := 0, ""
	for line := range strings.Lines(string(page)) {
		command, ok := strings.CutPrefix(line, "    ")
		if !ok {
			continue
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir, cmd.Env = work, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		typed++
		told += string(out)
	}
	for _, want := range []string{
		"cards              2 rows,        1 before: 1 added, 1 changed, 0 removed", "members            1 rows,        1 before: 0 added, 0 changed, 0 removed; the same",
		"generation 2, 2 rows, published", "generation 3, 2 rows, published", " made; ",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(work, "web", "targets", "cards-*")); typed < 10 || len(left) == 0 {
		t.Errorf("%d lines typed, the web folder has %v", typed, left)
	}
}
