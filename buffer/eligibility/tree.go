package eligibility

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
)

// tree reads rows of a list file from its pages, as SQLite has written them. The
// file never changes, so that no lock, no cache and no statement is needed: a
// look-up is a search in memory and one read of one page, where SQLite's own way
// costs several reads and calls between two languages (measured limits, 2c).
// Nothing in the file is believed: every offset is checked here, and every row
// is sealed (see fileSchema).
//
// Source: SQLite documentation, "Database File Format", sections 1.3, 1.6 and 2.
type tree struct {
	f *os.File
	*inner
	buf    []byte // one page
	second []byte // one page of a row that is too long for its own
	row    []byte // the record last read
	// ordered: it is asked in ascending order, so that the leaf in buf and those
	// behind it are looked at first.
	ordered bool
	leaf    int    // where the last search ended
	held    uint32 // the page in buf; 0: none that counts
}

// inner is what a tree knows of the file without reading it again: 28 bytes for
// each leaf, 4 MiB for ten million rows. It does not change once it is made.
type inner struct {
	info   os.FileInfo // of the file, as it was read
	root   uint32
	page   int // bytes of a page
	usable int // of which rows may use
	pages  uint32
	// seps are the rows that stand between two leaves, in order; the rows of
	// leaves[i] come before seps[i].
	seps   []separator
	leaves []uint32
}

// separator is a row on an inner page.
type separator struct {
	token Token
	page  uint32
	cell  uint16
}

const (
	innerPage  = 2
	leafPage   = 10
	headerSize = 100 // of the file
	deepest    = 8   // levels of pages; a list of 20 million rows has 4
	tokenType  = 12 + 2*len(Token{})
	// longest is the longest record: its header, a token and a sealed value.
	longest = 8 + len(Token{}) + MaxValue + 1 + sealBytes
)

// openTree reads the inner pages of the b-tree that begins at a page, unless
// another tree of the very same file knows them already; known may be nil.
func openTree(path string, root uint32, known *inner) (*tree, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &tree{f: f, inner: &inner{root: root}}
	if t.info, err = f.Stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if known != nil && known.root == root && os.SameFile(known.info, t.info) && known.info.Size() == t.info.Size() && known.info.ModTime().Equal(t.info.ModTime()) {
		t.inner = known
		t.buf, t.second = make([]byte, t.page), make([]byte, t.page)
		return t, nil
	}
	if err := t.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

func (t *tree) close() error { return t.f.Close() }

// alone reads the same file with pages of its own, in ascending order. It is
// good while t is open and is not closed.
func (t *tree) alone() *tree {
	return &tree{f: t.f, inner: t.inner, buf: make([]byte, t.page), second: make([]byte, t.page), ordered: true}
}

func (t *tree) load() error {
	var head [headerSize]byte
	if _, err := t.f.ReadAt(head[:], 0); err != nil {
		return cutShort(err)
	}
	if t.page = int(binary.BigEndian.Uint16(head[16:])); t.page == 1 {
		t.page = 64 << 10
	}
	t.usable = t.page - int(head[20])
	if t.page < 512 || t.page&(t.page-1) != 0 || t.usable < 480 {
		return fmt.Errorf("%w: pages of %d bytes", ErrCorrupt, t.page)
	}
	t.pages = uint32(min(t.info.Size()/int64(t.page), 1<<31))
	t.buf, t.second = make([]byte, t.page), make([]byte, t.page)
	levels, err := t.levels(t.root)
	if err != nil {
		return err
	}
	return t.descend(t.root, levels)
}

// levels counts the levels of inner pages: leaves are all equally deep, and none
// is read to learn where it is.
func (t *tree) levels(page uint32) (int, error) {
	for n := range deepest {
		if err := t.read(page, t.buf); err != nil {
			return 0, err
		}
		kind, rows, err := t.shape(t.buf)
		if err != nil || kind == leafPage {
			return n, err
		}
		at := 8 // without a row the rightmost page is the only one below
		if rows > 0 {
			if at, err = t.cell(t.buf, kind, rows, 0); err != nil {
				return 0, err
			}
		}
		if at+4 > t.usable {
			return 0, errOutside
		}
		page = binary.BigEndian.Uint32(t.buf[at:])
	}
	return 0, fmt.Errorf("%w: its pages are too deep", ErrCorrupt)
}

// descend notes the rows of an inner page and what lies below it, in order.
func (t *tree) descend(page uint32, levels int) error {
	if levels == 0 {
		t.leaves = append(t.leaves, page)
		if uint32(len(t.leaves)) > t.pages {
			return fmt.Errorf("%w: its pages lead in a circle", ErrCorrupt)
		}
		return nil
	}
	b := make([]byte, t.page)
	if err := t.read(page, b); err != nil {
		return err
	}
	kind, n, err := t.shape(b)
	if err != nil {
		return err
	}
	if kind != innerPage {
		return fmt.Errorf("%w: a page is a leaf too soon", ErrCorrupt)
	}
	for i := range n {
		at, err := t.cell(b, kind, n, i)
		if err != nil {
			return err
		}
		if at+4 > t.usable {
			return errOutside
		}
		if err := t.descend(binary.BigEndian.Uint32(b[at:]), levels-1); err != nil {
			return err
		}
		token, err := t.token(b, at+4)
		if err != nil {
			return err
		}
		if k := len(t.seps); k > 0 && bytes.Compare(t.seps[k-1].token[:], token[:]) >= 0 {
			return fmt.Errorf("%w: its rows are not in order", ErrCorrupt)
		}
		t.seps = append(t.seps, separator{token, page, uint16(i)})
	}
	return t.descend(binary.BigEndian.Uint32(b[8:]), levels-1)
}

func (t *tree) read(page uint32, b []byte) error {
	if page == 0 || page > t.pages {
		return fmt.Errorf("%w: page %d of %d", ErrCorrupt, page, t.pages)
	}
	_, err := t.f.ReadAt(b, int64(page-1)*int64(t.page))
	return cutShort(err)
}

// cutShort tells a file that ends too early from a disk that does not answer.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: cut short", ErrCorrupt)
	}
	return err
}

