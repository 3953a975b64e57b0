package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"boothd/agent/contract"
)

// listsDiffCmd tells what a new build would change. Rows are known by their
// tokens alone.
type listsDiffCmd struct {
	Old  string `arg:"" help:"Folder with lists: built ones (cards.list), or targets/ of a repository (cards-17.list)."`
	New  string `arg:"" help:"The same."`
	Rows int    `help:"Tell so many changed rows of each list by their tokens." placeholder:"N"`
}

// diffMost bounds the changes that are looked at of one list.
const diffMost = 20_000_000

// kindDiff is what happens to one list.
type kindDiff struct {
	Kind    string   `json:"kind"`
	Old     uint64   `json:"old"` // rows
	New     uint64   `json:"new"`
	Added   int      `json:"added"`
	Changed int      `json:"changed"`
	Removed int      `json:"removed"`
	Delta   bool     `json:"delta"`           // booths would get what changes, not the whole list
	Force   bool     `json:"force,omitempty"` // booths refuse it without force
	Rows    []string `json:"rows,omitempty"`  // "A token", "R token", "D token"
}

// Run exits 0 whether there is a difference or not.
func (c *listsDiffCmd) Run(t *tool) error {
	var out []kindDiff
	for _, kind := range contract.ListKinds() {
		d, err := c.diff(kind)
		if err != nil {
			return &failure{err, "name two folders as boothhq lists build makes them", exitFailure}
		}
		if d != nil {
			out = append(out, *d)
		}
	}
	if len(out) == 0 {
		return &failure{fmt.Errorf("no list in %s or %s", c.Old, c.New), "name two folders as boothhq lists build makes them", exitFailure}
	}
	if t.json {
		return t.print(struct {
			Lists []kindDiff `json:"lists"`
		}{out})
	}
	for _, d := range out {
		note := ""
		switch {
		case d.Added+d.Changed+d.Removed == 0:
			note = "the same"
		case d.Force:
			note = "booths refuse it without --force " + d.Kind
		case d.Old > 0 && d.Delta:
			note = "booths get what changes"
		default:
			note = "booths get the whole list"
		}
		fmt.Fprintf(t.stdout, "%-11s %8d rows, %8d before: %d added, %d changed, %d removed; %s\n", d.Kind, d.New, d.Old, d.Added, d.Changed, d.Removed, note)
		for _, r := range d.Rows {
			fmt.Fprintf(t.stdout, "    %s\n", r)
		}
	}
	return nil
}

// diff compares one kind; nil if neither folder has it.
func (c *listsDiffCmd) diff(kind string) (*kindDiff, error) {
	old, err := listIn(c.Old, kind)
	if err != nil {
		return nil, err
	}
	fresh, err := listIn(c.New, kind)
	if err != nil || old == nil && fresh == nil {
		return nil, err
	}
	d := &kindDiff{Kind: kind}
	rows := func(b []byte, n *uint64) (iter.Seq2[contract.ListRow, error], error) {
		if b == nil {
			return func(func(contract.ListRow, error) bool) {}, nil
		}
		r, err := contract.ReadList(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		*n = r.ListHeader.Rows
		return r.Rows(), nil
	}
	from, err := rows(old, &d.Old)
	if err != nil {
		return nil, err
	}
	to, err := rows(fresh, &d.New)
	if err != nil {
		return nil, err
	}
	changes, _, err := contract.DiffLists(from, to, diffMost)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	bytesOf := 0
	for _, ch := range changes {
		switch ch.Op {
		case contract.Add:
			d.Added++
		case contract.Replace:
			d.Changed++
		case contract.Remove:
			d.Removed++
		}
		bytesOf += 17 + len(ch.Value)
		if len(d.Rows) < c.Rows {
			d.Rows = append(d.Rows, fmt.Sprintf("%c %s", byte(ch.Op), contract.TokenHex(ch.Token)))
		}
	}
	d.Delta = len(changes) <= contract.MaxDeltaChanges && bytesOf < len(fresh)/2
	d.Force = fresh != nil && old != nil && (d.New == 0 || d.New < d.Old-d.Old/10)
	return d, nil
}

// listIn reads the newest list of a kind in a folder; nil if there is none.
func listIn(dir, kind string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, kind+".list"))
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	names, err := filepath.Glob(filepath.Join(dir, kind+"-*.list"))
	if err != nil || len(names) == 0 {
		return nil, err
	}
	generation := func(name string) uint64 {
		n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), kind+"-"), ".list"), 10, 63) // 0: not one of ours
		return n
	}
	newest := slices.MaxFunc(names, func(a, b string) int { return int(int64(generation(a)) - int64(generation(b))) })
	return os.ReadFile(newest)
}
