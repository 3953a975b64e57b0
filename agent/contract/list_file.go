package contract

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// A full copy of a list is one file, format 1:
//
//	offset  bytes  what
//	     0      8  "boothlst"
//	     8      2  format, big endian: 1
//	    10      1  length k of the kind, 1..16
//	    11      k  kind, lower-case letters
//	  11+k      8  number of rows, big endian
//	  19+k     32  digest: SHA-256 of the row stream
//	  51+k      .  one zstd frame of the row stream, and nothing behind it
//
// The row stream is every row in ascending order of token, no token twice:
// 16 bytes of token, the length of the value as a minimal uvarint (1 to 4096),
// the value. The file holds no generation: content alone decides the digest,
// and the signed metadata says which generation it is. Going back is the old
// content under a new number.
const (
	listMagic   = "boothlst"
	ListFormat  = 1
	MaxListKind = 16
	// MaxListRows is the largest list a booth is built for.
	MaxListRows = 20_000_000

	listWindow = 4 << 20 // zstd window: what reading costs the booth in memory
)

// ErrListFile says that a file is no list in a format this program knows:
// damaged, cut short, out of order, longer than it says.
var ErrListFile = errors.New("list file breaks the format")

// ListHeader is the head of a full copy.
type ListHeader struct {
	Kind   string
	Rows   uint64
	Digest [sha256.Size]byte
}

// ListRow is one row of a list; Value is opaque to the file format.
type ListRow struct {
	Token [16]byte
	Value []byte
}

// ListDigest sums rows in the order in which they come.
type ListDigest struct {
	h    hash.Hash
	row  []byte
	Rows uint64
}

// NewListDigest starts with no rows.
func NewListDigest() *ListDigest { return &ListDigest{h: sha256.New()} }

// Add adds one row.
func (d *ListDigest) Add(r ListRow) {
	d.row = appendRow(d.row[:0], r)
	d.h.Write(d.row)
	d.Rows++
}

// Sum gives the digest of the rows so far.
func (d *ListDigest) Sum() (sum [sha256.Size]byte) {
	d.h.Sum(sum[:0])
	return sum
}

func appendRow(b []byte, r ListRow) []byte {
	b = append(b, r.Token[:]...)
	b = binary.AppendUvarint(b, uint64(len(r.Value)))
	return append(b, r.Value...)
}

// WriteList writes rows as a full copy. They must be sorted, without repeats.
func WriteList(w io.Writer, kind string, rows []ListRow) (ListHeader, error) {
	h, err := summed(kind, rows)
	if err != nil {
		return ListHeader{}, err
	}
	if _, err := w.Write(h.append(nil)); err != nil {
		return ListHeader{}, fmt.Errorf("writing list %s: %w", kind, err)
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(listWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		return ListHeader{}, fmt.Errorf("writing list %s: %w", kind, err)
	}
	var b []byte
	for _, r := range rows {
		b = appendRow(b[:0], r)
		if _, err := z.Write(b); err != nil {
			return ListHeader{}, fmt.Errorf("writing list %s: %w", kind, errors.Join(err, z.Close()))
		}
	}
	if err := z.Close(); err != nil {
		return ListHeader{}, fmt.Errorf("writing list %s: %w", kind, err)
	}
	return h, nil
}

// summed checks rows and makes their header.
func summed(kind string, rows []ListRow) (ListHeader, error) {
	if !kindOK(kind) || len(rows) > MaxListRows {
		return ListHeader{}, fmt.Errorf("%w: kind %q with %d rows", ErrListFile, kind, len(rows))
	}
	d := NewListDigest()
	for i, r := range rows {
		if i > 0 && bytes.Compare(rows[i-1].Token[:], r.Token[:]) >= 0 {
			return ListHeader{}, fmt.Errorf("%w: row %d is not above the one before", ErrListFile, i)
		}
		if len(r.Value) == 0 || len(r.Value) > MaxListValue {
			return ListHeader{}, fmt.Errorf("%w: row %d has a value of %d bytes", ErrListFile, i, len(r.Value))
		}
		d.Add(r)
	}
	return ListHeader{Kind: kind, Rows: d.Rows, Digest: d.Sum()}, nil
}

func (h ListHeader) append(b []byte) []byte {
	b = append(b, listMagic...)
	b = binary.BigEndian.AppendUint16(b, ListFormat)
	b = append(append(b, byte(len(h.Kind))), h.Kind...)
	b = binary.BigEndian.AppendUint64(b, h.Rows)
	return append(b, h.Digest[:]...)
}

// ListReader reads a full copy as a stream, in bounded memory. Nothing it
// yields may be used before Rows has ended without an error: only then are
// count, order and digest known to be right.
type ListReader struct {
	ListHeader
	src io.Reader
}

// ReadList reads and judges the header.
func ReadList(r io.Reader) (*ListReader, error) {
	head := make([]byte, len(listMagic)+3)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, short(err)
	}
	format, k := binary.BigEndian.Uint16(head[8:]), int(head[10])
	switch {
	case string(head[:8]) != listMagic:
		return nil, fmt.Errorf("%w: no list", ErrListFile)
	case format != ListFormat:
		return nil, fmt.Errorf("%w: format %d, this program knows %d", ErrListFile, format, ListFormat)
	case k < 1 || k > MaxListKind:
		return nil, fmt.Errorf("%w: kind of %d characters", ErrListFile, k)
	}
	rest := make([]byte, k+8+sha256.Size)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, short(err)
	}
	h := ListHeader{Kind: string(rest[:k]), Rows: binary.BigEndian.Uint64(rest[k:]), Digest: [sha256.Size]byte(rest[k+8:])}
	if !kindOK(h.Kind) || h.Rows > MaxListRows {
		return nil, fmt.Errorf("%w: kind %q with %d rows", ErrListFile, h.Kind, h.Rows)
	}
	return &ListReader{ListHeader: h, src: r}, nil
}

