package eligibility

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// loader fills the table of rows of a new list file. Rows come sorted, so that
// each page is written once and in order, from the leaves up; SQLite, which
// searches the place of every row, takes two and a half times as long. What
// comes out is an ordinary SQLite file: it made the tables, and writes what
// stands beside the rows.
//
// Source: SQLite documentation, "Database File Format", sections 1.3, 1.6 and 2.
type loader struct {
	f      *os.File
	w      *bufio.Writer // behind the pages that are there
	page   int           // bytes of a page
	usable int
	next   uint32 // number of the next page to be written
	root   uint32 // of the table
	levels []*level
	cell   []byte
}

// level is the page that is being filled, of leaves (the first) or above them.
type level struct {
	leaf  bool
	b     []byte
	cells int
	start int // where the content begins; it grows down
	last  int // bytes of the cell that was added last
}

// loaderBuffer is how much is written at once.
const loaderBuffer = 64 << 10

// newLoader opens a file that SQLite has just made, with an empty table at root.
func newLoader(path string, root uint32) (*loader, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	l := &loader{f: f, root: root}
	if err := l.begin(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

func (l *loader) begin() error {
	var head [headerSize]byte
	if _, err := l.f.ReadAt(head[:], 0); err != nil {
		return err
	}
	l.page = int(binary.BigEndian.Uint16(head[16:]))
	l.usable = l.page - int(head[20])
	size, err := l.f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if l.page < 512 || size%int64(l.page) != 0 {
		return fmt.Errorf("a new list file has %d bytes in pages of %d", size, l.page)
	}
	l.next = uint32(size/int64(l.page)) + 1
	l.w = bufio.NewWriterSize(l.f, loaderBuffer)
	l.levels = []*level{l.empty(true)}
	return nil
}

func (l *loader) empty(leaf bool) *level {
	return &level{leaf: leaf, b: make([]byte, l.page), start: l.usable}
}

func (v *level) head() int {
	if v.leaf {
		return 8
	}
	return 12
}

// add adds the row above all before: a token and its sealed value.
func (l *loader) add(token Token, sealed []byte) error {
	var room [8]byte
	head := appendVarint(append(room[:0], 0, byte(tokenType)), 12+2*len(sealed))
	head[0] = byte(len(head))
	length := len(head) + len(token) + len(sealed)
	cell := appendVarint(l.cell[:0], length)
	start := len(cell)
	cell = append(append(append(cell, head...), token[:]...), sealed...)
	l.cell = cell
	if local := localOf(l.usable, length); local < length {
		var first [4]byte
		binary.BigEndian.PutUint32(first[:], l.next)
		if err := l.spill(cell[start+local:]); err != nil {
			return err
		}
		cell = append(cell[:start+local], first[:]...)
	}
	return l.put(0, 0, cell)
}

// localOf is how much of a record is on its own page, section 1.6.
func localOf(usable, length int) int {
	most := (usable-12)*64/255 - 23
	if length <= most {
		return length
	}
	least := (usable-12)*32/255 - 23
	if local := least + (length-least)%(usable-4); local <= most {
		return local
	}
	return least
}

// spill writes what does not fit onto pages of its own.
func (l *loader) spill(rest []byte) error {
	for len(rest) > 0 {
		n := min(len(rest), l.usable-4)
		page := make([]byte, l.page)
		if n < len(rest) {
			binary.BigEndian.PutUint32(page, l.next+1)
		}
		copy(page[4:], rest[:n])
		if _, err := l.write(page); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// write writes a page behind the others and gives its number.
func (l *loader) write(page []byte) (uint32, error) {
	if l.next == math.MaxUint32 {
		return 0, errors.New("a list file has no more pages")
	}
	_, err := l.w.Write(page)
	l.next++
	return l.next - 1, err
}

// put adds a cell to a level, with the page left of it above the leaves. Where
// it does not fit, the page is finished but for its last cell, which goes up as
// what stands between two pages.
func (l *loader) put(n int, left uint32, cell []byte) error {
	if n == len(l.levels) {
		l.levels = append(l.levels, l.empty(false))
	}
	v := l.levels[n]
	size := len(cell)
	if !v.leaf {
		size += 4
	}
	if v.head()+2*(v.cells+1)+l.usable-v.start+size > l.usable {
		if err := l.split(n); err != nil {
			return err
		}
	}
	v.start -= size
	at := v.start
	if !v.leaf {
		binary.BigEndian.PutUint32(v.b[at:], left)
		at += 4
	}
	copy(v.b[at:], cell)
	binary.BigEndian.PutUint16(v.b[v.head()+2*v.cells:], uint16(v.start))
	v.cells++
	v.last = size
	return nil
}

// split finishes the page of a level and begins the next one.
func (l *loader) split(n int) error {
	v := l.levels[n]
	up := append([]byte(nil), v.b[v.start:v.start+v.last]...)
	clear(v.b[v.start : v.start+v.last])
	v.start += v.last
	v.cells--
	binary.BigEndian.PutUint16(v.b[v.head()+2*v.cells:], 0)
	if !v.leaf {
		copy(v.b[8:12], up) // the page left of the cell is the rightmost one here
		up = up[4:]
	}
	page, err := l.write(v.finish(l.usable))
	if err != nil {
		return err
	}
	clear(v.b)
	v.cells, v.start, v.last = 0, l.usable, 0
	return l.put(n+1, page, up)
}

// finish writes the header of a page.
func (v *level) finish(usable int) []byte {
	v.b[0] = innerPage
	if v.leaf {
		v.b[0] = leafPage
	}
	binary.BigEndian.PutUint16(v.b[3:], uint16(v.cells))
	if v.start < 1<<16 { // 0 stands for 65,536
		binary.BigEndian.PutUint16(v.b[5:], uint16(v.start))
	}
	return v.b
}

// end writes what is left, the topmost page as the table's root, and how many
// pages there are.
func (l *loader) end() error {
	for n, v := range l.levels {
		if n == len(l.levels)-1 {
			break
		}
		page, err := l.write(v.finish(l.usable))
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(l.levels[n+1].b[8:], page)
	}
	if err := l.w.Flush(); err != nil {
		return err
	}
	top := l.levels[len(l.levels)-1].finish(l.usable)
	if _, err := l.f.WriteAt(top, int64(l.root-1)*int64(l.page)); err != nil {
		return err
	}
	var pages [4]byte
	binary.BigEndian.PutUint32(pages[:], l.next-1)
	_, err := l.f.WriteAt(pages[:], 28)
	return err
}

func (l *loader) close() error { return l.f.Close() }

// appendVarint writes SQLite's number, most significant bits first, below 2^21.
func appendVarint(b []byte, v int) []byte {
	if v >= 1<<14 {
		b = append(b, byte(v>>14)|0x80)
	}
	if v >= 1<<7 {
		b = append(b, byte(v>>7)|0x80)
	}
	return append(b, byte(v&0x7f))
}
