package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"boothd/buffer/internal/sqlite"
)

// The redo log is one file beside the database, of a size that is given to it
// once, in two halves. Groups of rows follow each other from the beginning of a
// half. When the database has them all, the next group is written over the first;
// when the half is full before, the next one goes on in the other half, if the
// database has what is there. Little endian:
//
//	0  4  "BRL1"
//	4  4  length of the rows, bytes
//	8  4  CRC-32C of all that follows
//	12 8  salt of this round: a random number, another one from each beginning on
//	20 16 epoch
//	36 8  number of the first row
//	44    rows: at i64, alert u8, id 16, prev 16, length of class u8, class,
//	      length of body u32, body
//
// Each group begins a page of 4096 bytes, so that what is acknowledged is not
// written again with what follows it. A group counts if its sum is right, and if it
// goes on where the one before in its half ended, with the salt of the first. What
// an earlier round left behind it does not.
//
// A half is left for the other only behind a group that was acknowledged, and one
// in which a write failed is begun anew. So a group that nobody was told of can only
// be the last of all: no number of it is given again while it counts.
const (
	redoMagic = "BRL1"
	redoHead  = 44
	redoRow   = 8 + 1 + 16 + 16 + 1 + 4
	classMost = 255 // bytes
	// redoHalf is room for one group of the largest events, or for hundreds of the
	// usual ones.
	redoHalf = 2 << 20
	// RedoBytes is the size of the redo log.
	RedoBytes = 2 * redoHalf
	redoPage  = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// redoPath is the redo log of the journal at path.
func redoPath(path string) string { return path + ".redo" }

// redo is the redo log of an open journal.
type redo struct {
	open  func(path string, size int64) (Log, error)
	path  string
	epoch uuid.UUID
	file  Log // nil after a fault
	salt  uint64
	half  int64  // where the half that is written begins
	at    int64  // where the next group goes
	next  uint64 // its first number, unless it begins a round
	other uint64 // the last number in the other half
	buf   []byte // the last group, in whole pages
	rest  rest
}

// openRedo opens the log and gives the rows that it holds, in order, those that
// the database has too among them. Nothing can be written before a rewind: after
// a sync that failed, what is read may be on no medium, and what stood behind it
// would be lost with it.
func openRedo(path, epoch string, open func(string, int64) (Log, error)) (*redo, []stored, error) {
	id, err := uuid.Parse(epoch)
	if err != nil {
		return nil, nil, fmt.Errorf("epoch: %w", err)
	}
	if open == nil {
		open = OpenLog
	}
	l := &redo{open: open, path: path, epoch: id}
	if l.file, err = open(path, RedoBytes); err != nil {
		return nil, nil, err
	}
	rows, newest, err := scan(l.file, id)
	if err != nil {
		return nil, nil, errors.Join(err, l.file.Close())
	}
	l.half, l.at = newest, newest+redoHalf
	return l, rows, nil
}

// readRedo reads the rows of a log beside its owner, who may be writing it: what
// is not whole is not read. A journal that has no log holds none.
func readRedo(path, epoch string) (rows []stored, err error) {
	id, err := uuid.Parse(epoch)
	if err != nil {
		return nil, fmt.Errorf("epoch: %w", err)
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, _, err = scan(f, id)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	return rows, nil
}

// scan reads both halves, the older one first, and tells where the newer begins.
// Between the two there may be rows that the database has alone.
func scan(r io.ReaderAt, epoch uuid.UUID) (rows []stored, newest int64, err error) {
	first, err := scanHalf(r, 0, epoch)
	if err != nil {
		return nil, 0, err
	}
	second, err := scanHalf(r, redoHalf, epoch)
	if err != nil {
		return nil, 0, err
	}
	if len(second) == 0 || len(first) > 0 && first[0].Seq > second[0].Seq {
		return append(second, first...), 0, nil
	}
	return append(first, second...), redoHalf, nil
}

// scanHalf reads groups from the beginning of a half, as far as they count.
func scanHalf(r io.ReaderAt, half int64, epoch uuid.UUID) (rows []stored, err error) {
	var salt uint64
	group := make([]byte, redoHead)
	for at := half; ; at += pages(int64(len(group))) {
		group = group[:redoHead]
		if _, err := r.ReadAt(group, at); err != nil {
			return rows, unlessEnd(err)
		}
		n := int64(binary.LittleEndian.Uint32(group[4:]))
		its, first := binary.LittleEndian.Uint64(group[12:]), binary.LittleEndian.Uint64(group[36:])
		if string(group[:4]) != redoMagic || n == 0 || at+redoHead+n > half+redoHalf || uuid.UUID(group[20:36]) != epoch ||
			at > half && (its != salt || first != rows[len(rows)-1].Seq+1) {
			return rows, nil
		}
		group = slices.Grow(group, int(n))[:redoHead+n]
		if _, err := r.ReadAt(group[redoHead:], at+redoHead); err != nil {
			return rows, unlessEnd(err)
		}
		more, ok := decode(group, first)
		if !ok {
			return rows, nil
		}
		rows, salt = append(rows, more...), its
	}
}

// pages rounds bytes up to whole pages.
func pages(n int64) int64 { return (n + redoPage - 1) / redoPage * redoPage }

// unlessEnd is an error that is not the end of the file.
func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// decode reads the rows of a group, which begin with number seq. Whatever the
// bytes, it gives none that were not written together.
func decode(group []byte, seq uint64) (rows []stored, ok bool) {
	if crc32.Checksum(group[12:], castagnoli) != binary.LittleEndian.Uint32(group[8:]) {
		return nil, false
	}
	epoch := uuid.UUID(group[20:36]).String()
	for b := group[redoHead:]; len(b) > 0; seq++ {
		if len(b) < redoRow {
			return nil, false
		}
		var r stored
		r.Epoch, r.Seq = epoch, seq
		r.At, r.Alert = sqlite.Time(int64(binary.LittleEndian.Uint64(b))), b[8] == 1
		r.id, r.Prev = uuid.UUID(b[9:25]), [16]byte(b[25:41])
		r.ID = r.id.String()
		class := int(b[41])
		if b = b[42:]; len(b) < class+4 {
			return nil, false
		}
		r.Class, b = string(b[:class]), b[class:]
		body := int64(binary.LittleEndian.Uint32(b))
		if b = b[4:]; int64(len(b)) < body {
			return nil, false
		}
		r.body, b = bytes.Clone(b[:body]), b[body:]
		rows = append(rows, r)
	}
	return rows, true
}

// encode writes rows as one group into the log's buffer, with zeros up to the end
// of its last page.
func (l *redo) encode(rows []stored) {
	n := pages(length(rows))
	if int64(cap(l.buf)) < n {
		l.buf = wholePages(n)
	}
	b := append(l.buf[:0], redoMagic...)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint64(b, l.salt)
	b = append(b, l.epoch[:]...)
	b = binary.LittleEndian.AppendUint64(b, rows[0].Seq)
	for _, r := range rows {
		b = binary.LittleEndian.AppendUint64(b, uint64(sqlite.Micros(r.At)))
		b = append(b, byte(r.isAlert()))
		b = append(b, r.id[:]...)
		b = append(b, r.Prev[:]...)
		b = append(append(b, byte(len(r.Class))), r.Class...)
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(r.body))), r.body...)
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-redoHead))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	clear(b[len(b):n])
	l.buf = b[:n]
}

