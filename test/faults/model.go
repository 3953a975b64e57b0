package faults

import (
	"bytes"
	"cmp"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// Step is one change of the disk, or a word that the program under test says.
type Step struct {
	Kind   Kind
	Name   string // of the file in its folder
	Folder bool   // a Sync of the folder: names become durable
	Failed bool   // a Sync that was an error
	Off    int64
	Size   int64 // of a Truncate
	Data   []byte
	Word   any // not nil: what was said here; the rest is empty
}

// Recorder notes what changes on a disk, in order.
type Recorder struct {
	mu    sync.Mutex // SQLite calls from several goroutines
	steps []Step
}

// Note is a rig for Watch that lets everything through.
func (r *Recorder) Note(c Call) Answer { return r.Noting(nil)(c) }

// Noting is a rig for Watch that does as another and notes it. What a call did
// that failed is not noted, but for a sync.
func (r *Recorder) Noting(rig func(Call) Answer) func(Call) Answer {
	return func(c Call) Answer {
		var a Answer
		if rig != nil {
			a = rig(c)
		}
		if a.Err == 0 || c.Kind == Sync {
			r.note(c, a)
		}
		return a
	}
}

func (r *Recorder) note(c Call, a Answer) {
	s := Step{Kind: c.Kind, Name: filepath.Base(c.Path), Folder: c.Folder, Failed: a.Err != 0, Off: c.Off, Size: c.N, Data: bytes.Clone(c.Data)}
	if a.Short > 0 && a.Short < int64(len(s.Data)) {
		s.Data = s.Data[:a.Short]
	}
	switch c.Kind {
	case Read, OpenDir:
		return
	case Open:
		if _, err := os.Lstat(c.Path); err == nil || !c.Creates {
			return
		}
	}
	r.add(s)
}

// Say notes what the program has been told, such as that a row is durable.
func (r *Recorder) Say(word any) { r.add(Step{Word: word}) }

func (r *Recorder) add(s Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, s)
}

// Steps is what was noted.
func (r *Recorder) Steps() []Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.steps)
}

// Disk is what was asked of one, and what of it is certain: bytes by a sync of
// their file, names by one of their folder. That is the least that POSIX grants.
type Disk struct {
	names   map[string]*inode // as programs see them
	durable map[string]*inode // as a cut leaves them at the least
	moves   []move            // between the two, in order
	last    *inode            // written to last
}

type inode struct {
	durable []byte
	pending []Step // writes and truncations that nobody synced
}

// move is one change of names; file is nil if the name goes.
type move struct {
	name string
	file *inode
}

// NewDisk is a disk with files that are certain to be there.
func NewDisk(files map[string][]byte) *Disk {
	d := &Disk{names: map[string]*inode{}, durable: map[string]*inode{}}
	for name, b := range files {
		d.names[name] = &inode{durable: bytes.Clone(b)}
	}
	maps.Copy(d.durable, d.names)
	return d
}

// Apply carries out one step.
func (d *Disk) Apply(s Step) {
	f := d.names[s.Name]
	switch {
	case s.Word != nil:
	case s.Kind == Open:
		f = &inode{}
		d.names[s.Name] = f
		d.moves = append(d.moves, move{s.Name, f})
	case s.Kind == Unlink && f != nil:
		delete(d.names, s.Name)
		d.moves = append(d.moves, move{s.Name, nil})
	case s.Kind == Sync && s.Failed:
		// Linux takes pages for clean that it could not write: they are read as
		// written until the power fails, and no later sync writes them.
		if f != nil {
			f.pending = nil
		}
	case s.Kind == Sync && s.Folder:
		d.durable, d.moves = maps.Clone(d.names), nil
	case s.Kind == Sync && f != nil:
		for _, p := range f.pending {
			f.durable = apply(f.durable, p)
		}
		f.pending = nil
	case (s.Kind == Write || s.Kind == Truncate) && f != nil:
		f.pending = append(f.pending, s)
		d.last = f
	}
}

func apply(b []byte, s Step) []byte {
	if s.Kind == Truncate {
		return append(b, make([]byte, max(s.Size-int64(len(b)), 0))...)[:s.Size:s.Size]
	}
	if end := s.Off + int64(len(s.Data)); end > int64(len(b)) {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[s.Off:], s.Data)
	return b
}

// Loss is what a cut does to that which is not certain.
type Loss int

// The losses.
const (
	Dropped   Loss = iota // all of it is gone
	Kept                  // all of it is there
	Torn                  // all is there but for some sectors of the last write
	Reordered             // some writes are there, some names changed
	Garbled               // some sectors are there; where a file grew, the others hold rubbish
	losses
)

// Cut is the disk as it may be after the power failed now.
func (d *Disk) Cut(loss Loss, dice *rand.Rand) map[string][]byte {
	names := maps.Clone(d.durable)
	for _, m := range d.moves {
		switch {
		case loss == Dropped || loss > Torn && dice.IntN(2) == 0:
		case m.file == nil:
			delete(names, m.name)
		default:
			names[m.name] = m.file
		}
	}
	out := map[string][]byte{}
	for _, name := range slices.SortedFunc(maps.Keys(names), cmp.Compare) { // in order, so that the dice fall alike
		out[name] = d.left(names[name], loss, dice)
	}
	return out
}

// left is what a cut leaves of a file.
func (d *Disk) left(f *inode, loss Loss, dice *rand.Rand) []byte {
	b := bytes.Clone(f.durable)
	for i, p := range f.pending {
		switch torn := loss == Torn && f == d.last && i == len(f.pending)-1; {
		case loss == Kept || loss == Torn && !torn:
			b = apply(b, p)
		case torn && p.Kind == Write, loss == Garbled && p.Kind == Write:
			b = tear(b, p, int64(len(f.durable)), loss, dice)
		case loss == Reordered || loss == Garbled:
			if dice.IntN(2) == 0 {
				b = apply(b, p)
			}
		}
	}
	return b
}

// tear applies some of a write's sectors. What lies behind known was never
// written to: there, if garbled, the disk holds what some other file left.
func tear(b []byte, s Step, known int64, loss Loss, dice *rand.Rand) []byte {
	for len(s.Data) > 0 {
		n := min(int64(len(s.Data)), sector-s.Off%sector)
		part := Step{Kind: Write, Off: s.Off, Data: s.Data[:n]}
		switch {
		case dice.IntN(2) == 0:
			b = apply(b, part)
		case loss == Garbled && part.Off >= known:
			part.Data = make([]byte, n)
			for i := range part.Data {
				part.Data[i] = byte(dice.Uint32())
			}
			b = apply(b, part)
		}
		s.Off, s.Data = s.Off+n, s.Data[n:]
	}
	return b
}
