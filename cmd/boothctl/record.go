package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/journal"
)

// span of sequence numbers, as verbs take it: both ends included, 0 for open.
type numbers struct {
	From uint64 `arg:"" optional:"" help:"First event, by sequence number; default: the oldest kept."`
	To   uint64 `arg:"" optional:"" help:"Last event; default: the newest."`
}

// within gives the ends, the open ones filled in.
func (n numbers) within() (from, to uint64, err error) {
	from, to = n.From, n.To
	if to == 0 {
		to = math.MaxInt64
	}
	if from > to {
		return 0, 0, &failure{fmt.Errorf("no event is from %d and up to %d", from, to), "the smaller number first", exitUsage}
	}
	return from, to, nil
}

// record opens the journal for reading; boothd may be writing it meanwhile.
// ctx ends at an interrupt. Whoever can read the file sees lookouts too.
func (t *tool) record() (ctx context.Context, r *journal.Reader, done func(), err error) {
	path, err := t.place.journal()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := readable(path); err != nil {
		return nil, nil, nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err = journal.OpenReader(ctx, path)
	if err != nil {
		stop()
		return nil, nil, nil, &failure{err, "if it is damaged, boothd sets it aside at its next start and begins a new one; keep the file for headquarters", exitFix}
	}
	return ctx, r, func() { stop(); _ = r.Close() }, nil // nothing was written
}

// readable tells in words why a file cannot be opened. It only looks: opening
// and closing it here would drop SQLite's locks.
func readable(path string) error {
	_, err := os.Stat(path)
	if err == nil {
		err = syscall.Access(path, 4) // R_OK
		if err != nil {
			err = &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &failure{fmt.Errorf("opening the journal: %w", err), "boothd has not run here yet; or name the file with --journal", exitFix}
	case errors.Is(err, fs.ErrPermission):
		return &failure{fmt.Errorf("opening the journal: %w", err), "run it as root: the journal is for boothd alone, since it can tell of lookouts", exitFix}
	case err != nil:
		return fmt.Errorf("opening the journal: %w", err)
	}
	return nil
}

// entry is a row with what stands in it.
type entry struct {
	journal.Record
	event contract.Event
}

// entries reads and decodes rows. A row that cannot be decoded ends it.
func entries(ctx context.Context, r *journal.Reader, from, to uint64) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for row, err := range r.Range(ctx, from, to) {
			if err != nil {
				yield(entry{}, err)
				return
			}
			e, err := contract.Decode(row.Body)
			if err != nil {
				err = fmt.Errorf("event %d: %w", row.Seq, err)
			}
			if !yield(entry{row, e}, err) || err != nil {
				return
			}
		}
	}
}

// stateWord says how far an event has come.
func stateWord(s journal.State) string {
	switch s {
	case journal.Waiting:
		return "waiting"
	case journal.Receipted:
		return "receipted"
	}
	return "quarantined"
}

// summary says in a few words what an event is about.
func summary(e contract.Event) string {
	switch e.Type {
	case contract.TypeCrossingDecided:
		return say(e, func(d contract.CrossingDecided) string {
			return fmt.Sprintf("%s decision %d: %s, %s", d.Passage, d.Revision, d.Decision.Outcome, code(d.Decision.Lead))
		})
	case contract.TypeCrossingEnded:
		return say(e, func(d contract.CrossingEnded) string {
			return fmt.Sprintf("%s %s: %s after %d decisions%s", d.Passage, d.End, d.Outcome, d.Revisions, pressed(d))
		})
	case contract.TypeLookoutAlert:
		return say(e, func(d contract.LookoutAlert) string {
			return fmt.Sprintf("%s decision %d: truly %s, %s, %d hits", d.Passage, d.Revision, d.Decision.Outcome, code(d.Decision.Lead), len(d.Hits))
		})
	case contract.TypeNotice:
		return say(e, func(d contract.Notice) string { return d.What + ": " + d.Detail })
	case contract.TypePlateRead:
		return say(e, plateRead)
	case contract.TypeDeviceChanged:
		return say(e, func(d contract.DeviceChanged) string {
			if d.Online {
				return d.Device + " online"
			}
			return strings.TrimSuffix(d.Device+" offline: "+d.Reason, ": ")
		})
	case contract.TypeListApplied:
		return say(e, func(d contract.ListApplied) string {
			return fmt.Sprintf("%s %d in force, %d rows, by %s", d.Kind, d.Generation, d.Rows, d.Via)
		})
	case contract.TypeListFailed:
		return say(e, func(d contract.ListFailed) string {
			return strings.TrimSpace(fmt.Sprintf("%s refused: %s", d.Kind, d.Reason))
		})
	}
	return quietSummary(e)
}

