package contract

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
)

// A delta is what changes one generation of a list into a later one, format 1:
//
//	offset  bytes  what
//	     0      8  "boothdlt"
//	     8      2  format, big endian: 1
//	    10      1  length k of the kind, 1..16
//	    11      k  kind, lower-case letters
//	  11+k      8  number of changes, big endian
//	  19+k     32  digest of the list that is changed
//	  51+k     32  digest of the list that results
//	  83+k      8  rows of the list that results, big endian
//	  91+k     32  sum of the list that results (ListSum)
//	 123+k      .  one zstd frame of the changes, and nothing behind it
//
// The changes are in ascending order of token, no token twice: one byte of what
// is done ('A' adds, 'R' replaces, 'D' removes), 16 bytes of token, and, unless
// it removes, the length of the value as a minimal uvarint (1 to 4096) and the
// value. Like a full copy a delta holds no generation; the signed metadata says
// which ones it leads from and to.
const (
	deltaMagic  = "boothdlt"
	DeltaFormat = 1
	// MaxDeltaChanges is the most that one delta changes; more is a full copy.
	MaxDeltaChanges = 1_000_000
)

// ErrDeltaFile says that a file is no delta in a format this program knows.
var ErrDeltaFile = errors.New("delta file breaks the format")

// Op is what a change does.
type Op byte

// The operations: adding what is not there, replacing and removing what is.
const (
	Add     Op = 'A'
	Replace Op = 'R'
	Remove  Op = 'D'
)

// ListChange is one change of a list; Value is empty for Remove.
type ListChange struct {
	Op    Op
	Token [16]byte
	Value []byte
}

// ListSum is a sum over rows that does not depend on their order and can be
// carried on by what is added and removed: the SHA-256 of each row (as in the
// row stream), as numbers, modulo 2^256. It finds a list that is not what it
// should be; that nobody forged it is for the signed hash of the file to say.
type ListSum [sha256.Size]byte

// Add adds a row.
func (s *ListSum) Add(token [16]byte, value []byte) { s.move(token, value, false) }

// Sub takes a row out.
func (s *ListSum) Sub(token [16]byte, value []byte) { s.move(token, value, true) }

func (s *ListSum) move(token [16]byte, value []byte, out bool) {
	h := sha256.Sum256(appendRow(make([]byte, 0, 18+len(value)), ListRow{token, value}))
	if out {
		for i := range h {
			h[i] = ^h[i]
		}
	}
	carry := uint16(0)
	if out {
		carry = 1 // two's complement
	}
	for i := len(s) - 1; i >= 0; i-- {
		carry += uint16(s[i]) + uint16(h[i])
		s[i] = byte(carry)
		carry >>= 8
	}
}

// DeltaHeader is the head of a delta.
type DeltaHeader struct {
	Kind    string
	Changes uint64
	From    [sha256.Size]byte // content digest of the list that is changed
	To      [sha256.Size]byte // and of the one that results
	Rows    uint64            // of the one that results
	Sum     ListSum           // of the one that results
}

