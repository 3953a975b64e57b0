package journal

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// rateLeast is how long must have been watched before a rate is told.
	rateLeast = 5 * time.Minute
	// forecastLeast is the span of events below which no forecast is made.
	forecastLeast = time.Hour
	forecastMost  = 10 * 365 * 24 * time.Hour
	// rowOwn is what a row takes in its page besides body and class: id, link,
	// numbers and header; indexOwn is its entry in an index.
	rowOwn   = 80
	indexOwn = 16
	// sampled is how many of the newest rows tell the usual size.
	sampled = 256
	// frameOwn is the header of each page in the WAL.
	frameOwn = 24
)

// daily sums up amounts over the last 24 hours, in steps of an hour. Times are
// since it began, so that steps of the clock are no matter.
type daily struct {
	hours [25]int64 // by hour modulo 25; the current one is not whole yet
	hour  int64
}

func (d *daily) add(since time.Duration, n int64) {
	now := int64(since / time.Hour)
	for d.hour < now {
		d.hour++
		d.hours[d.hour%25] = 0
		if now-d.hour > 25 {
			d.hour = now - 25
		}
	}
	d.hours[now%25] += n
}

// perDay is 0 until something was watched for a while.
func (d *daily) perDay(since time.Duration) int64 {
	if since < rateLeast {
		return 0
	}
	d.add(since, 0)
	sum := int64(0)
	for _, n := range d.hours {
		sum += n
	}
	watched := min(since, 24*time.Hour+since%time.Hour)
	return int64(float64(sum) * float64(24*time.Hour) / float64(watched))
}

// walRead is how far the WAL has been counted.
type walRead struct {
	// file stays open as long as the connection: one that is opened for each look
	// fails in a process that has no descriptor left, and the connection, which
	// needs none, would be given up for it. SQLite keeps its locks elsewhere, so
	// that closing this drops none.
	file *os.File

	round         uint32 // its number of beginnings
	logged, moved int64  // pages
}

// checkpoint moves the WAL into the database as far as no reader holds it up,
// and counts what went to the medium since the last one: pages into the WAL and
// out of it. A page that changed often is moved once, but that SQLite does not
// tell, so the sum is an upper bound.
func (w *writer) checkpoint() (err error) {
	st, err := w.conn.Prepare("PRAGMA wal_checkpoint(PASSIVE)")
	if err != nil {
		return err
	}
	var now walRead
	for row, rowErr := range st.Rows() {
		if err = rowErr; err == nil && len(row) == 3 {
			now.logged, _ = row[1].(int64)
			now.moved, _ = row[2].(int64)
		}
	}
	if err := errors.Join(err, st.Close()); err != nil {
		return err
	}
	if now.round, err = walRound(w.wal.file); err != nil || now.logged < 0 {
		return err
	}
	logged, moved := now.logged, now.moved
	if now.round == w.wal.round {
		logged, moved = max(logged-w.wal.logged, 0), max(moved-w.wal.moved, 0)
	}
	now.file = w.wal.file
	w.wal = now
	w.written.add(time.Since(w.began), logged*(w.page+frameOwn)+moved*w.page+w.front.takeLogged())
	w.stats.FlashPerDay = w.written.perDay(time.Since(w.began))
	return nil
}

// walRound reads how often the WAL was begun anew, from its header (SQLite's
// file format, section 4.1). 0: it is empty.
func walRound(wal *os.File) (uint32, error) {
	var b [4]byte
	switch _, err := wal.ReadAt(b[:], 12); {
	case errors.Is(err, io.EOF):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return binary.BigEndian.Uint32(b[:]), nil
}

// forecast tells how long the room lasts without receipts.
func (w *writer) forecast() (err error) {
	w.stats.Holds, err = pace{w.conn.Int, w.page, w.end.seq}.holds(w.cfg, w.stats)
	return err
}

// pace tells of a database how fast it fills.
type pace struct {
	ask  func(query string, args ...driver.Value) (int64, error)
	page int64  // bytes
	end  uint64 // the newest row
}

// holds is Stats.Holds of a journal that has s.
func (p pace) holds(cfg Config, s Stats) (time.Duration, error) {
	perDay, size, err := p.rate()
	if err != nil || perDay == 0 {
		return 0, err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(cfg.Path), &disk); err != nil {
		return 0, err
	}
	room := float64(s.Bytes) + float64(disk.Bavail)*float64(disk.Bsize)
	if cfg.MaxBytes > 0 {
		room = min(room, float64(cfg.MaxBytes))
	}
	held := float64(s.unreceipted())
	rows := room/size - held
	if cfg.MaxRows > 0 {
		rows = min(rows, float64(cfg.MaxRows)-held)
	}
	days := max(rows, 0) / perDay
	if days < forecastMost.Hours()/24 {
		return time.Duration(days * float64(24*time.Hour)), nil
	}
	return forecastMost, nil
}

// read is holds of a database whose page and end are not known yet.
func (p pace) read(cfg Config, s Stats) (time.Duration, error) {
	end, err := p.ask("SELECT coalesce(max(seq), 0) FROM event")
	if err != nil {
		return 0, err
	}
	if p.page, err = p.ask("PRAGMA page_size"); err != nil {
		return 0, err
	}
	p.end = uint64(end)
	return p.holds(cfg, s)
}

// rate is how many events a day were stored in the last 24 hours of the
// journal, and the bytes that one takes. It is 0 when less than an hour is there.
func (p pace) rate() (perDay, size float64, err error) {
	last, err := p.ask("SELECT at FROM event WHERE seq = ?", int64(p.end))
	if err != nil {
		return 0, 0, err
	}
	first, at, err := p.dayBefore(last)
	span := time.Duration(last-at) * time.Microsecond
	if err != nil || first == 0 || span < forecastLeast {
		return 0, 0, err
	}
	bytes, err := p.ask("SELECT coalesce(sum(length(body) + length(class) + ?), 0) FROM (SELECT body, class FROM event ORDER BY seq DESC LIMIT ?)", int64(rowOwn), int64(sampled))
	if err != nil {
		return 0, 0, err
	}
	rows, err := p.ask("SELECT count(*) FROM (SELECT seq FROM event ORDER BY seq DESC LIMIT ?)", int64(sampled))
	if err != nil || rows == 0 {
		return 0, 0, err
	}
	return float64(p.end-first) * float64(24*time.Hour) / float64(span), p.footprint(bytes / rows), nil
}

// footprint is the part of a page that a row takes up. Rows are not split
// between pages, unless they are larger than one.
func (p pace) footprint(row int64) float64 {
	const pageOwn = 8
	if fit := (p.page - pageOwn) / row; fit > 0 {
		return float64(p.page)/float64(fit) + indexOwn
	}
	return float64((row+p.page-1)/p.page*p.page) + indexOwn
}

// dayBefore finds the first row of the 24 hours before a time, by halving: times
// run forwards but for steps of the clock.
func (p pace) dayBefore(last int64) (seq uint64, at int64, err error) {
	cut := last - (24 * time.Hour).Microseconds()
	lowest, err := p.ask("SELECT seq FROM event ORDER BY seq LIMIT 1")
	if err != nil {
		return 0, 0, err
	}
	low, high := uint64(lowest), p.end
	for low < high {
		mid := low + (high-low)/2
		at, err := p.ask("SELECT at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", int64(mid))
		if err != nil {
			return 0, 0, err
		}
		if at >= cut {
			high = mid
		} else {
			low = mid + 1
		}
	}
	at, err = p.ask("SELECT at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", int64(low))
	return low, at, err
}
