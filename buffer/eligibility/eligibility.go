// Package eligibility keeps the lists that headquarters sent: one immutable
// file per kind and generation, and a small index that says which generation
// of each kind is active. Values are opaque bytes found by a 16-byte token.
//
// A look-up never waits for an import and takes no file lock. Its answer is
// either right or an error: every row carries a checksum over itself and over
// the gap before it, so that a flipped bit is noticed also where it would only
// make a row disappear. Against damage, not against a forger: whoever can
// write these files owns the booth.
//
// A generation is built beside the active one, counted and digested while it
// is written, synced, and made active in one transaction of the index. After a
// crash at any point the old or the new generation is whole and active. A file
// that is damaged is dropped and the generation before it serves again, with
// the age it had.
//
// A list file is an ordinary SQLite database, and anyone may open it as one.
// SQLite makes it, checks it and reads it whole; the pages of its rows, which
// come sorted and never change, are written by the loader and searched by the
// tree, once for each row and with one read (measured in the benchmarks beside
// SQLite's own way).
//
// Times are wall clock, UTC, whole microseconds.
//
// Source: product design, section 4; mqtt contract, section 6; measured limits,
// 2c and 2d.
package eligibility

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"boothd/buffer/internal/sqlite"
	"boothd/buffer/room"
)

// Token is the key of a row: a keyed token of an identifier.
type Token [16]byte

// Row is one row of a list. A token occurs once in a list.
type Row struct {
	Token Token
	Value []byte // 1 to MaxValue bytes, opaque
}

// Limits.
const (
	MaxValue      = 4096    // bytes of one value
	MaxGeneration = 1 << 53 // numbers above it do not survive every JSON reader
	Kept          = 3       // generations of a kind that are kept, the active one included
)

var (
	// ErrNoList says that no generation of the kind is active (reason 203).
	ErrNoList = errors.New("no list of this kind")
	// ErrCorrupt says that a list's file is damaged (reason 206). Discard it
	// and ask for it again.
	ErrCorrupt = errors.New("list file is damaged")
	// ErrMismatch says that rows do not have the order, number or digest that
	// was announced.
	ErrMismatch = errors.New("rows are not what was announced")
	// ErrNotNewer says that a generation is not above the active one.
	ErrNotNewer = errors.New("generation is not newer than the active one")
	// ErrClosed says that the store or the view was closed or released.
	ErrClosed = errors.New("list store is closed")
)

// Fault says which generation could not be read, and why.
type Fault struct {
	Kind       string
	Generation uint64
	Err        error
}

func (f *Fault) Error() string { return fmt.Sprintf("list %s-%d: %v", f.Kind, f.Generation, f.Err) }

// Unwrap gives the cause; errors.Is(fault, ErrCorrupt) tells damage from a
// store that does not answer for the moment.
func (f *Fault) Unwrap() error { return f.Err }

// Generation is one whole version of a list, and what is known of it.
type Generation struct {
	Kind        string
	Generation  uint64
	Rows        uint64
	Digest      [sha256.Size]byte // over the sorted rows, see Spec
	Key         string            // see Spec
	ActivatedAt time.Time
	// Base is the whole generation that this one is an overlay on; 0: it is
	// whole itself.
	Base uint64
	// VerifiedAt is when headquarters last vouched for this generation; age
	// counts from it. Zero: never.
	VerifiedAt time.Time
	// CheckedAt is when every row was last read, or written, and found sound. That
	// of an overlay is its base's.
	CheckedAt time.Time
	// Announced says that Announced was called for it: its list.applied event
	// is in the journal.
	Announced bool
}

// Store holds the lists in one folder. Views and look-ups are for any
// goroutine; Build, Activate and the rest are serialised inside.
type Store struct {
	dir  string
	view atomic.Pointer[View]

	// mu lets an import, a heartbeat and a discard come from different
	// goroutines. No look-up ever takes it.
	mu     sync.Mutex
	index  *sqlite.DB
	gens   []Generation // every one kept, by kind, newest first
	faults []*Fault
	closed bool

	// freeing gives back the room of files that were dropped, until ending.
	freeing sync.WaitGroup
	ending  context.Context
	end     context.CancelFunc
}

// Open opens the folder, makes it if it is missing, and removes what crashes
// left behind. A damaged list is dropped for the generation before it, a
// damaged index is set aside and the booth starts without lists; both are told
// by Faults. A store written by a newer program is an error and is not
// touched.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening list store: %w", err)
	}
	s := &Store{dir: dir}
	if err := s.openIndex(ctx); err != nil {
		return nil, fmt.Errorf("opening list store: %w", err)
	}
	s.ending, s.end = context.WithCancel(context.Background())
	if err := s.load(ctx); err != nil {
		s.end()
		s.freeing.Wait()
		return nil, fmt.Errorf("opening list store: %w", errors.Join(err, s.index.Close()))
	}
	return s, nil
}