// WriteDelta writes changes as a delta. They must be sorted, without repeats;
// h.Changes is counted here.
func WriteDelta(w io.Writer, h DeltaHeader, changes []ListChange) (DeltaHeader, error) {
	h.Changes = uint64(len(changes))
	if !kindOK(h.Kind) || len(changes) > MaxDeltaChanges || h.Rows > MaxListRows {
		return h, fmt.Errorf("%w: kind %q with %d changes", ErrDeltaFile, h.Kind, len(changes))
	}
	if _, err := w.Write(h.append(nil)); err != nil {
		return h, fmt.Errorf("writing delta of %s: %w", h.Kind, err)
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(listWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		return h, fmt.Errorf("writing delta of %s: %w", h.Kind, err)
	}
	var b []byte
	for i, c := range changes {
		err := c.check()
		if err == nil && i > 0 && bytes.Compare(changes[i-1].Token[:], c.Token[:]) >= 0 {
			err = fmt.Errorf("%w: change %d is not above the one before", ErrDeltaFile, i)
		}
		if err == nil {
			b = append(b[:0], byte(c.Op))
			b = append(b, c.Token[:]...)
			if c.Op != Remove {
				b = append(binary.AppendUvarint(b, uint64(len(c.Value))), c.Value...)
			}
			_, err = z.Write(b)
		}
		if err != nil {
			return h, fmt.Errorf("writing delta of %s: %w", h.Kind, errors.Join(err, z.Close()))
		}
	}
	if err := z.Close(); err != nil {
		return h, fmt.Errorf("writing delta of %s: %w", h.Kind, err)
	}
	return h, nil
}

func (c ListChange) check() error {
	switch {
	case c.Op == Remove && len(c.Value) == 0:
	case (c.Op == Add || c.Op == Replace) && len(c.Value) >= 1 && len(c.Value) <= MaxListValue:
	default:
		return fmt.Errorf("%w: operation %q with a value of %d bytes", ErrDeltaFile, byte(c.Op), len(c.Value))
	}
	return nil
}

func (h DeltaHeader) append(b []byte) []byte {
	b = append(b, deltaMagic...)
	b = binary.BigEndian.AppendUint16(b, DeltaFormat)
	b = append(append(b, byte(len(h.Kind))), h.Kind...)
	b = binary.BigEndian.AppendUint64(b, h.Changes)
	b = append(append(b, h.From[:]...), h.To[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Rows)
	return append(b, h.Sum[:]...)
}

// DeltaReader reads a delta as a stream, in bounded memory. Nothing it yields
// may be used before Changes has ended without an error.
type DeltaReader struct {
	DeltaHeader
	src io.Reader
}

// ReadDelta reads and judges the header.
func ReadDelta(r io.Reader) (*DeltaReader, error) {
	head := make([]byte, len(deltaMagic)+3)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, deltaShort(err)
	}
	format, k := binary.BigEndian.Uint16(head[8:]), int(head[10])
	switch {
	case string(head[:8]) != deltaMagic:
		return nil, fmt.Errorf("%w: no delta", ErrDeltaFile)
	case format != DeltaFormat:
		return nil, fmt.Errorf("%w: format %d, this program knows %d", ErrDeltaFile, format, DeltaFormat)
	case k < 1 || k > MaxListKind:
		return nil, fmt.Errorf("%w: kind of %d characters", ErrDeltaFile, k)
	}
	b := make([]byte, k+8+2*sha256.Size+8+sha256.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, deltaShort(err)
	}
	h := DeltaHeader{Kind: string(b[:k]), Changes: binary.BigEndian.Uint64(b[k:])}
	b = b[k+8:]
	h.From, h.To = [sha256.Size]byte(b), [sha256.Size]byte(b[sha256.Size:])
	b = b[2*sha256.Size:]
	h.Rows, h.Sum = binary.BigEndian.Uint64(b), ListSum(b[8:])
	if !kindOK(h.Kind) || h.Changes > MaxDeltaChanges || h.Rows > MaxListRows {
		return nil, fmt.Errorf("%w: kind %q with %d changes", ErrDeltaFile, h.Kind, h.Changes)
	}
	return &DeltaReader{DeltaHeader: h, src: r}, nil
}

// Changes yields every change once; a Value is valid until the next one. An
// error comes last, once, and says that the whole delta is to be refused.
func (d *DeltaReader) Changes() iter.Seq2[ListChange, error] {
	return func(yield func(ListChange, error) bool) {
		z, err := zstd.NewReader(d.src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(listWindow))
		if err != nil {
			yield(ListChange{}, deltaShort(err))
			return
		}
		defer z.Close()
		most := int64(d.DeltaHeader.Changes)*(1+16+2+MaxListValue) + 1
		d.scan(bufio.NewReaderSize(io.LimitReader(z, most), 64<<10), yield)
	}
}

func (d *DeltaReader) scan(r *bufio.Reader, yield func(ListChange, error) bool) {
	var row ListRow
	var last [16]byte
	for i := range d.DeltaHeader.Changes {
		op, err := r.ReadByte()
		if err != nil {
			yield(ListChange{}, fmt.Errorf("change %d: %w", i, deltaShort(err)))
			return
		}
		c := ListChange{Op: Op(op)}
		switch c.Op {
		case Add, Replace:
			err = readRow(r, &row)
			c.Token, c.Value = row.Token, row.Value
		case Remove:
			_, err = io.ReadFull(r, c.Token[:])
		default:
			err = fmt.Errorf("%w: operation %#x", ErrDeltaFile, op)
		}
		if err == nil && i > 0 && bytes.Compare(last[:], c.Token[:]) >= 0 {
			err = fmt.Errorf("%w: change %d is not above the one before", ErrDeltaFile, i)
		}
		if err != nil {
			yield(ListChange{}, fmt.Errorf("change %d: %w", i, deltaShort(err)))
			return
		}
		last = c.Token
		if !yield(c, nil) {
			return
		}
	}
	switch _, err := r.ReadByte(); {
	case err == nil:
		yield(ListChange{}, fmt.Errorf("%w: more than %d changes", ErrDeltaFile, d.DeltaHeader.Changes))
	case !errors.Is(err, io.EOF):
		yield(ListChange{}, deltaShort(err))
	}
}

// deltaShort tells of a delta what short tells of a full copy.
func deltaShort(err error) error {
	switch {
	case errors.Is(err, ErrDeltaFile):
		return err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: cut short", ErrDeltaFile)
	}
	return fmt.Errorf("%w: %w", ErrDeltaFile, err)
}

// DiffLists gives what changes one list into another, and the sum of the other.
// Both are read as streams of sorted rows. More than most changes are an error.
func DiffLists(from, to iter.Seq2[ListRow, error], most int) (changes []ListChange, sum ListSum, err error) {
	next, stop := iter.Pull2(from)
	defer stop()
	old, oldErr, more := next()
	note := func(c ListChange) error {
		if len(changes) == most {
			return fmt.Errorf("more than %d changes", most)
		}
		c.Value = bytes.Clone(c.Value)
		changes = append(changes, c)
		return nil
	}
	for row, err := range to {
		for err == nil && oldErr == nil && more && bytes.Compare(old.Token[:], row.Token[:]) < 0 {
			err = note(ListChange{Op: Remove, Token: old.Token})
			old, oldErr, more = next()
		}
		if err = errors.Join(err, oldErr); err != nil {
			return nil, sum, err
		}
		sum.Add(row.Token, row.Value)
		switch {
		case !more || old.Token != row.Token:
			err = note(ListChange{Add, row.Token, row.Value})
		case !bytes.Equal(old.Value, row.Value):
			err = note(ListChange{Replace, row.Token, row.Value})
		}
		if err != nil {
			return nil, sum, err
		}
		if more && old.Token == row.Token {
			old, oldErr, more = next()
		}
	}
	for ; more && oldErr == nil; old, oldErr, more = next() {
		if err := note(ListChange{Op: Remove, Token: old.Token}); err != nil {
			return nil, sum, err
		}
	}
	return changes, sum, oldErr
}
