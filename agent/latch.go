package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"boothd/agent/contract"
	"boothd/agent/signal"
)

// latch keeps a fault of the lamps over a restart: neither a loss of power nor
// an update clears it, only somebody who has looked (reliability reference 1).
type latch struct{ file string }

func newLatch(dir string) latch { return latch{filepath.Join(dir, "signal-fault")} }

// read takes up the fault that was latched last. With an error one was, and
// nobody knows which.
func (k latch) read() (signal.Fault, error) {
	b, err := os.ReadFile(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		return signal.Fault{}, nil
	}
	var f signal.Fault
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && f == (signal.Fault{}) {
		err = errors.New("it names no fault")
	}
	if err != nil {
		return signal.Fault{Head: "all", Lamp: "all", Kind: signal.Forgotten}, fmt.Errorf("reading which lamps were at fault, %s: %w", k.file, err)
	}
	return f, nil
}

// keep puts a fault on disk, or takes the one that is there away.
func (k latch) keep(f signal.Fault) error {
	var err error
	if f == (signal.Fault{}) {
		if err = os.Remove(k.file); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		var b []byte
		if b, err = json.Marshal(f); err == nil {
			err = renameio.WriteFile(k.file, b, 0o600)
		}
	}
	if err == nil {
		err = syncFolder(k.file)
	}
	if err != nil {
		return fmt.Errorf("keeping the lamps' fault: %w", err)
	}
	return nil
}

// signals takes what the monitor says of the lamps (212). They are at red
// already if they are at fault; here it is made to last and told.
func (l *lane) signals(ctx context.Context, j signal.Judged) {
	was, now := l.health.judged, time.Now()
	if j == was {
		return
	}
	l.health.judged = j
	l.assess()
	if f := j.Fault; f != was.Fault {
		if err := l.latch.keep(f); err != nil {
			l.log.Error("a restart will not know of the lamps' state", "err", err)
		}
		if f == (signal.Fault{}) {
			l.log.Info("the lamps' fault was reset", "device", was.Fault.Lamp, "fault", was.Fault.Kind)
			l.happened(contract.Notice{What: "signal_reset", Detail: was.Fault.Head + " " + string(was.Fault.Lamp) + ": " + string(was.Fault.Kind), Clock: l.stamp(now)})
		} else {
			l.log.Error("the lamps do not show what they are told: red until somebody has looked and reset it", "device", f.Lamp, "fault", f.Kind)
			l.happened(contract.SignalFault{Head: f.Head, Lamp: string(f.Lamp), Fault: string(f.Kind), Latched: true, Clock: l.stamp(now)})
		}
	}
	if j.Doubt && !was.Doubt {
		l.log.Warn("feedback of lamps is lost")
		l.happened(contract.SignalFault{Head: "all", Lamp: "all", Fault: "unreadable", Clock: l.stamp(now)})
	} else if was.Doubt && !j.Doubt {
		l.log.Info("feedback of lamps is heard")
	}
	l.anew(ctx, now)
}

// resetLamps answers a PUT of /lamps/reset: somebody has looked at the head and
// says that it is right. A head that is wrong or unseen at this moment stays at
// fault.
func (b *booth) resetLamps(w http.ResponseWriter, r *http.Request) {
	if !b.lamps.reset(r.Context()) {
		http.Error(w, "a lamp still shows something else than it is told, or cannot be seen", http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