// load reads the index, opens what is active and sweeps the folder.
func (s *Store) load(ctx context.Context) error {
	gens, active, err := s.readIndex(ctx)
	if err != nil {
		return err
	}
	s.gens = gens
	first := &View{edition: 1}
	first.refs.Store(1)
	s.view.Store(first)
	for _, kind := range sortedKeys(active) {
		f := s.openTwice(ctx, s.find(kind, active[kind]))
		if errors.Is(f.err, ErrCorrupt) {
			s.faults = append(s.faults, &Fault{kind, active[kind], f.err})
			if f, err = s.fallBack(ctx, kind, active[kind]); err != nil {
				return err
			}
		}
		if f != nil {
			s.publish(f)
		}
	}
	if err := s.folded(ctx); err != nil {
		return err
	}
	return s.sweep()
}

// Close closes every file as soon as the last view of it is released.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	last := s.view.Swap(nil)
	last.Release()
	s.end()
	s.freeing.Wait()
	if err := s.index.Close(); err != nil {
		return fmt.Errorf("closing list index: %w", err)
	}
	return nil
}

// Faults tells what was found damaged since Open, in order.
func (s *Store) Faults() []*Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// Activate makes built generations the active ones, all or none: one
// transaction flips them together, so that cards never stand beside members of
// another publication. On an error the old ones stay active and the built
// files are still the caller's. ErrNotNewer refuses a generation that is not
// above the active one.
func (s *Store) Activate(ctx context.Context, built ...*Built) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	next, files, err := s.candidates(ctx, now, built)
	if err != nil {
		return fmt.Errorf("activating lists: %w", err)
	}
	if err := s.flip(ctx, next, files); err != nil {
		for _, f := range files {
			f.close()
		}
		return fmt.Errorf("activating lists: %w", err)
	}
	old := s.gens
	s.gens = next
	for _, b := range built {
		b.path = ""
	}
	s.publish(files...)
	s.drop(old)
	return nil
}

// candidates opens what is to be activated and says what would be kept then.
func (s *Store) candidates(ctx context.Context, now time.Time, built []*Built) (next []Generation, files []*file, err error) {
	defer func() {
		if err != nil {
			for _, f := range files {
				f.close()
			}
		}
	}()
	next = slices.Clone(s.gens)
	for _, b := range built {
		g := b.gen
		if b.store != s || b.path == "" {
			return nil, files, fmt.Errorf("list %s-%d: not built here, or used already", g.Kind, g.Generation)
		}
		if have, ok := s.activeOf(g.Kind); ok && g.Generation <= have {
			return nil, files, fmt.Errorf("list %s-%d, active is %d: %w", g.Kind, g.Generation, have, ErrNotNewer)
		}
		g.ActivatedAt, g.CheckedAt = now, now
		if below := s.view.Load().find(g.Kind); g.Base > 0 && below != nil {
			g.CheckedAt = below.known.Load().CheckedAt
		}
		f := openFile(ctx, s.dir, g, s.view.Load())
		files = append(files, f)
		if f.err != nil {
			return nil, files, &Fault{g.Kind, g.Generation, f.err}
		}
		next = slices.DeleteFunc(next, func(o Generation) bool { return o.Kind == g.Kind && o.Generation >= g.Generation })
		next = append(next, g)
	}
	return keep(next), files, nil
}

// Verified records that headquarters vouched at that time for the active
// generations of the kinds: a verified heartbeat that names them.
func (s *Store) Verified(ctx context.Context, at time.Time, kinds ...string) error {
	return s.mark(ctx, func(g *Generation) bool {
		if !slices.Contains(kinds, g.Kind) {
			return false
		}
		g.VerifiedAt = at.UTC().Truncate(time.Microsecond)
		return true
	})
}

// Announced records that the list.applied event of the active generation of
// kind is in the journal. What is not marked at a start is made good then.
func (s *Store) Announced(ctx context.Context, kind string, generation uint64) error {
	return s.mark(ctx, func(g *Generation) bool {
		if g.Kind != kind || g.Generation != generation {
			return false
		}
		g.Announced = true
		return true
	})
}