// fits tells whether rows can follow what is in this half: they have to be next,
// and there has to be room.
func (l *redo) fits(rows []stored) bool {
	return (l.at == l.half || rows[0].Seq == l.next) && l.at+length(rows) <= l.half+redoHalf
}

// turn begins the other half for rows that are next, if the database, which ends
// at folded, has what is there; it tells whether it does.
func (l *redo) turn(rows []stored, folded uint64) bool {
	if l.at == l.half || rows[0].Seq != l.next || l.other > folded || length(rows) > redoHalf {
		return false
	}
	l.half, l.other = redoHalf-l.half, l.next-1
	l.rewind()
	return true
}

// length is that of rows as one group, bytes.
func length(rows []stored) int64 {
	n := int64(redoHead)
	for _, r := range rows {
		n += redoRow + int64(len(r.Class)+len(r.body))
	}
	return n
}

// write makes rows durable. After an error nothing is to be written before
// restart: what is on the medium is not known, and a later sync does not make it
// good.
func (l *redo) write(rows []stored) error {
	l.encode(rows)
	_, err := l.file.WriteAt(l.buf, l.at)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		_ = l.file.Close() // the fault that led here is the one to tell
		l.file = nil
		l.rest.more()
		return err
	}
	l.at += int64(len(l.buf))
	l.next = rows[len(rows)-1].Seq + 1
	l.rest = rest{}
	return nil
}

// rewind begins another round: the database has all that was in this half.
func (l *redo) rewind() {
	l.at, l.salt = l.half, rand.Uint64()
}

// restart opens the log again after a fault, for another round.
func (l *redo) restart() error {
	if !l.rest.over() {
		return ErrStorage
	}
	file, err := l.open(l.path, RedoBytes)
	if err != nil {
		l.rest.more()
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	l.file = file
	l.rewind()
	return nil
}

func (l *redo) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// rest keeps a broken disk from being hammered: it doubles until something is
// stored again.
type rest struct {
	since time.Time
	pause time.Duration
}

func (r *rest) more() {
	r.since = time.Now()
	r.pause = min(max(2*r.pause, reopenPause), reopenLongest)
}

func (r *rest) over() bool { return time.Since(r.since) >= r.pause }
