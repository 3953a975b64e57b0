package passage

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// row is one case of a lane's table in testdata: what differs from the clean passage, and
// what must come of it.
type row struct {
	name    string
	edit    func(*Policy, *Evidence, *Facts)
	outcome Outcome
	lead    Code
	reasons []Code
}

// lanesOf are the lanes with a table, each with its clean passage.
var lanesOf = map[string]func() (Policy, Evidence, Facts){
	"nx": clean, "fa": cleanTruck, "air": cleanSession, "gen": cleanGeneral,
}

// nexusRows reads testdata/nx.txt, once.
func nexusRows(t testing.TB) []row { return rowsOf(t, "nx") }

// rowsOf reads a lane's table, once.
func rowsOf(t testing.TB, lane string) []row {
	t.Helper()
	all, err := loadRows()
	if err != nil {
		t.Fatal(err)
	}
	return all[lane]
}

var loadRows = sync.OnceValues(func() (map[string][]row, error) {
	all := map[string][]row{}
	for lane, base := range lanesOf {
		rows, err := loadTable("testdata/"+lane+".txt", base)
		if err != nil {
			return nil, err
		}
		all[lane] = rows
	}
	return all, nil
})

func loadTable(file string, base func() (Policy, Evidence, Facts)) (rows []row, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the table: %w", err)
	}
	var changes []string
	name := ""
	for i, line := range strings.Split(string(text), "\n") {
		word := strings.TrimSpace(line)
		switch {
		case word == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(word, "-> "):
			r, err := parseRow(name, changes, word, base)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
			}
			rows, changes, name = append(rows, r), nil, ""
		case line == word && name == "":
			name = word
		case line != word && name != "":
			changes = append(changes, word)
		default:
			return nil, fmt.Errorf("%s:%d: %q is neither name, change nor result", file, i+1, line)
		}
	}
	if name != "" {
		return nil, fmt.Errorf("%s: %q has no result", file, name)
	}
	return rows, nil
}

func parseRow(name string, changes []string, result string, base func() (Policy, Evidence, Facts)) (row, error) {
	r := row{name: name}
	f := strings.Fields(result)
	if name == "" || len(f) < 5 || f[3] != "of" {
		return r, fmt.Errorf("%q: want \"-> OUTCOME lead of reasons\" below a name", result)
	}
	if err := r.outcome.UnmarshalText([]byte(f[1])); err != nil {
		return r, err
	}
	for i, word := range append(f[2:3:3], f[4:]...) {
		n, err := strconv.Atoi(word)
		if err != nil || !Code(n).known() {
			return r, fmt.Errorf("%q is no reason code", word)
		}
		if i == 0 {
			r.lead = Code(n)
		} else {
			r.reasons = append(r.reasons, Code(n))
		}
	}
	pol, ev, facts := base()
	if err := change(&pol, &ev, &facts, changes); err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	r.edit = func(pol *Policy, ev *Evidence, f *Facts) {
		// On a passage that another row has changed, a path may be gone.
		_ = change(pol, ev, f, changes)
	}
	return r, nil
}

// change makes the differences by way of JSON, so that the table needs no Go.
// Values are decoded into fresh ones: the caller's share nothing with them.
func change(pol *Policy, ev *Evidence, f *Facts, changes []string) error {
	type whole struct {
		P *Policy   `json:"policy"`
		E *Evidence `json:"evidence"`
		F *Facts    `json:"facts"`
	}
	b, err := json.Marshal(whole{pol, ev, f})
	if err != nil {
		return err
	}
	var tree map[string]any
	if err := json.Unmarshal(b, &tree); err != nil {
		return err
	}
	for _, c := range changes {
		if err := changeOne(tree, c); err != nil {
			return fmt.Errorf("%q: %w", c, err)
		}
	}
	if b, err = json.Marshal(tree); err != nil {
		return err
	}
	var p2 Policy
	var e2 Evidence
	var f2 Facts
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&whole{&p2, &e2, &f2}); err != nil {
		return err
	}
	*pol, *ev, *f = p2, e2, f2
	return nil
}

func changeOne(tree map[string]any, c string) error {
	if spec, ok := strings.CutPrefix(c, "lookout "); ok {
		h, err := parseHit(spec)
		if err != nil {
			return err
		}
		facts := tree["facts"].(map[string]any)
		hits, _ := facts["hits"].([]any)
		facts["hits"] = append(slices.Clone(hits), h)
		return nil
	}
	path, value, ok := strings.Cut(c, " = ")
	if !ok {
		return fmt.Errorf("want path = value")
	}
	var v any
	last := path[strings.LastIndex(path, ".")+1:]
	if i := slices.Index(words[last], value); i >= 0 {
		if v = i; last == "status" && i >= len(statuses) {
			v = i - len(statuses) + 1
		}
	} else if err := json.Unmarshal([]byte(value), &v); err != nil {
		return err
	}
	return set(tree, strings.Split(path, "."), v)
}

// boxes are the statuses of containers, from 1.
var boxes = []string{"none", "prescreened", "hold", "do-not-release"}

var statuses = []string{"unknown", "active", "suspended", "revoked", "pending", "issued", "superseded", "lost", "stolen"}

// words are the names of numbers, by the last part of the path.
var words = map[string][]string{
	"card": statuses, "membership": statuses, "status": append(statuses[:len(statuses):len(statuses)], boxes...), "clock": {"unset", "restored", "holdover", "synced"},
}

func set(at any, path []string, v any) error {
	switch node := at.(type) {
	case map[string]any:
		if len(path) == 1 {
			node[path[0]] = v
			return nil
		}
		return set(node[path[0]], path[1:], v)
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(node) {
			return fmt.Errorf("no element %s", path[0])
		}
		if len(path) == 1 {
			node[i] = v
			return nil
		}
		return set(node[i], path[1:], v)
	}
	return fmt.Errorf("no %s", path[0])
}

func parseHit(spec string) (any, error) {
	f := strings.Fields(spec)
	h := hit(Action(f[0]))
	for _, word := range f[1:] {
		var err error
		switch key, value, _ := strings.Cut(word, "="); key {
		case "possible":
			h.Possible = true
		case "region":
			h.Region = value
		case "from":
			h.ValidFrom, err = time.Parse(time.RFC3339Nano, value)
		case "until":
			h.ValidUntil, err = time.Parse(time.RFC3339Nano, value)
		default:
			err = fmt.Errorf("unknown word %q", word)
		}
		if err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	var tree any
	err = json.Unmarshal(b, &tree)
	return tree, err
}