// mark changes what is known of active generations, on disk and then in the
// view.
func (s *Store) mark(ctx context.Context, change func(*Generation) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	next := slices.Clone(s.gens)
	var changed []Generation
	for i := range next {
		if have, ok := s.activeOf(next[i].Kind); ok && have == next[i].Generation && change(&next[i]) {
			changed = append(changed, next[i])
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := s.saveMarks(ctx, changed); err != nil {
		return fmt.Errorf("marking lists: %w", err)
	}
	s.gens = next
	s.republish(changed)
	return nil
}

// Discard drops a generation that turned out damaged. If it was the active
// one, the newest sound one before it serves again with the age it had, or
// none: the look-ups then say ErrNoList.
func (s *Store) Discard(ctx context.Context, kind string, generation uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	have, ok := s.activeOf(kind)
	if !ok || have != generation {
		return nil
	}
	s.faults = append(s.faults, &Fault{kind, generation, ErrCorrupt})
	old := s.gens
	f, err := s.fallBack(ctx, kind, generation)
	if err != nil {
		return fmt.Errorf("discarding list %s-%d: %w", kind, generation, err)
	}
	if f == nil {
		s.withdraw(kind)
	} else {
		s.publish(f)
	}
	s.drop(old)
	return nil
}

// openTwice opens a generation, and again if it cannot be read: SQLite tells of a
// read that failed as of damage, and a list that is dropped has to come anew.
func (s *Store) openTwice(ctx context.Context, g Generation) *file {
	f := openFile(ctx, s.dir, g, nil)
	if f.err != nil {
		f = openFile(ctx, s.dir, g, nil)
	}
	return f
}

// fallBack drops generation bad and all that turn out damaged after it.
func (s *Store) fallBack(ctx context.Context, kind string, bad uint64) (*file, error) {
	for {
		next := slices.DeleteFunc(slices.Clone(s.gens), func(g Generation) bool { return g.Kind == kind && g.Generation >= bad })
		var f *file
		var files []*file
		if i := slices.IndexFunc(next, func(g Generation) bool { return g.Kind == kind }); i >= 0 {
			f = s.openTwice(ctx, next[i])
			files = append(files, f)
		}
		if err := s.flip(ctx, next, files, kind); err != nil {
			if f != nil {
				f.close()
			}
			return nil, err
		}
		s.gens = next
		if f == nil || !errors.Is(f.err, ErrCorrupt) {
			return f, nil
		}
		bad = f.gen.Generation
		s.faults = append(s.faults, &Fault{kind, bad, f.err})
	}
}

func (s *Store) activeOf(kind string) (uint64, bool) {
	if f := s.view.Load().find(kind); f != nil {
		return f.gen.Generation, true
	}
	return 0, false
}

func (s *Store) find(kind string, generation uint64) Generation {
	for _, g := range s.gens {
		if g.Kind == kind && g.Generation == generation {
			return g
		}
	}
	return Generation{Kind: kind, Generation: generation}
}

// keep orders generations by kind, newest first, and cuts each kind to Kept.
func keep(gens []Generation) []Generation {
	sortGenerations(gens)
	n, kind := 0, ""
	return slices.DeleteFunc(gens, func(g Generation) bool {
		if g.Kind != kind {
			n, kind = 0, g.Kind
		}
		n++
		return n > Kept
	})
}

// drop removes the files of generations that are kept no more. One that
// cannot be removed now is swept at the next Open; open views keep its bytes.
func (s *Store) drop(old []Generation) {
	kept := needed(s.gens)
	for _, n := range needed(old) {
		if !slices.Contains(kept, n) {
			f, _ := room.Take(filePath(s.dir, n.kind, n.generation))
			s.free(f)
		}
	}
}

// sweep removes every file of the folder that the index does not name: what
// was built and never activated, or dropped and not yet removed.
func (s *Store) sweep() error {
	names, err := filepath.Glob(filepath.Join(s.dir, "*-*.db*"))
	if err != nil {
		return fmt.Errorf("sweeping list store: %w", err)
	}
	kept := needed(s.gens)
	for _, name := range names {
		if slices.ContainsFunc(kept, func(n fileOf) bool { return name == filePath(s.dir, n.kind, n.generation) }) {
			continue
		}
		f, err := room.Take(name)
		if err != nil {
			return fmt.Errorf("sweeping list store: %w", err)
		}
		s.free(f)
	}
	return nil
}

// remove removes a file that no generation stands on.
func (s *Store) remove(path string) error {
	f, err := room.Take(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(f)
	return err
}

// free gives a nameless file's room back meanwhile; where that fails, whoever
// closes it last does. Store.mu is held, or nobody else knows the store yet.
func (s *Store) free(f *os.File) {
	if s.closed {
		_ = room.Close(f) // nothing was written
		return
	}
	if f != nil {
		s.freeing.Go(func() { _ = room.Free(s.ending, f) })
	}
}
