package eligibility

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"time"

	"boothd/buffer/internal/sqlite"
)

// Spec says what a list must turn out to be.
type Spec struct {
	Kind       string // 1 to 16 lower-case letters
	Generation uint64 // 1 to MaxGeneration
	Rows       uint64
	// Digest is SHA-256 over every row in ascending order of token: token,
	// length of the value as uvarint, value.
	Digest [sha256.Size]byte
	// Key names the key under which identifiers became tokens; "" is not known.
	// The store keeps it and makes nothing of it.
	Key string
	// VerifiedAt is when headquarters' word for this generation was verified;
	// its age counts from it. Zero: never yet, which is too old for anything.
	VerifiedAt time.Time
	Pace       Pace

	published *Generation // what Purge rewrites, or an overlay makes: its rows and digest are on record
	base      *file       // what an overlay lies on
	sum       *Sum        // of the list that an overlay makes, or that was purged
	gone      gone        // of a list that was purged
}

// Built is a generation on disk, whole and synced, that is not active.
type Built struct {
	store *Store
	gen   Generation
	path  string
}

// Remove deletes a generation that will not be activated. Without it the next
// Open does.
func (b *Built) Remove() error {
	if b.path == "" {
		return nil
	}
	err := b.store.remove(b.path)
	b.path = ""
	if err != nil {
		return fmt.Errorf("removing built list: %w", err)
	}
	return nil
}

// Build writes a generation beside the active one. Rows come in ascending
// order of token, none twice; the first error of the sequence ends the
// building. ErrMismatch says that order, number or digest are not those of
// spec. On any error nothing is left behind and nothing has changed.
//
// Building takes minutes for ten million rows and holds no look-up and no
// activation up; two Builds of one generation at once are the caller's
// mistake.
func (s *Store) Build(ctx context.Context, spec Spec, rows iter.Seq2[Row, error]) (*Built, error) {
	if !kindOK(spec.Kind) || spec.Generation == 0 || spec.Generation > MaxGeneration {
		return nil, fmt.Errorf("building list %q-%d: kind or generation out of range", spec.Kind, spec.Generation)
	}
	temp, err := s.prepare(ctx, spec, rows)
	if err != nil {
		return nil, fmt.Errorf("building list %s-%d: %w", spec.Kind, spec.Generation, errors.Join(err, s.remove(temp)))
	}
	b, err := s.finish(spec, temp)
	if err != nil {
		return nil, fmt.Errorf("building list %s-%d: %w", spec.Kind, spec.Generation, err)
	}
	return b, nil
}

// prepare writes and syncs a list file that has not its name yet, also on an
// error.
func (s *Store) prepare(ctx context.Context, spec Spec, rows iter.Seq2[Row, error]) (temp string, err error) {
	temp = filePath(s.dir, spec.Kind, spec.Generation) + ".tmp"
	// What an earlier try left behind; SQLite must start with an empty file.
	err = errors.Join(s.remove(temp), s.remove(temp+"-journal"))
	if err == nil {
		err = write(ctx, temp, spec, rows)
	}
	if err == nil {
		err = sqlite.SyncFile(temp)
	}
	return temp, err
}

// finish gives a file that is prepared its name.
func (s *Store) finish(spec Spec, temp string) (*Built, error) {
	path := filePath(s.dir, spec.Kind, spec.Generation)
	err := os.Rename(temp, path)
	if err == nil {
		err = sqlite.SyncDir(s.dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.remove(temp))
	}
	g := Generation{Kind: spec.Kind, Generation: spec.Generation, Rows: spec.Rows, Digest: spec.Digest, Key: spec.Key,
		VerifiedAt: spec.VerifiedAt.UTC().Truncate(time.Microsecond)}
	return &Built{store: s, gen: g, path: path}, nil
}

// write makes a list file: SQLite the tables and what stands beside the rows, the
// loader the rows.
func write(ctx context.Context, temp string, spec Spec, all iter.Seq2[Row, error]) (err error) {
	w := &writer{spec: spec, seed: seed(spec.Kind, spec.Generation), digest: newDigest()}
	root, err := w.outline(ctx, temp)
	if err == nil {
		err = w.rows(ctx, temp, root, all)
	}
	if err != nil || w.known() {
		return err
	}
	conn, err := sqlite.OpenRaw(ctx, temp, sqlite.Options{Bulk: true})
	if err != nil {
		return err
	}
	err = conn.Exec(`BEGIN`)
	if err == nil {
		err = w.describe(conn)
	}
	if err == nil {
		err = conn.Exec(`COMMIT`)
	}
	return errors.Join(err, conn.Close())
}

// known tells whether all that the file says of itself is known before its rows
// are seen, so that it need not be opened a second time.
func (w *writer) known() bool { return w.spec.published != nil || w.spec.sum != nil }

