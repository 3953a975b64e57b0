package eligibility

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"boothd/buffer/internal/sqlite"
)

// A list file is a SQLite database, opened immutable. The value of a row is
// sealed: payload, the first 8 bytes of the token before it, CRC-32C over
// kind, generation, token and both. The row behind the last has the token
// ff..ff and no payload, so that every token that is absent lies in the gap
// before some row, and that row proves it.
//
// rows and digest are those of the list as it was published; kept_rows and
// kept_digest those of the rows that are in the file, which Purge makes fewer
// and which are all that an overlay has. sum is that of the list as it was
// published, NULL where an older program's Purge has changed it; gone is what
// Purge took out or changed (see the type). base is the generation that an overlay lies on, 0 for
// none, with its own rows and digest as published and kept_digest.
const (
	fileSchema = `
CREATE TABLE meta (format INTEGER, kind TEXT, generation INTEGER, rows INTEGER, digest BLOB, kept_rows INTEGER, kept_digest BLOB,
	sum BLOB, base INTEGER, base_rows INTEGER, base_digest BLOB, base_kept BLOB);
CREATE TABLE row (token BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE gone (token BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;`
	fileFormat   = 4
	thirdFormat  = 3 // without gone
	secondFormat = 2 // without sum and base
	firstFormat  = 1 // without kept_rows and kept_digest: nothing was purged
	gapBytes     = 8
	sealBytes    = gapBytes + 4
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	lastToken  = Token(bytes.Repeat([]byte{0xff}, len(Token{})))
)

func filePath(dir, kind string, generation uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%d.db", kind, generation))
}

// seed binds a file's checksums to its kind and generation.
func seed(kind string, generation uint64) uint32 {
	return crc32.Update(0, castagnoli, binary.BigEndian.AppendUint64([]byte(kind), generation))
}

func checksum(seed uint32, t []byte, sealed []byte) uint32 {
	return crc32.Update(crc32.Update(seed, castagnoli, t), castagnoli, sealed)
}

// seal appends the sealed form of payload to b.
func seal(b []byte, seed uint32, before, t Token, payload []byte) []byte {
	start := len(b)
	b = append(append(b, payload...), before[:gapBytes]...)
	return binary.BigEndian.AppendUint32(b, checksum(seed, t[:], b[start:]))
}

// file is one open generation. It is shared by views and closed with the last.
type file struct {
	gen   Generation                 // as opened; kind and number never change
	known atomic.Pointer[Generation] // with what was learnt since
	refs  atomic.Int64
	err   error // why it cannot be read; then tree is nil
	seed  uint32

	// mu, because the tree has one buffer and the status page may ask beside the
	// lane. It is held for microseconds.
	mu   sync.Mutex
	tree *tree // nil: closed, or it cannot be read

	dir    string
	beside *View  // while it is opened
	rows   uint64 // in the file
	digest [sha256.Size]byte
	sum    *Sum     // of the list; nil: not known
	base   *file    // what an overlay lies on
	wipe   *os.File // overwritten when the file is closed: rows of it were purged
}

// openFile opens a generation. It always gives a file; one that cannot be read
// says why at every look-up. What a view beside it knows of the same file is not
// read again; it may be nil.
func openFile(ctx context.Context, dir string, g Generation, beside *View) *file {
	return openFileAt(ctx, filePath(dir, g.Kind, g.Generation), dir, g, beside)
}

// openFileAt opens a generation that still has another name.
func openFileAt(ctx context.Context, path, dir string, g Generation, beside *View) *file {
	f := &file{gen: g, dir: dir, seed: seed(g.Kind, g.Generation), beside: beside}
	defer func() { f.beside = nil }()
	f.known.Store(&g)
	f.refs.Store(1)
	if err := f.open(ctx, path); err != nil {
		f.close()
		f.err = damaged(err)
	}
	return f
}

func (f *file) path() string { return filePath(f.dir, f.gen.Kind, f.gen.Generation) }

