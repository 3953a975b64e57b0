package eligibility

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"boothd/buffer/internal/sqlite"
)

// lookTries is how often a folder is looked at anew when its owner has just
// dropped what the index named.
const lookTries = 3

// Look opens what is active in a folder for reading alone, also while another
// process owns it: nothing is made, dropped or swept, and what is damaged says so
// at every look-up. Without lists it is os.ErrNotExist. Release the view.
func Look(ctx context.Context, dir string) (*View, error) {
	path := filepath.Join(dir, "index.db")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("looking at lists: %w", err)
	}
	db, err := sqlite.Open(ctx, path, sqlite.Options{ReadOnly: true, Migrations: indexSteps()})
	if err != nil {
		return nil, fmt.Errorf("looking at lists: %w", err)
	}
	defer db.Close() // it was only read
	s := &Store{dir: dir, index: db}
	for try := 1; ; try++ {
		v, err := s.look(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking at lists: %w", err)
		}
		if try == lookTries || v.whole() {
			return v, nil
		}
		v.Release()
	}
}

// look opens what the index names at this moment.
func (s *Store) look(ctx context.Context) (*View, error) {
	gens, active, err := s.readIndex(ctx)
	if err != nil {
		return nil, err
	}
	s.gens = gens
	v := &View{}
	v.refs.Store(1)
	for _, kind := range sortedKeys(active) {
		v.files = append(v.files, openFile(ctx, s.dir, s.find(kind, active[kind]), nil))
	}
	return v, nil
}

// whole tells whether no file is damaged, or missing, which is the same.
func (v *View) whole() bool {
	for _, f := range v.files {
		if errors.Is(f.err, ErrCorrupt) {
			return false
		}
	}
	return true
}