// shape gives the kind of a page and how many rows it has.
func (t *tree) shape(b []byte) (kind, rows int, err error) {
	kind, rows = int(b[0]), int(binary.BigEndian.Uint16(b[3:]))
	if kind != innerPage && kind != leafPage || rows > t.usable/4 {
		return 0, 0, fmt.Errorf("%w: a page is of kind %d with %d rows", ErrCorrupt, kind, rows)
	}
	return kind, rows, nil
}

// cell gives where a row of a page begins.
func (t *tree) cell(b []byte, kind, rows, i int) (int, error) {
	pointers := 8
	if kind == innerPage {
		pointers = 12
	}
	if p := pointers + 2*i; p+2 <= t.usable {
		if at := int(binary.BigEndian.Uint16(b[p:])); at >= pointers+2*rows && at < t.usable {
			return at, nil
		}
	}
	return 0, errOutside
}

var errOutside = fmt.Errorf("%w: a row lies outside of its page", ErrCorrupt)

// varint reads SQLite's number of one to nine bytes; n is 0 if it does not end
// within b or is over 2^31.
func varint(b []byte) (v, n int) {
	for n < len(b) && n < 5 {
		v = v<<7 | int(b[n]&0x7f)
		n++
		if b[n-1] < 0x80 && v <= 1<<31 {
			return v, n
		}
	}
	return 0, 0
}

var errRecord = fmt.Errorf("%w: a row is no token and value", ErrCorrupt)

// record reads the head of a row at a place of a page: the length of the whole
// record, where it begins, and within it where the token and the value begin.
func (t *tree) record(b []byte, at int) (length, begin, token, value int, err error) {
	length, n := varint(b[at:t.usable])
	begin = at + n
	if n == 0 || length > longest || length < 3+len(Token{}) || begin+3 > t.usable {
		return 0, 0, 0, 0, errRecord
	}
	head := b[begin:t.usable]
	size, n := varint(head)
	first, k := varint(head[n:])
	second, m := varint(head[n+k:])
	if n == 0 || k == 0 || m == 0 || size != n+k+m || first != tokenType || second < 12 || second%2 != 0 {
		return 0, 0, 0, 0, errRecord
	}
	token, value = size, size+len(Token{})
	if value+(second-12)/2 != length || begin+value > t.usable {
		return 0, 0, 0, 0, errRecord
	}
	return length, begin, token, value, nil
}

// token reads the token of the row at a place of a page; it is never on
// another one.
func (t *tree) token(b []byte, at int) (Token, error) {
	_, begin, token, _, err := t.record(b, at)
	if err != nil {
		return Token{}, err
	}
	return Token(b[begin+token:]), nil
}