// damaged joins ErrCorrupt to errors that mean it: also a missing file, since
// the index names it.
func damaged(err error) error {
	if sqlite.IsCorrupt(err) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

func (f *file) open(ctx context.Context, path string) (err error) {
	conn, err := sqlite.OpenRaw(ctx, path, sqlite.Options{Immutable: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	meta, err := conn.Prepare(`SELECT * FROM meta`)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer meta.Close()
	seen := false
	for row, err := range meta.Rows() {
		if err != nil {
			return fmt.Errorf("reading meta: %w", err)
		}
		if seen, err = f.meta(ctx, row); err != nil {
			return err
		}
	}
	if !seen {
		return fmt.Errorf("%w: it is not the list that the index names", ErrCorrupt)
	}
	root, err := rootOf(conn)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	f.tree, err = openTree(path, root, f.pagesKnown())
	return err
}

// pagesKnown is what the view beside knows of this file's pages, as a list by
// itself or below an overlay.
func (f *file) pagesKnown() *inner {
	if f.beside == nil {
		return nil
	}
	for _, o := range f.beside.layers(f.gen.Kind) {
		if o != nil && o.gen.Generation == f.gen.Generation {
			return o.pages()
		}
	}
	return nil
}

// layers are the files that a list of a view stands on: its own and, of an
// overlay, its base; either may be nil.
func (v *View) layers(kind string) [2]*file {
	f := v.find(kind)
	return [2]*file{f, below(f)}
}

// lie opens the list that f lies on, or shares it with the view beside, where it
// is open already: opening it again is half the time of a switch.
func (f *file) lie(ctx context.Context, g Generation) *file {
	if f.beside != nil {
		for _, o := range f.beside.layers(g.Kind) {
			if o.is(g) {
				o.refs.Add(1) // the view beside is the present one, and holds it
				return o
			}
		}
	}
	return openFile(ctx, f.dir, g, f.beside)
}

// is tells whether f is a generation, open and still what its name stands for.
func (f *file) is(g Generation) bool {
	if f == nil || f.err != nil || f.gen.Generation != g.Generation || f.gen.Rows != g.Rows || f.gen.Digest != g.Digest {
		return false
	}
	pages := f.pages()
	now, err := os.Stat(f.path())
	return pages != nil && err == nil && os.SameFile(pages.info, now)
}

func below(f *file) *file {
	if f == nil {
		return nil
	}
	return f.base
}

func (f *file) pages() *inner {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tree == nil {
		return nil
	}
	return f.tree.inner
}

// meta takes what a file says of itself; seen tells whether it is what the index
// names.
func (f *file) meta(ctx context.Context, row []driver.Value) (seen bool, err error) {
	width := map[int64]int{firstFormat: 5, secondFormat: 7, thirdFormat: 12, fileFormat: 12}
	format, _ := row[0].(int64)
	digest, _ := row[4].([]byte)
	if len(row) != width[format] || fmt.Sprint(row[1]) != f.gen.Kind || row[2] != int64(f.gen.Generation) || row[3] != int64(f.gen.Rows) || !bytes.Equal(digest, f.gen.Digest[:]) {
		return false, nil
	}
	f.rows, f.digest = f.gen.Rows, f.gen.Digest
	if format == firstFormat {
		return true, nil
	}
	n, _ := row[5].(int64)
	kept, _ := row[6].([]byte)
	if len(kept) != len(f.digest) {
		return false, nil
	}
	f.rows, f.digest = uint64(n), [sha256.Size]byte(kept)
	if format == secondFormat {
		return true, nil
	}
	if sum, ok := row[7].([]byte); ok && len(sum) == len(Sum{}) {
		f.sum = (*Sum)(sum)
	}
	base, _ := row[8].(int64)
	if base == 0 {
		return true, nil
	}
	rows, _ := row[9].(int64)
	published, _ := row[10].([]byte)
	if kept, _ = row[11].([]byte); len(published) != sha256.Size || len(kept) != sha256.Size {
		return false, nil
	}
	f.base = f.lie(ctx, Generation{Kind: f.gen.Kind, Generation: uint64(base), Rows: uint64(rows), Digest: [sha256.Size]byte(published)})
	switch {
	case f.base.err != nil:
		return false, f.base.err
	case f.base.digest != [sha256.Size]byte(kept) || f.base.base != nil:
		return false, fmt.Errorf("%w: the list below has changed", ErrCorrupt)
	}
	return true, nil
}

// alone gives the file to one reader beside all others, who asks in ascending
// order: it waits for nobody and reads a page once. It is good while f is open
// and is not closed.
func (f *file) alone() *file {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := &file{gen: f.gen, err: f.err, seed: f.seed}
	if f.tree != nil {
		own.tree = f.tree.alone()
	}
	if f.base != nil {
		own.base = f.base.alone()
	}
	return own
}

// lookup finds a token, in the overlay, if this is one, and then in its base,
// and appends its value to dst.
func (f *file) lookup(dst []byte, t Token) (value []byte, ok bool, err error) {
	value, ok, err = f.ownRow(dst, t)
	if f.base == nil || err != nil {
		return value, ok, err
	}
	if !ok {
		if value, ok, err = f.base.ownRow(dst, t); err != nil { // damage below is damage of what lies on it
			fault := &Fault{}
			errors.As(err, &fault)
			err = &Fault{f.gen.Kind, f.gen.Generation, fault.Err}
		}
		return value, ok, err
	}
	if mark := len(dst); value[mark] == there {
		return slices.Delete(value, mark, mark+1), true, nil
	}
	return nil, false, nil
}

func (f *file) ownRow(dst []byte, t Token) (value []byte, ok bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.err != nil:
		err = f.err
	case f.tree == nil:
		err = ErrClosed
	default:
		value, ok, err = f.search(dst, t)
	}
	if err != nil {
		return nil, false, &Fault{f.gen.Kind, f.gen.Generation, err}
	}
	return value, ok, nil
}

// search believes a row only if its checksum holds, and an absence only if the
// gap before the next row spans the token.
func (f *file) search(dst []byte, t Token) ([]byte, bool, error) {
	at, sealed, err := f.tree.from(t)
	if err != nil {
		return nil, false, err
	}
	payload, gap, err := f.unseal(at, sealed)
	if err != nil {
		return nil, false, err
	}
	if bytes.Equal(at, t[:]) && t != lastToken {
		return append(dst, payload...), true, nil
	}
	switch bytes.Compare(gap, t[:gapBytes]) {
	case -1:
		return nil, false, nil
	case 0:
		return nil, false, f.gapStarts(t, gap)
	}
	return nil, false, fmt.Errorf("%w: a row is missing", ErrCorrupt)
}

// gapStarts settles the rare case of two tokens with the same first 8 bytes:
// the row before t must be the one that the gap names.
func (f *file) gapStarts(t Token, gap []byte) error {
	gap = bytes.Clone(gap) // of the row behind, in the tree's buffer
	at, sealed, err := f.tree.before(t)
	if err != nil {
		return err
	}
	if at == nil {
		at = make([]byte, gapBytes) // the gap before the first row starts at zero
	} else if _, _, err := f.unseal(at, sealed); err != nil {
		return err
	}
	if !bytes.Equal(at[:gapBytes], gap) {
		return fmt.Errorf("%w: a row is missing", ErrCorrupt)
	}
	return nil
}

func (f *file) unseal(at, sealed []byte) (payload, gap []byte, err error) {
	n := len(sealed) - sealBytes
	if at == nil || n < 0 || binary.BigEndian.Uint32(sealed[n+gapBytes:]) != checksum(f.seed, at, sealed[:n+gapBytes]) {
		return nil, nil, fmt.Errorf("%w: a row fails its checksum", ErrCorrupt)
	}
	return sealed[:n:n], sealed[n : n+gapBytes], nil
}

// release gives one view's share back.
func (f *file) release() {
	if f.refs.Add(-1) == 0 {
		f.close()
	}
}

// close frees the connection. Errors of closing a file that was only read say
// nothing that anyone could act on.
func (f *file) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tree != nil {
		_ = f.tree.close() // it was only read
	}
	f.tree = nil
	if f.base != nil {
		f.base.release()
		f.base = nil
	}
	if f.wipe != nil {
		_ = overwrite(f.wipe) // the name is gone already: nobody else could act on it
		f.wipe = nil
	}
}
