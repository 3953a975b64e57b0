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
	"os"
	"slices"
	"strings"
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
	// VerifiedAt is when headquarters' word for this generation was verified;
	// its age counts from it. Zero: never yet, which is too old for anything.
	VerifiedAt time.Time
	Pace       Pace

	published *Generation // what Purge rewrites, or an overlay makes: its rows and digest are on record
	base      *file       // what an overlay lies on
	sum       *Sum        // of the list that an overlay makes
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
	err := os.Remove(b.path)
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
	path := filePath(s.dir, spec.Kind, spec.Generation)
	temp := path + ".tmp"
	// What an earlier try left behind; SQLite must start with an empty file.
	if err := errors.Join(removeAny(temp), removeAny(temp+"-journal")); err != nil {
		return nil, fmt.Errorf("building list %s-%d: %w", spec.Kind, spec.Generation, err)
	}
	err := write(ctx, temp, spec, rows)
	if err == nil {
		err = sqlite.SyncFile(temp)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("building list %s-%d: %w", spec.Kind, spec.Generation, errors.Join(err, removeAny(temp)))
	}
	g := Generation{Kind: spec.Kind, Generation: spec.Generation, Rows: spec.Rows, Digest: spec.Digest,
		VerifiedAt: spec.VerifiedAt.UTC().Truncate(time.Microsecond)}
	return &Built{store: s, gen: g, path: path}, nil
}

func write(ctx context.Context, temp string, spec Spec, all iter.Seq2[Row, error]) (err error) {
	conn, err := sqlite.OpenRaw(ctx, temp, sqlite.Options{Bulk: true})
	if err != nil {
		return err
	}
	p, err := newPacer(temp, spec.Pace)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	// The pacer's descriptor is closed after the connection: closing it drops
	// this process's locks on the file.
	defer func() { err = errors.Join(err, conn.Close(), p.close()) }()
	if err := conn.Exec(fileSchema + "BEGIN"); err != nil {
		return err
	}
	w := &writer{conn: conn, spec: spec, seed: seed(spec.Kind, spec.Generation), pace: p, digest: newDigest()}
	if err := w.fill(ctx, all); err != nil {
		return err
	}
	if err := conn.Exec(`INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, w.meta()...); err != nil {
		return err
	}
	return conn.Exec("COMMIT")
}

// meta is what the file says of itself.
func (w *writer) meta() []driver.Value {
	rows, digest, sum := w.spec.Rows, w.spec.Digest, any(w.sum[:])
	if p := w.spec.published; p != nil {
		rows, digest, sum = p.Rows, p.Digest, nil // after a purge the sum is not known
	}
	base, baseRows, below, kept := int64(0), int64(0), []byte{}, []byte{}
	if b := w.spec.base; b != nil {
		base, baseRows, below, kept, sum = int64(b.gen.Generation), int64(b.gen.Rows), b.gen.Digest[:], b.digest[:], w.spec.sum[:]
	}
	return []driver.Value{int64(fileFormat), w.spec.Kind, int64(w.spec.Generation), int64(rows), digest[:], int64(w.spec.Rows), w.spec.Digest[:],
		sum, base, baseRows, below, kept}
}

// batch rows go into one statement: 128 are 2.5 times as fast as one, and more
// gain nothing (measured limits, 2d).
const batch = 128

// writer turns rows into statements of batch rows.
type writer struct {
	conn   *sqlite.RawConn
	spec   Spec
	seed   uint32
	pace   *pacer
	digest *digest
	sum    Sum
	last   Token
	args   []driver.Value
	many   *sqlite.Stmt
}

func (w *writer) fill(ctx context.Context, rows iter.Seq2[Row, error]) (err error) {
	if w.many, err = w.conn.Prepare(insertRows(batch)); err != nil {
		return err
	}
	defer w.many.Close()
	for r, err := range rows {
		if err != nil {
			return err
		}
		if err := w.add(ctx, r); err != nil {
			return err
		}
	}
	if sum := w.digest.sum(); w.digest.rows != w.spec.Rows || sum != w.spec.Digest {
		return fmt.Errorf("%w: %d rows with digest %x, want %d with %x", ErrMismatch, w.digest.rows, sum[:4], w.spec.Rows, w.spec.Digest[:4])
	}
	w.put(lastToken, nil)
	return w.flush()
}

func (w *writer) add(ctx context.Context, r Row) error {
	switch {
	case bytes.Compare(r.Token[:], w.last[:]) <= 0:
		return fmt.Errorf("%w: row %d is not above the one before", ErrMismatch, w.digest.rows)
	case r.Token == lastToken:
		return fmt.Errorf("%w: row %d has the token that ends a list", ErrMismatch, w.digest.rows)
	case len(r.Value) == 0 || len(r.Value) > MaxValue && (w.spec.base == nil || len(r.Value) > MaxValue+1): // an overlay's has its mark
		return fmt.Errorf("%w: row %d has a value of %d bytes, want 1 to %d", ErrMismatch, w.digest.rows, len(r.Value), MaxValue)
	case w.digest.rows == w.spec.Rows:
		return fmt.Errorf("%w: more than %d rows", ErrMismatch, w.spec.Rows)
	}
	w.digest.add(r)
	if w.spec.published == nil {
		w.sum.add(r)
	}
	w.put(r.Token, r.Value)
	if len(w.args) < 2*batch {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.pace.wrote(ctx, batch*(len(r.Token)+len(r.Value)+sealBytes+4))
}

func (w *writer) put(t Token, payload []byte) {
	buf := append(make([]byte, 0, len(t)+len(payload)+sealBytes), t[:]...)
	buf = seal(buf, w.seed, w.last, t, payload)
	w.args = append(w.args, buf[:len(t):len(t)], buf[len(t):])
	w.last = t
}

func (w *writer) flush() error {
	n := len(w.args) / 2
	if n == 0 {
		return nil
	}
	stmt := w.many
	if n < batch {
		s, err := w.conn.Prepare(insertRows(n))
		if err != nil {
			return err
		}
		defer s.Close()
		stmt = s
	}
	_, err := stmt.Exec(w.args...)
	w.args = w.args[:0]
	return err
}

func insertRows(n int) string {
	return "INSERT INTO row VALUES (?,?)" + strings.Repeat(",(?,?)", n-1)
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

func removeAny(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