// Rows yields every row once; a row's Value is valid until the next one. An
// error comes last, once, and says that the whole list is to be refused.
func (l *ListReader) Rows() iter.Seq2[ListRow, error] {
	return func(yield func(ListRow, error) bool) {
		// Concurrency 1 decodes in this goroutine; the decoder's own memory
		// limit does not bound a stream's output, so the limit below does.
		z, err := zstd.NewReader(l.src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(listWindow))
		if err != nil {
			yield(ListRow{}, short(err))
			return
		}
		defer z.Close()
		most := int64(l.ListHeader.Rows)*(16+2+MaxListValue) + 1
		l.scan(bufio.NewReaderSize(io.LimitReader(z, most), 64<<10), yield)
	}
}

func (l *ListReader) scan(r *bufio.Reader, yield func(ListRow, error) bool) {
	var row ListRow
	last := row.Token
	d := NewListDigest()
	for d.Rows < l.ListHeader.Rows {
		if err := readRow(r, &row); err != nil {
			yield(ListRow{}, fmt.Errorf("row %d: %w", d.Rows, err))
			return
		}
		if d.Rows > 0 && bytes.Compare(last[:], row.Token[:]) >= 0 {
			yield(ListRow{}, fmt.Errorf("%w: row %d is not above the one before", ErrListFile, d.Rows))
			return
		}
		last = row.Token
		d.Add(row)
		if !yield(row, nil) {
			return
		}
	}
	switch _, err := r.ReadByte(); {
	case err == nil:
		yield(ListRow{}, fmt.Errorf("%w: more than %d rows", ErrListFile, l.ListHeader.Rows))
	case !errors.Is(err, io.EOF):
		yield(ListRow{}, short(err))
	case d.Sum() != l.Digest:
		yield(ListRow{}, fmt.Errorf("%w: rows do not give the digest in the header", ErrListFile))
	}
}

func readRow(r *bufio.Reader, row *ListRow) error {
	if _, err := io.ReadFull(r, row.Token[:]); err != nil {
		return short(err)
	}
	n, err := readLength(r)
	if err != nil {
		return err
	}
	row.Value = slices.Grow(row.Value[:0], n)[:n]
	if _, err := io.ReadFull(r, row.Value); err != nil {
		return short(err)
	}
	return nil
}

// readLength reads a minimal uvarint of one or two bytes, the only ones that
// lengths up to MaxListValue have.
func readLength(r *bufio.Reader) (int, error) {
	lo, err := r.ReadByte()
	if err != nil {
		return 0, short(err)
	}
	n := int(lo)
	if lo >= 0x80 {
		hi, err := r.ReadByte()
		if err != nil {
			return 0, short(err)
		}
		if hi == 0 || hi >= 0x80 {
			return 0, fmt.Errorf("%w: length of a value", ErrListFile)
		}
		n = int(hi)<<7 | int(lo&0x7f)
	}
	if n < 1 || n > MaxListValue {
		return 0, fmt.Errorf("%w: a value of %d bytes, want 1 to %d", ErrListFile, n, MaxListValue)
	}
	return n, nil
}

// short keeps the cause, so that a source that failed can be told from a file
// that lies.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short", ErrListFile)
	}
	return fmt.Errorf("%w: %w", ErrListFile, err)
}

func kindOK(kind string) bool {
	if len(kind) < 1 || len(kind) > MaxListKind {
		return false
	}
	for i := range len(kind) {
		if kind[i] < 'a' || kind[i] > 'z' {
			return false
		}
	}
	return true
}
