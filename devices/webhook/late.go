package webhook

import "time"

// Limits of how late a report may come; ours. A camera posts within a second or
// two; one that was cut off posts later what it has kept, when those vehicles
// have long gone.
const (
	lateMost   = 10 * time.Second
	lateRow    = 3                // so many late ones in a row,
	lateSpan   = 30 * time.Second // over so long,
	lateSpread = 2 * time.Second  // that are equally late, are a clock that was set
)

// delay is how far a camera's clock is behind this box's, the time that a report
// takes included. The clock may be wrong by years: only changes matter.
type delay struct {
	known bool
	usual time.Duration

	row      int // late reports, equally late, with none in time among them
	rowDelay time.Duration
	rowSince time.Time
}

// late tells whether a report of the camera's time at comes so much later than
// others did that its vehicle is gone.
func (d *delay) late(now, at time.Time) bool {
	if at.IsZero() {
		return false
	}
	is := now.Sub(at)
	switch {
	case !d.known || is < d.usual:
		d.known, d.usual = true, is
	case is-d.usual <= lateMost:
		d.usual += (is - d.usual) / 8 // a clock that runs slow is followed
	case d.row > 0 && (is-d.rowDelay).Abs() <= lateSpread:
		if d.row++; d.row < lateRow || now.Sub(d.rowSince) < lateSpan {
			return true
		}
		d.usual = is
	default:
		d.row, d.rowDelay, d.rowSince = 1, is, now
		return true
	}
	d.row = 0
	return false
}