// outline makes the tables, that of rows empty, and tells where that is.
func (w *writer) outline(ctx context.Context, temp string) (root uint32, err error) {
	conn, err := sqlite.OpenRaw(ctx, temp, sqlite.Options{Bulk: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// In one transaction, so that each page is written once.
	if err := conn.Exec(`BEGIN;` + fileSchema); err != nil {
		return 0, err
	}
	if w.known() {
		if err := w.describe(conn); err != nil {
			return 0, err
		}
	}
	if err := conn.Exec(`COMMIT`); err != nil {
		return 0, err
	}
	return rootOf(conn)
}

// describe writes what stands beside the rows.
func (w *writer) describe(conn *sqlite.RawConn) error {
	return errors.Join(conn.Exec(`INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, w.meta()...), w.spec.gone.write(conn))
}

// rootOf tells on which page the table of rows begins.
func rootOf(conn *sqlite.RawConn) (uint32, error) {
	root, err := conn.Int(`SELECT rootpage FROM sqlite_schema WHERE name = 'row' AND type = 'table'`)
	if err == nil && (root < 1 || root > math.MaxUint32) {
		err = fmt.Errorf("%w: it has no table of rows", ErrCorrupt)
	}
	return uint32(root), err
}

// rows writes all rows, and paces it.
func (w *writer) rows(ctx context.Context, temp string, root uint32, all iter.Seq2[Row, error]) (err error) {
	if w.load, err = newLoader(temp, root); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.load.close()) }()
	if w.pace, err = newPacer(temp, w.spec.Pace); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.pace.close()) }()
	return w.fill(ctx, all)
}

// meta is what the file says of itself.
func (w *writer) meta() []driver.Value {
	rows, digest, sum := w.spec.Rows, w.spec.Digest, any(w.sum[:])
	if p := w.spec.published; p != nil {
		rows, digest, sum = p.Rows, p.Digest, nil // unless it was known before
	}
	if w.spec.sum != nil {
		sum = w.spec.sum[:]
	}
	base, baseRows, below, kept := int64(0), int64(0), []byte{}, []byte{}
	if b := w.spec.base; b != nil {
		base, baseRows, below, kept = int64(b.gen.Generation), int64(b.gen.Rows), b.gen.Digest[:], b.digest[:]
	}
	return []driver.Value{int64(fileFormat), w.spec.Kind, int64(w.spec.Generation), int64(rows), digest[:], int64(w.spec.Rows), w.spec.Digest[:],
		sum, base, baseRows, below, kept}
}

// batch is after how many rows the pace is asked.
const batch = 128

// writer checks rows and seals them.
type writer struct {
	spec    Spec
	seed    uint32
	pace    *pacer
	load    *loader
	digest  *digest // not of an overlay
	written uint64  // rows
	sum     Sum
	last    Token
	buf     []byte // of one sealed value
}

func (w *writer) fill(ctx context.Context, rows iter.Seq2[Row, error]) (err error) {
	for r, err := range rows {
		if err != nil {
			return err
		}
		if err := w.add(ctx, r); err != nil {
			return err
		}
	}
	sum := w.spec.Digest // of an overlay it was made of these very rows
	if w.spec.base == nil {
		sum = w.digest.sum()
	}
	if w.written != w.spec.Rows || sum != w.spec.Digest {
		return fmt.Errorf("%w: %d rows with digest %x, want %d with %x", ErrMismatch, w.written, sum[:4], w.spec.Rows, w.spec.Digest[:4])
	}
	if err := w.put(lastToken, nil); err != nil {
		return err
	}
	return w.load.end()
}

func (w *writer) add(ctx context.Context, r Row) error {
	switch {
	case bytes.Compare(r.Token[:], w.last[:]) <= 0:
		return fmt.Errorf("%w: row %d is not above the one before", ErrMismatch, w.written)
	case r.Token == lastToken:
		return fmt.Errorf("%w: row %d has the token that ends a list", ErrMismatch, w.written)
	case len(r.Value) == 0 || len(r.Value) > MaxValue && (w.spec.base == nil || len(r.Value) > MaxValue+1): // an overlay's has its mark
		return fmt.Errorf("%w: row %d has a value of %d bytes, want 1 to %d", ErrMismatch, w.written, len(r.Value), MaxValue)
	case w.written == w.spec.Rows:
		return fmt.Errorf("%w: more than %d rows", ErrMismatch, w.spec.Rows)
	}
	if w.written++; w.spec.base == nil {
		w.digest.add(r)
	}
	if w.spec.published == nil {
		w.sum.add(r)
	}
	if err := w.put(r.Token, r.Value); err != nil || w.written%batch != 0 {
		return err
	}
	return w.pace.wrote(ctx, batch*(len(r.Token)+len(r.Value)+sealBytes+4))
}

// put seals a row and writes it.
func (w *writer) put(t Token, payload []byte) error {
	w.buf = seal(w.buf[:0], w.seed, w.last, t, payload)
	w.last = t
	return w.load.add(t, w.buf)
}

// digest is the content digest of Spec.
type digest struct {
	h interface {
		Write([]byte) (int, error)
		Sum([]byte) []byte
	}
	b    []byte
	rows uint64
}

func newDigest() *digest { return &digest{h: sha256.New()} }

func (d *digest) add(r Row) {
	d.b = append(d.b[:0], r.Token[:]...)
	d.b = binary.AppendUvarint(d.b, uint64(len(r.Value)))
	d.b = append(d.b, r.Value...)
	d.h.Write(d.b)
	d.rows++
}

func (d *digest) sum() [sha256.Size]byte { return [sha256.Size]byte(d.h.Sum(nil)) }

// Digest is the content digest of rows, as Spec wants it. They are sorted
// first.
func Digest(rows []Row) [sha256.Size]byte {
	d := newDigest()
	for _, r := range slices.SortedFunc(slices.Values(rows), func(a, b Row) int { return bytes.Compare(a.Token[:], b.Token[:]) }) {
		d.add(r)
	}
	return d.sum()
}

func kindOK(kind string) bool {
	ok := len(kind) >= 1 && len(kind) <= 16
	for i := range len(kind) {
		ok = ok && kind[i] >= 'a' && kind[i] <= 'z'
	}
	return ok
}