// quietSummary is summary for what concerns the booth itself.
func quietSummary(e contract.Event) string {
	switch e.Type {
	case contract.TypeClockChanged:
		return say(e, func(d contract.ClockChanged) string { return d.From + " to " + d.To })
	case contract.TypeClockCorrected:
		return say(e, func(d contract.ClockCorrected) string { return fmt.Sprintf("stepped by %d us", d.OffsetUS) })
	case contract.TypeSignalFault:
		return say(e, func(d contract.SignalFault) string { return d.Head + " " + d.Lamp + ": " + d.Fault })
	case contract.TypeStarted:
		return say(e, func(d contract.Started) string {
			if d.Clean {
				return "version " + d.Version
			}
			return "version " + d.Version + ", after a stop that was not orderly"
		})
	case contract.TypeStopped:
		return say(e, func(d contract.Stopped) string { return d.Reason })
	case contract.TypePolicy:
		return say(e, func(d contract.PolicySet) string { return d.Digest })
	case contract.TypeEpoch:
		return say(e, func(d contract.EpochChanged) string { return d.New + " " + d.Why })
	case contract.TypePurged:
		return say(e, func(d contract.Purged) string {
			return fmt.Sprintf("%d lookouts have expired and are gone", len(d.Lookouts))
		})
	case contract.TypeCheckpoint:
		return say(e, func(d contract.Checkpoint) string { return fmt.Sprintf("up to event %d", d.Seq) })
	case contract.TypeHello:
		return say(e, func(d contract.Hello) string { return fmt.Sprintf("connect %d, receipts up to %d", d.Conn, d.Upto) })
	case contract.TypeCommand:
		return say(e, func(d contract.CommandTaken) string {
			return fmt.Sprintf("%s by %s: %s %s", d.ID, d.By, d.Name, d.Args)
		})
	case contract.TypeFleetNotice:
		return say(e, func(d contract.FleetNoticed) string {
			return fmt.Sprintf("by %s until %s: %s", d.By, stamp(d.NotAfter), cmp.Or(d.Text, "nothing more is to be shown"))
		})
	case contract.TypeCommandResult:
		return say(e, func(d contract.CommandResult) string {
			return strings.TrimSpace(fmt.Sprintf("%s %s %s: %s", d.ID, d.Outcome, d.Reason, d.Detail))
		})
	case contract.TypeThinned:
		return say(e, func(d contract.Thinned) string { return fmt.Sprintf("%d events from %d to %d", d.Count, d.From, d.To) })
	}
	return e.Subject
}

// plateRead says a camera's report in words.
func plateRead(d contract.PlateRead) string {
	text := d.Device + " " + d.Role + ": "
	switch {
	case d.Plate.NoRead:
		text += "no plate read"
	case d.Plate.Bare == "":
		text += "a plate, and no token key"
	default:
		text += "plate " + string(d.Plate.Bare)
	}
	if d.Late {
		text += ", late"
	}
	return text
}

// say opens an event's data; an event that does not open is shown by subject.
func say[D contract.Data](e contract.Event, words func(D) string) string {
	d, err := contract.As[D](e)
	if err != nil {
		return e.Subject
	}
	return words(d)
}

func pressed(d contract.CrossingEnded) string {
	switch {
	case d.Overridden:
		return ", released against the advice"
	case d.Released:
		return ", released"
	case d.Referred:
		return ", referred by the officer"
	}
	return ""
}

// code names a reason.
func code(c passage.Code) string { return strconv.Itoa(int(c)) + " " + c.Name() }

// short is an event's type without what all have in common.
func short(t contract.Type) string {
	return strings.TrimSuffix(strings.TrimPrefix(string(t), "org.boothd."), ".v1")
}
