package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// shut keeps over a restart that the officer has closed the lane, for the next
// vehicle at least: nobody is let go, by an eGate least of all, because the power
// came back (I1).
type shut struct{ file string }

func newShut(dir string) shut { return shut{filepath.Join(dir, "lane-closed")} }

// read tells whether the lane was closed last. With an error nobody knows, and it
// counts as closed.
func (s shut) read() (closed bool, err error) {
	_, err = os.Lstat(s.file)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return true, fmt.Errorf("whether the lane was closed: %w", err)
}

// keep puts on disk whether the lane is closed.
func (s shut) keep(closed bool) error {
	var err error
	if closed {
		err = renameio.WriteFile(s.file, nil, 0o600)
	} else if err = os.Remove(s.file); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = syncFolder(s.file)
	}
	if err != nil {
		return fmt.Errorf("keeping whether the lane is closed: %w", err)
	}
	return nil
}

// stayShut closes the lane that was closed, before it runs. While the journal
// cannot be opened nothing is let go anyway, and what cannot be told is read again
// at the start anew that follows: the officer has a lane meanwhile.
func (b *booth) stayShut() {
	closed, err := newShut(string(b.cfg.Store.Dir)).read()
	if err != nil {
		closed = b.outbox.journal.Load() != nil
		b.log.Error("nobody knows whether the lane was closed", "closed", closed, "err", err)
	}
	if closed {
		b.lane.machine = newRoad(b.lane.policy.Lane, true)
	}
}

// turned has it kept when the officer has opened or closed the lane. Under a vehicle
// that waits until it has left; a restart leaves no vehicle that it could wait for.
func (l *lane) turned() {
	closed := l.machine.ClosedNext()
	l.log.Info("the officer has opened or closed the lane", "closed", closed, "waits", l.machine.Closed() != closed)
	replace(l.turns, closed)
}

// keepShut keeps what the officer turned last, beside the lane: it does not wait
// for a disk that is slow (I5). end has all kept and waits for that.
func (l *lane) keepShut() (end func()) {
	turns, kept := make(chan bool, 1), make(chan struct{})
	go func() {
		defer close(kept)
		for closed := range turns {
			if l.shuts == nil {
				continue
			}
			if err := l.shuts(closed); err != nil {
				l.log.Error("a restart will not know whether the lane is closed", "err", err)
			}
		}
	}()
	l.turns = turns
	return func() {
		close(turns)
		<-kept
	}
}
