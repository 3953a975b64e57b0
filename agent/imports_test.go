package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// ban is one arrow that must not exist, and why.
type ban struct {
	from   string // package pattern, relative to the module (path.Match, or a prefix ending in /...)
	imp    string // import pattern, likewise
	except string // packages that may, space-separated
	why    string
}

var bans = []ban{
	{"devices/...", "boothd/agent/...", "", "a driver knows nothing of borders"},
	{"devices/...", "boothd/buffer/...", "", "a driver keeps nothing"},
	{"devices/...", "boothd/configs", "", "a driver is configured by its own Config"},
	{"buffer/...", "boothd/agent/...", "", "a store knows nothing of borders"},
	{"buffer/...", "boothd/devices/...", "", "a store knows nothing of hardware"},
	{"buffer/...", "boothd/configs", "", "a store is configured by its own Config"},
	{"configs", "boothd/...", "", "the configuration decides nothing"},
	{"agent/...", "boothd/cmd/...", "", "no booth depends on headquarters' code"},
	{"...", "go.bug.st/serial", "devices/port", "one place knows the serial library's traps"},
	{"...", "github.com/mattn/go-sqlite3", "buffer/internal/sqlite cmd/boothhq/internal/receiver", "one place sets the pragmas and reads them back"},
	{"agent/...", "database/sql", "", "judgement written in WHERE has no reasons and no table tests"},
}

// pure packages may not reach out at all.
var pure = []string{"agent/passage", "agent/signal", "agent/token", "agent/contract"}

var outside = []string{"os", "os/...", "net", "net/...", "database/sql", "log", "log/slog", "syscall", "io/ioutil"}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestArrowsRunOneWay(t *testing.T) {
	for _, p := range modulePackages(t) {
		name := strings.TrimPrefix(p.ImportPath, "boothd/")
		for _, imp := range p.Imports {
			for _, b := range bans {
				if matches(b.from, name) && matches(b.imp, imp) && !contains(b.except, name) {
					t.Errorf("%s imports %s: %s", name, imp, b.why)
				}
			}
			for _, core := range pure {
				for _, out := range outside {
					if name == core && matches(out, imp) {
						t.Errorf("%s imports %s: the core is pure", name, imp)
					}
				}
			}
		}
	}
}

// matches reads patterns as the go command does: "a/..." is a and all below.
func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		prefix = strings.TrimSuffix(prefix, "/")
		return prefix == "" || name == prefix || strings.HasPrefix(name, prefix+"/")
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func contains(list, name string) bool {
	for _, f := range strings.Fields(list) {
		if f == name {
			return true
		}
	}
	return false
}

func modulePackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags", "sqlite_omit_load_extension", "-json=ImportPath,Imports", "boothd/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		t.Fatalf("only %d packages listed", len(all))
	}
	return all
}

// Raw identifiers come out of devices.Ident in one place only (I7).
func TestI7_OnlyTokensReveal(t *testing.T) {
	root := os.DirFS("..")
	seen := 0
	err := fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		b, err := fs.ReadFile(root, name)
		seen++
		if bytes.Contains(b, []byte(".Reveal()")) && !strings.HasPrefix(name, "agent/token/") {
			t.Errorf("%s reveals an identifier: ask agent/token for a token", name)
		}
		return err
	})
	if err != nil || seen < 100 {
		t.Errorf("looked into %d files: %v", seen, err)
	}
}
