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
// and which are all that an overlay has. sum is that of the list, NULL where
// Purge has changed it. base is the generation that an overlay lies on, 0 for
// none, with its own rows and digest as published and kept_digest.
const (
	fileSchema = `
CREATE TABLE meta (format INTEGER, kind TEXT, generation INTEGER, rows INTEGER, digest BLOB, kept_rows INTEGER, kept_digest BLOB,
	sum BLOB, base INTEGER, base_rows INTEGER, base_digest BLOB, base_kept BLOB);
CREATE TABLE row (token BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;`
	fileFormat   = 3
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
	err   error // why it cannot be read; then conn is nil
	seed  uint32

	// mu, because a prepared statement belongs to one goroutine at a time and
	// the status page may ask beside the lane. It is held for microseconds.
	mu     sync.Mutex
	conn   *sqlite.RawConn
	from   *sqlite.Stmt // first row at or above a token
	before *sqlite.Stmt // last row below a token
	key    Token
	arg    []driver.Value // the slice of key, boxed once

	dir    string
	rows   uint64 // in the file
	digest [sha256.Size]byte
	sum    *Sum     // of the list; nil: not known
	base   *file    // what an overlay lies on
	wipe   *os.File // overwritten when the file is closed: rows of it were purged
}

// openFile opens a generation. It always gives a file; one that cannot be read
// says why at every look-up.
func openFile(ctx context.Context, dir string, g Generation) *file {
	f := &file{gen: g, dir: dir, seed: seed(g.Kind, g.Generation)}
	f.known.Store(&g)
	f.refs.Store(1)
	f.arg = []driver.Value{f.key[:]}
	if err := f.open(ctx, f.path()); err != nil {
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
	if f.conn, err = sqlite.OpenRaw(ctx, path, sqlite.Options{Immutable: true}); err != nil {
		return err
	}
	meta, err := f.conn.Prepare(`SELECT * FROM meta`)
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
	if f.from, err = f.conn.Prepare(`SELECT token, value FROM row WHERE token >= ?1 ORDER BY token LIMIT 1`); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if f.before, err = f.conn.Prepare(`SELECT token, value FROM row WHERE token < ?1 ORDER BY token DESC LIMIT 1`); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// meta takes what a file says of itself; seen tells whether it is what the index
// names.
func (f *file) meta(ctx context.Context, row []driver.Value) (seen bool, err error) {
	width := map[int64]int{firstFormat: 5, secondFormat: 7, fileFormat: 12}
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
	f.base = openFile(ctx, f.dir, Generation{Kind: f.gen.Kind, Generation: uint64(base), Rows: uint64(rows), Digest: [sha256.Size]byte(published)})
	switch {
	case f.base.err != nil:
		return false, f.base.err
	case f.base.digest != [sha256.Size]byte(kept) || f.base.base != nil:
		return false, fmt.Errorf("%w: the list below has changed", ErrCorrupt)
	}
	return true, nil
}

// lookup finds a token: in the overlay, if this is one, and then in its base.
func (f *file) lookup(t Token) (value []byte, ok bool, err error) {
	value, ok, err = f.ownRow(t)
	if f.base == nil || err != nil {
		return value, ok, err
	}
	if !ok {
		if value, ok, err = f.base.ownRow(t); err != nil { // damage below is damage of what lies on it
			fault := &Fault{}
			errors.As(err, &fault)
			err = &Fault{f.gen.Kind, f.gen.Generation, fault.Err}
		}
		return value, ok, err
	}
	if value[0] == removed {
		return nil, false, nil
	}
	return value[1:], true, nil
}

func (f *file) ownRow(t Token) (value []byte, ok bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.err != nil:
		err = f.err
	case f.conn == nil:
		err = ErrClosed
	default:
		value, ok, err = f.search(t)
	}
	if err != nil {
		return nil, false, &Fault{f.gen.Kind, f.gen.Generation, err}
	}
	return value, ok, nil
}

// search believes a row only if its checksum holds, and an absence only if the
// gap before the next row spans the token.
func (f *file) search(t Token) ([]byte, bool, error) {
	at, sealed, err := f.one(f.from, t)
	if err != nil {
		return nil, false, err
	}
	payload, gap, err := f.unseal(at, sealed)
	if err != nil {
		return nil, false, err
	}
	if bytes.Equal(at, t[:]) && t != lastToken {
		return payload, true, nil
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
	at, sealed, err := f.one(f.before, t)
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

// one runs a statement that gives a row at most; nil if there is none.
func (f *file) one(s *sqlite.Stmt, t Token) (at, sealed []byte, err error) {
	f.key = t
	for row, err := range s.Rows(f.arg...) {
		if err != nil {
			return nil, nil, damaged(err)
		}
		a, okA := row[0].([]byte)
		b, okB := row[1].([]byte)
		if !okA || !okB || len(a) != len(t) {
			return nil, nil, fmt.Errorf("%w: a row is of another type", ErrCorrupt)
		}
		at, sealed = a, b
	}
	return at, sealed, nil
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
	for _, s := range []*sqlite.Stmt{f.from, f.before} {
		if s != nil {
			s.Close()
		}
	}
	if f.conn != nil {
		f.conn.Close()
	}
	f.conn, f.from, f.before = nil, nil, nil
	if f.base != nil {
		f.base.release()
		f.base = nil
	}
	if f.wipe != nil {
		_ = overwrite(f.wipe) // the name is gone already: nobody else could act on it
		f.wipe = nil
	}
}
