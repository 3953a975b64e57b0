package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ban is one arrow that must not exist, and why.
type ban struct {
	from   string // package pattern, relative to the module (path.Match, or a prefix ending in /...)
	imp    string // import pattern, likewise
	except string // packages that may, space-separated patterns; each must be in use
	why    string
}

var bans = []ban{
	{"devices/...", "boothd/agent/...", "", "a driver knows nothing of borders"},
	{"devices/...", "boothd/buffer/...", "", "a driver keeps nothing"},
	{"devices/...", "boothd/configs", "", "a driver is configured by its own Config"},
	{"devices", "*.*/...", "", "what all drivers share is types alone"},
	{"devices/*", "boothd/devices/*", "devices/devicestest devices/relay", "no driver leans on another; a relay is a chip of outputs"},
	{"buffer/...", "boothd/agent/...", "", "a store knows nothing of borders"},
	{"buffer/...", "boothd/devices/...", "", "a store knows nothing of hardware"},
	{"buffer/...", "boothd/configs", "", "a store is configured by its own Config"},
	{"configs", "boothd/...", "", "the configuration decides nothing"},
	{"agent/...", "boothd/cmd/...", "", "no booth depends on headquarters' code"},
	{"agent/*", "boothd/devices/*", "agent/token", "hardware.go alone knows the drivers; a token needs the decoders of what was read"},
	{"agent/*", "boothd/agent", "", "what a booth is made of does not know the booth"},
	{"agent/passage", "boothd/agent/...", "", "judgement comes first: others see its types, never the reverse"},
	{"agent/lists", "net/...", "", "lists are verified the same, whatever carries them"},
	{"agent/uplink/...", "boothd/buffer/eligibility", "", "the uplink reads the journal and nothing else"},
	{"agent/uplink/...", "boothd/agent/passage", "", "the uplink carries bytes and judges nothing"},
	{"agent/status", "boothd/buffer/...", "", "the status reads snapshots and owns nothing"},
	{"cmd/boothhq/...", "boothd/buffer/...", "", "headquarters keeps nothing in a booth's store"},
	{"cmd/boothhq/...", "boothd/devices/*", "", "headquarters has no hardware"},
	{"cmd/...", "boothd/agent/uplink", "cmd/boothsim/internal/fleet", "headquarters and tools are no booths; a fleet is"},

	{"...", "database/sql/...", "buffer/... cmd/boothhq/internal/receiver", "judgement written in WHERE has no reasons and no table tests"},
	{"...", "github.com/mattn/go-sqlite3", "buffer/internal/sqlite cmd/boothhq/internal/receiver", "one place sets the pragmas and reads them back"},
	{"...", "github.com/jackc/...", "cmd/boothhq/internal/receiver/...", "PostgreSQL is headquarters' alone"},
	{"...", "github.com/nats-io/...", "cmd/boothhq/internal/receiver", "a booth speaks MQTT to any broker; only the receiver pulls from a stream"},
	{"...", "github.com/mochi-mqtt/...", "agent/uplink/uplinktest cmd/boothsim", "a broker for tests and the demonstration only"},
	{"...", "github.com/eclipse/...", "agent/uplink/... cmd/boothhq cmd/boothhq/internal/receiver docs/consumer", "few places know the MQTT library's traps"},
	{"...", "github.com/theupdateframework/...", "agent/lists cmd/boothctl cmd/boothhq/internal/authority", "trust in lists is judged in one place"},
	{"...", "github.com/secure-systems-lab/...", "agent/contract", "what is signed is sealed and opened in one place"},
	{"...", "github.com/pelletier/...", "configs cmd/boothctl cmd/boothhq", "configuration is read in one place, strictly"},
	{"...", "github.com/prometheus/...", "agent/status cmd/boothhq", "the lane counts; others tell"},
	{"...", "github.com/alecthomas/...", "cmd/*", "flags belong to programs"},
	{"...", "go.bug.st/serial", "devices/port", "one place knows the serial library's traps"},
	{"...", "periph.io/...", "devices/gpio cmd/boothd", "one place claims lines, in a safe state"},
	{"...", "github.com/creack/pty", "devices/sim", "a pty is a simulated cable"},
}

// pure packages may not reach out at all.
var pure = []string{"agent/passage", "agent/signal", "agent/token", "agent/contract", "agent/command"}

var outside = []string{"os", "os/...", "net", "net/...", "database/sql", "log", "log/slog", "syscall", "io/ioutil", "crypto/rand", "math/rand/...", "sync/..."}

// world is what a pure package may not ask of the packages that it may import.
var world = []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick", "time.NewTimer", "time.NewTicker",
	"uuid.New", "uuid.NewV7", "uuid.NewRandom", "uuid.NewString"}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestArrowsRunOneWay(t *testing.T) {
	used := map[string]bool{} // exceptions
	for _, p := range modulePackages(t) {
		name := strings.TrimPrefix(p.ImportPath, "boothd/")
		for _, imp := range p.Imports {
			for _, b := range bans {
				if !matches(b.from, name) || !matches(b.imp, imp) {
					continue
				}
				if e := excepted(b.except, name); e != "" {
					used[b.imp+" "+e] = true
				} else {
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
	for _, b := range bans {
		for _, e := range strings.Fields(b.except) {
			if !used[b.imp+" "+e] {
				t.Errorf("%s may import %s and does not: take it out of the ban's exceptions", e, b.imp)
			}
		}
	}
}

// The core does nothing but compute: it reads no clock, draws no number and
// starts nothing (I8).
func TestI8_TheCoreAsksNothingOfTheWorld(t *testing.T) {
	files := 0
	for _, core := range pure {
		names, err := filepath.Glob(filepath.Join("..", core, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files++
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%s starts a goroutine", set.Position(n.Pos()))
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && slices.Contains(world, x.Name+"."+n.Sel.Name) {
						t.Errorf("%s asks for %s.%s", set.Position(n.Pos()), x.Name, n.Sel.Name)
					}
				}
				return true
			})
		}
	}
	if files < 30 {
		t.Errorf("looked into %d files", files)
	}
}

// The daemon links no more than it needs: neither what tests and headquarters
// are made of, nor more modules than can be watched.
func TestTheDaemonLinksLittle(t *testing.T) {
	const most = 35 // modules, ours and the standard library's not counted
	out, err := exec.Command("go", "list", "-deps", "-tags", "sqlite_omit_load_extension", "-f", "{{with .Module}}{{.Path}}{{end}}", "boothd/cmd/boothd").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	modules = slices.Compact(modules)
	if len(modules)-1 > most || len(modules) < 10 {
		t.Errorf("boothd links %d modules, at most %d: %v", len(modules)-1, most, modules)
	}
	for _, m := range modules {
		for _, no := range []string{"github.com/jackc/...", "github.com/nats-io/...", "github.com/mochi-mqtt/...", "github.com/creack/...", "github.com/santhosh-tekuri/..."} {
			if matches(no, m) {
				t.Errorf("boothd links %s", m)
			}
		}
	}
}

// matches reads patterns as the go command does: "a/..." is a and all below.
func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		prefix = strings.TrimSuffix(prefix, "/")
		first, _, _ := strings.Cut(name, "/")
		ok, err := path.Match(prefix, first)
		return prefix == "" || name == prefix || strings.HasPrefix(name, prefix+"/") || ok && err == nil
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// excepted is the pattern that a package falls under; "" if there is none.
func excepted(patterns, name string) string {
	for _, f := range strings.Fields(patterns) {
		if matches(f, name) {
			return f
		}
	}
	return ""
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
