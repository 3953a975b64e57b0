package powercut

import (
	"bytes"
	"errors"
	"fmt"
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
	// keep is where files above a MiB are kept, as files; "" for none. A cut links
	// them, and leaves of what nobody synced all or nothing.
	keep string
}

// inode is one file.
type inode struct {
	sure    []byte
	pending []op // writes and truncations that nobody synced
	large   *large
}

// large is a file that would not be copied a thousand times: as it is for certain,
// and with everything that was asked for. The two may be the same one.
type large struct {
	sure, all string
	copies    int
}

const largeFrom = 1 << 20

// enlarge moves a file that has grown large to where those are kept.
func (d *disk) enlarge(f *inode, number int) error {
	f.large = &large{sure: filepath.Join(d.keep, fmt.Sprintf("%d-sure", number))}
	f.large.all = f.large.sure
	if err := os.WriteFile(f.large.sure, f.sure, 0o600); err != nil {
		return err
	}
	for _, o := range f.pending {
		if err := f.large.do(o); err != nil {
			return err
		}
	}
	f.sure, f.pending = nil, nil
	return nil
}

// do takes a write, a truncation or a sync.
func (l *large) do(o op) error {
	if o.kind == "sync" {
		l.sure = l.all
		return nil
	}
	if l.all == l.sure { // what is sure stays as it is
		l.copies++
		l.all = fmt.Sprintf("%s-%d", strings.TrimSuffix(l.sure, fmt.Sprintf("-%d", l.copies-1)), l.copies)
		b, err := os.ReadFile(l.sure)
		if err == nil {
			err = os.WriteFile(l.all, b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	f, err := os.OpenFile(l.all, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if o.kind == "truncate" {
		return errors.Join(f.Truncate(o.at), f.Close())
	}
	_, err = f.WriteAt(o.data, o.at)
	return errors.Join(err, f.Close())
}

// stamps tells when each large file was last written to.
func (d *disk) stamps() map[string]int64 {
	out := map[string]int64{}
	for _, f := range d.files {
		if f.large == nil {
			continue
		}
		for _, path := range []string{f.large.sure, f.large.all} {
			if info, err := os.Stat(path); err == nil {
				out[path] = info.ModTime().UnixNano()
			}
		}
	}
	return out
}

// outgrown tells whether a file is too large to be kept in memory.
func (f *inode) outgrown() bool {
	n := len(f.sure)
	for _, o := range f.pending {
		n = max(n, int(o.at)+len(o.data))
	}
	return n > largeFrom
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
func (d *disk) do(o op) error {
	switch o.kind {
	case "create":
		if _, ok := d.names[o.path]; !ok {
			d.files[d.next] = &inode{}
			d.name(move{path: o.path, file: d.next})
			d.next++
		}
	case "write", "truncate":
		f, ok := d.files[d.at(o.path)]
		switch {
		case !ok:
		case f.large != nil:
			return f.large.do(o)
		default:
			f.pending = append(f.pending, o)
			if d.keep != "" && f.outgrown() {
				return d.enlarge(f, d.at(o.path))
			}
		}
	case "sync":
		if f, ok := d.files[d.at(o.path)]; ok && (d.deaf == nil || !d.deaf(o.path)) {
			if f.large != nil {
				return f.large.do(o)
			}
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
	return nil
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
		full := filepath.Join(to, path)
		if f.large != nil {
			what := f.large.sure
			if how == "everything" || how != "nothing" && dice.IntN(2) == 0 {
				what = f.large.all
			}
			errs = append(errs, os.MkdirAll(filepath.Dir(full), 0o700), os.Link(what, full))
			continue
		}
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
		errs = append(errs, os.MkdirAll(filepath.Dir(full), 0o700), writeSparse(full, b))
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
		if err := d.do(o); err != nil {
			t.Fatal(err)
		}
		for j, how := range cuts {
			dir := filepath.Join(top, "disk")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := d.cut(how, dir, rand.New(rand.NewPCG(seed, uint64(i*len(cuts)+j)))); err != nil {
				t.Fatal(err)
			}
			looked++
			before := d.stamps()
			err := check(dir, said)
			if !maps.Equal(before, d.stamps()) {
				t.Fatal("a file that is linked to every disk was written to")
			}
			if err != nil {
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

// writeSparse writes a file without the zeros at its end, which a log of fixed
// size has many of: they are passed over block by block, since a thousand disks
// have gigabytes of them.
func writeSparse(path string, b []byte) error {
	zeros := make([]byte, 4096)
	n := len(b)
	for n >= len(zeros) && bytes.Equal(b[n-len(zeros):n], zeros) {
		n -= len(zeros)
	}
	if err := os.WriteFile(path, b[:n], 0o600); err != nil {
		return err
	}
	return os.Truncate(path, int64(len(b)))
}