// take reads the row at a place of a page. Its bytes are good until the next.
func (t *tree) take(b []byte, at int) (token, sealed []byte, err error) {
	length, begin, tok, value, err := t.record(b, at)
	if err != nil {
		return nil, nil, err
	}
	local := localOf(t.usable, length)
	if begin+local > t.usable || local < value && local < length {
		return nil, nil, errRecord
	}
	t.row = append(t.row[:0], b[begin:begin+local]...)
	if local < length {
		if begin+local+4 > t.usable {
			return nil, nil, errRecord
		}
		next := binary.BigEndian.Uint32(b[begin+local:])
		for len(t.row) < length {
			if err := t.read(next, t.second); err != nil {
				return nil, nil, err
			}
			next = binary.BigEndian.Uint32(t.second)
			t.row = append(t.row, t.second[4:4+min(t.usable-4, length-len(t.row))]...)
		}
	}
	return t.row[tok:value], t.row[value:], nil
}

// place finds where rows from a token on begin: the leaf, which is read, the
// first row of it at or above the token, and how many it has.
func (t *tree) place(k Token) (leaf, row, rows int, err error) {
	leaf = t.leafOf(k)
	if leaf >= len(t.leaves) {
		return 0, 0, 0, fmt.Errorf("%w: a page is missing", ErrCorrupt)
	}
	if page := t.leaves[leaf]; !t.ordered || t.held != page {
		t.held = 0
		if err := t.read(page, t.buf); err != nil {
			return 0, 0, 0, err
		}
		t.held = page
	}
	kind, rows, err := t.shape(t.buf)
	if err != nil {
		return 0, 0, 0, err
	}
	if kind != leafPage {
		return 0, 0, 0, fmt.Errorf("%w: a page is no leaf", ErrCorrupt)
	}
	low, high := 0, rows
	for low < high {
		mid := (low + high) / 2
		at, err := t.cell(t.buf, leafPage, rows, mid)
		if err != nil {
			return 0, 0, 0, err
		}
		token, err := t.token(t.buf, at)
		if err != nil {
			return 0, 0, 0, err
		}
		if bytes.Compare(token[:], k[:]) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return leaf, low, rows, nil
}

// leafOf gives the leaf that a token belongs to.
func (t *tree) leafOf(k Token) int {
	behind := func(i int) bool { return bytes.Compare(t.seps[i].token[:], k[:]) >= 0 }
	low, high := 0, len(t.seps)
	if low < t.leaf && !behind(t.leaf-1) {
		low = t.leaf
		for step := 1; low+step < high; step *= 2 {
			if behind(low + step) {
				high = low + step
			}
		}
	}
	leaf := low + sort.Search(high-low, func(i int) bool { return behind(low + i) })
	if t.ordered {
		t.leaf = leaf
	}
	return leaf
}

// from gives the first row at or above a token, nil if there is none. Its bytes
// are good until the next call.
func (t *tree) from(k Token) (token, sealed []byte, err error) {
	leaf, row, rows, err := t.place(k)
	switch {
	case err != nil:
		return nil, nil, err
	case row < rows:
		return t.on(t.buf, leafPage, rows, row)
	case leaf < len(t.seps):
		return t.between(leaf)
	}
	return nil, nil, nil
}

// before gives the last row below a token, nil if there is none.
func (t *tree) before(k Token) (token, sealed []byte, err error) {
	leaf, row, rows, err := t.place(k)
	switch {
	case err != nil:
		return nil, nil, err
	case row > 0:
		return t.on(t.buf, leafPage, rows, row-1)
	case leaf > 0:
		return t.between(leaf - 1)
	}
	return nil, nil, nil
}

func (t *tree) on(b []byte, kind, rows, i int) (token, sealed []byte, err error) {
	at, err := t.cell(b, kind, rows, i)
	if err != nil {
		return nil, nil, err
	}
	if kind == innerPage {
		at += 4
	}
	if at >= t.usable {
		return nil, nil, errRecord
	}
	return t.take(b, at)
}

// between reads a row that stands between two leaves.
func (t *tree) between(i int) (token, sealed []byte, err error) {
	s := t.seps[i]
	t.held = 0
	if err := t.read(s.page, t.buf); err != nil {
		return nil, nil, err
	}
	kind, rows, err := t.shape(t.buf)
	if err != nil {
		return nil, nil, err
	}
	if kind != innerPage || int(s.cell) >= rows {
		return nil, nil, fmt.Errorf("%w: a page has changed", ErrCorrupt)
	}
	return t.on(t.buf, innerPage, rows, int(s.cell))
}
