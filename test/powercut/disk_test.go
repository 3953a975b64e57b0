package powercut

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// disk is what was asked of one, and how much of that is certain to be on it.
type disk struct {
	files map[int]*inode
	names map[string]int // as programs see them
	sure  map[string]int // as a cut leaves them at the least
	moves []move         // between the two, in order
	next  int
	// deaf names files whose syncs do nothing: what a rig that bites has to notice.
	deaf func(path string) bool
}

// inode is one file.
type inode struct {
	sure    []byte
	pending []op // writes and truncations that nobody synced
}

// move is one change of names: path now names file, or nothing (-1).
type move struct {
	folder, path string
	file         int
	from         string // of a rename: it names nothing now
}

// load takes a folder as it lies there for certain.
func load(t *testing.T, dir string) *disk {
	t.Helper()
	d := &disk{files: map[int]*inode{}, names: map[string]int{}, sure: map[string]int{}}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, "-shm") {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		d.names[rel], d.sure[rel], d.files[d.next] = d.next, d.next, &inode{sure: b}
		d.next++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// do takes one operation.
func (d *disk) do(o op) {
	switch o.kind {
	case "create":
		if _, ok := d.names[o.path]; !ok {
			d.files[d.next] = &inode{}
			d.name(move{path: o.path, file: d.next})
			d.next++
		}
	case "write", "truncate":
		if f, ok := d.files[d.at(o.path)]; ok {
			f.pending = append(f.pending, o)
		}
	case "sync":
		if f, ok := d.files[d.at(o.path)]; ok && (d.deaf == nil || !d.deaf(o.path)) {
			for _, p := range f.pending {
				f.sure = apply(f.sure, p)
			}
			f.pending = nil
		}
	case "rename":
		d.name(move{path: o.to, file: d.at(o.path), from: o.path})
	case "unlink":
		d.name(move{path: o.path, file: -1})
	case "syncdir":
		left := d.moves[:0]
		for _, m := range d.moves {
			if m.folder == clean(o.path) {
				m.on(d.sure)
			} else {
				left = append(left, m)
			}
		}
		d.moves = left
	}
}

func (d *disk) at(path string) int {
	if n, ok := d.names[path]; ok {
		return n
	}
	return -1
}

func clean(folder string) string {
	if folder == "" {
		return "."
	}
	return folder
}

func (d *disk) name(m move) {
	m.folder = filepath.Dir(m.path)
	m.on(d.names)
	d.moves = append(d.moves, m)
}

func (m move) on(names map[string]int) {
	if m.from != "" {
		delete(names, m.from)
	}
	if m.file < 0 {
		delete(names, m.path)
	} else {
		names[m.path] = m.file
	}
}

func apply(b []byte, o op) []byte {
	if o.kind == "truncate" {
		if int64(len(b)) > o.at {
			return slices.Clone(b[:o.at])
		}
		return append(slices.Clone(b), make([]byte, o.at-int64(len(b)))...)
	}
	out := slices.Clone(b)
	if end := o.at + int64(len(o.data)); end > int64(len(out)) {
		out = append(out, make([]byte, end-int64(len(out)))...)
	}
	copy(out[o.at:], o.data)
	return out
}

// A cut leaves of what nobody synced: nothing, everything, or what chance makes
// of it.
var cuts = []string{"nothing", "everything", "chance", "chance again"}

// cut writes the disk into an empty folder as a power cut may leave it.
func (d *disk) cut(how, to string, dice *rand.Rand) error {
	names, moves := maps.Clone(d.sure), len(d.moves)
	switch how {
	case "nothing":
		moves = 0
	case "chance", "chance again":
		moves = dice.IntN(moves + 1) // a folder's changes keep their order
	}
	for _, m := range d.moves[:moves] {
		m.on(names)
	}
	var errs []error
	for path, n := range names {
		f, b := d.files[n], d.files[n].sure
		for _, o := range f.pending {
			switch {
			case how == "everything":
				b = apply(b, o)
			case how == "nothing":
			case o.kind == "truncate":
				if dice.IntN(2) == 0 {
					b = apply(b, o)
				}
			default:
				b = torn(b, o, dice)
			}
		}
		full := filepath.Join(to, path)
		errs = append(errs, os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, b, 0o600))
	}
	return errors.Join(errs...)
}

// torn applies a write wholly, not at all, or some sectors of it.
func torn(b []byte, o op, dice *rand.Rand) []byte {
	switch dice.IntN(3) {
	case 0:
		return b
	case 1:
		return apply(b, o)
	}
	for at := o.at; at < o.at+int64(len(o.data)); {
		end := min((at/sector+1)*sector, o.at+int64(len(o.data)))
		if dice.IntN(2) == 0 {
			b = apply(b, op{kind: "write", at: at, data: o.data[at-o.at : end-o.at]})
		}
		at = end
	}
	return b
}

// every cuts the power after each operation, in each way, and has check look at
// what is left. said is what the program had said by then. It tells how many
// disks were looked at and how many were bad; of a disk that is deaf ten will do.
func every(t *testing.T, d *disk, ops []op, seed uint64, check func(dir string, said []string) error) (looked, bad int) {
	t.Helper()
	var said []string
	top := scratch(t)
	for i, o := range ops {
		if o.kind == "say" {
			said = append(said, string(o.data))
		}
		d.do(o)
		for j, how := range cuts {
			dir := filepath.Join(top, "disk")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := d.cut(how, dir, rand.New(rand.NewPCG(seed, uint64(i*len(cuts)+j)))); err != nil {
				t.Fatal(err)
			}
			looked++
			if err := check(dir, said); err != nil {
				bad++
				switch {
				case d.deaf == nil && bad <= 5:
					t.Errorf("cut after operation %d of %d (%v), %s of the unsynced kept, said %q: %v", i+1, len(ops), o, how, said, err)
				case d.deaf != nil && bad == 10:
					return looked, bad
				}
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	return looked, bad
}

// scratch is a folder in memory where there is one: a thousand disks are
// written and synced there.
func scratch(t *testing.T) string {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "powercut-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
