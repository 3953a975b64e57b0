package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"boothd/agent/contract"
	"boothd/buffer/journal"
)

// explainCmd says in plain words why a vehicle got the outcome it got.
type explainCmd struct {
	What string `arg:"" optional:"" help:"Id of a passage or an event, or an event's number; default: the last passage." placeholder:"EVENT-OR-PASSAGE"`
}

// explained is an explanation as JSON: the record itself, and what came of
// deciding it again.
type explained struct {
	Passage   string           `json:"passage"`
	Decisions []decisionRecord `json:"decisions"`
	Ended     json.RawMessage  `json:"ended,omitempty"`
}

type decisionRecord struct {
	Seq   uint64          `json:"seq"`
	Event string          `json:"event"`
	State string          `json:"state"`
	Data  json.RawMessage `json:"data"`
	Alert json.RawMessage `json:"alert,omitempty"`
	Again string          `json:"again"`
}

// Run explains; exit 1 if it is not there, or comes out otherwise today.
func (c *explainCmd) Run(t *tool) error {
	ctx, r, done, err := t.record()
	if err != nil {
		return err
	}
	defer done()
	at, err := find(ctx, r, c.What)
	if err != nil {
		return err
	}
	if at.passage == "" {
		return t.other(at.entry)
	}
	story, err := tellPassage(ctx, r, at)
	if err != nil {
		return err
	}
	if t.json {
		err = t.print(story.json())
	} else {
		_, err = t.stdout.Write([]byte(story.words(at.one)))
	}
	if err != nil {
		return err
	}
	for _, x := range story.decisions {
		if _, err := x.again(); errors.Is(err, contract.ErrDiffers) {
			return &failure{err, "boothctl verify tells whether the record was changed; if not, this program has other rules than the one that decided", exitFix}
		}
	}
	return nil
}

// found is what was asked for: a passage with the place of one of its events,
// or another event.
type found struct {
	entry   entry
	passage string
	one     uint64 // the decision asked for; 0: all
}

const findHint = "boothctl events lists what there is; receipted events are kept for store.retain only"

// find looks up a number, an event's id or a passage's.
func find(ctx context.Context, r *journal.Reader, what string) (found, error) {
	n, err := r.Count(ctx)
	if err != nil {
		return found{}, err
	}
	if seq, err := strconv.ParseUint(what, 10, 63); err == nil {
		for e, err := range entries(ctx, r, seq, seq) {
			return named(e), err
		}
		return found{}, &failure{fmt.Errorf("no event %d in this journal", seq), findHint, exitFix}
	}
	if what != "" {
		row, ok, err := r.ByID(ctx, what)
		if err != nil {
			return found{}, err
		}
		if ok {
			e, err := contract.Decode(row.Body)
			return named(entry{row, e}), err
		}
	}
	for e, err := range backwards(ctx, r, n.Last, contract.ClassCrossing) {
		if err != nil {
			return found{}, err
		}
		if p := passageOf(e.event); p != "" && (what == "" || p == what) {
			return found{entry: e, passage: p}, nil
		}
	}
	if what == "" {
		return found{}, &failure{errors.New("no passage in this journal"), findHint, exitFix}
	}
	return found{}, &failure{fmt.Errorf("no passage or event %.60q in this journal", what), findHint, exitFix}
}

// named is an event that was asked for by itself.
func named(e entry) found {
	f := found{entry: e, passage: passageOf(e.event)}
	if e.event.Type == contract.TypeCrossingDecided {
		f.one = e.Seq
	}
	return f
}

// passageOf gives the passage an event belongs to; "" if to none.
func passageOf(e contract.Event) string {
	switch e.Type {
	case contract.TypeCrossingDecided, contract.TypeCrossingEnded, contract.TypeLookoutAlert:
		return strings.TrimPrefix(e.Subject, "crossing/")
	}
	return ""
}

// chunk is how many rows are read at once when reading backwards.
const chunk = 512

// backwards reads the events of a class from the newest to the oldest.
func backwards(ctx context.Context, r *journal.Reader, last uint64, class contract.Class) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for high := last; high > 0; {
			low := high - min(chunk, high) + 1
			var rows []entry
			for row, err := range r.Range(ctx, low, high) {
				if err != nil {
					yield(entry{}, err)
					return
				}
				if row.Class == string(class) {
					rows = append(rows, entry{Record: row})
				}
			}
			for i := len(rows) - 1; i >= 0; i-- {
				var err error
				rows[i].event, err = contract.Decode(rows[i].Body)
				if !yield(rows[i], err) {
					return
				}
			}
			high = low - 1
		}
	}
}

// story is one passage, whole.
type story struct {
	passage   string
	decisions []crossing
	ended     *contract.CrossingEnded
	endedBody []byte
}

// reach is how far from one event of a passage its others are looked for: a
// passage has tens of events and lasts minutes.
const reach = 2048

// tellPassage gathers all that is recorded of a passage.
func tellPassage(ctx context.Context, r *journal.Reader, at found) (*story, error) {
	s := &story{passage: at.passage}
	from, to := at.entry.Seq-min(reach, at.entry.Seq-1), at.entry.Seq+reach
	for x, err := range crossings(ctx, r, from, to) {
		if err != nil {
			return nil, err
		}
		if x.decided.Passage == at.passage {
			s.decisions = append(s.decisions, x)
		}
	}
	for row, err := range r.Range(ctx, from, to) {
		if err != nil {
			return nil, err
		}
		if row.Class != string(contract.ClassCrossing) || !bytes.Contains(row.Body, []byte(at.passage)) {
			continue
		}
		e, err := contract.Decode(row.Body)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", row.Seq, err)
		}
		if end, err := contract.As[contract.CrossingEnded](e); err == nil {
			s.ended, s.endedBody = &end, e.Data
		}
	}
	if len(s.decisions) == 0 {
		return nil, &failure{fmt.Errorf("the decisions of passage %s are not kept any more", at.passage), findHint, exitFix}
	}
	return s, nil
}

func (s *story) json() explained {
	out := explained{Passage: s.passage, Ended: s.endedBody}
	for _, x := range s.decisions {
		d := decisionRecord{Seq: x.Seq, Event: x.ID, State: stateWord(x.State), Data: json.RawMessage(x.event.Data), Again: x.verdict()}
		if x.alert != nil {
			if b, err := json.Marshal(x.alert); err == nil {
				d.Alert = b
			}
		}
		out.Decisions = append(out.Decisions, d)
	}
	return out
}

// verdict tells in a word what deciding again gives.
func (x crossing) verdict() string {
	switch _, err := x.again(); {
	case err == nil:
		return "same"
	case errors.Is(err, errIncomplete):
		return "incomplete"
	}
	return "differs"
}

// other explains an event that is of no passage.
func (t *tool) other(e entry) error {
	if t.json {
		return t.line(e)
	}
	_, err := fmt.Fprintf(t.stdout, "event %d, %s: %s\n  %s\n  %s\n  %s\n", e.Seq, stamp(e.event.Time), short(e.event.Type), summary(e.event), stateWord(e.State), e.event.Data)
	return err
}
