package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"boothd/agent/status"
	"boothd/cmd/boothhq/internal/receiver"
)

// Bounds of the board.
const (
	boardFresh = 2 * time.Second  // how long an answer of the database serves all who ask
	boardWait  = 20 * time.Second // for the database
)

// boardCmd tells who is on, who is late and who lacks what.
type boardCmd struct {
	databaseFlag
	Listen string `help:"Serve the page, /board.json and /metrics (Prometheus) here until told to stop, on this machine alone: 127.0.0.1:9620 or unix:PATH." placeholder:"ADDRESS"`
	Strict bool   `help:"Fail if a booth is off, late or lacks anything."`
}

// Run prints the board, or serves it.
func (c *boardCmd) Run(t *tool) (err error) {
	r, err := openReport(t, c.DB)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if c.Listen != "" {
		log := slog.New(slog.NewTextHandler(t.stderr, nil))
		return exposed(status.Serve(t.ctx, log, c.Listen, boardPages(&boardSource{report: r, log: log})))
	}
	standings, err := r.Standings(t.ctx)
	if err != nil {
		return fmt.Errorf("reading the database: %w", err)
	}
	b := judgeBoard(standings, time.Now())
	if t.json {
		err = t.print(b)
	} else {
		err = printBoard(t.stdout, b)
	}
	if err == nil && c.Strict && b.Off+b.Late+b.Lacking > 0 {
		return &failure{fmt.Errorf("%d booths off, %d late, %d lacking", b.Off, b.Late, b.Lacking), "boothhq board tells which, the most troubled first", exitFailure}
	}
	return err
}

// exposed says what to do about an address that others than this machine reach.
func exposed(err error) error {
	if errors.Is(err, status.ErrExposed) {
		return &failure{err, "the page names no traveller and still is for headquarters alone: put a proxy that knows its people before it", exitUsage}
	}
	return err
}

// printBoard writes it for people.
func printBoard(w io.Writer, b board) error {
	var out strings.Builder
	if b.Deaf {
		fmt.Fprintf(&out, "NOTHING has come in from any booth for %s: look at receivers and brokers first\n", span(b.At.Sub(b.Heard)))
	}
	for _, r := range b.Booths {
		fmt.Fprintf(&out, "%-24s %s", r.Booth, r.Status)
		if !r.Since.IsZero() {
			fmt.Fprintf(&out, " since %s", r.Since.UTC().Format(time.RFC3339))
		}
		if r.Level != "" {
			fmt.Fprintf(&out, ", %s", r.Level)
		}
		if r.Simulated {
			fmt.Fprint(&out, ", SIMULATED")
		}
		fmt.Fprintf(&out, ", %d of %d events", r.Last-min(r.Last, r.Missing+r.Thinned), r.Last)
		if r.Thinned > 0 {
			fmt.Fprintf(&out, ", %d given up for want of room", r.Thinned)
		}
		fmt.Fprintln(&out)
		for _, f := range r.Late {
			fmt.Fprintf(&out, "    late: %s\n", f.Text)
		}
		for _, f := range r.Lacks {
			fmt.Fprintf(&out, "    %s\n", f.Text)
		}
	}
	fmt.Fprintf(&out, "%d booths on, %d off, %d late, %d lacking\n", b.On, b.Off, b.Late, b.Lacking)
	_, err := io.WriteString(w, out.String())
	return err
}

// boardSource reads the database for all who ask.
type boardSource struct {
	report *receiver.Report
	log    *slog.Logger

	mu   sync.Mutex // a report is for one goroutine, and pages are asked for by many
	last board
	read time.Time
	err  error
	said bool // that the database does not answer
}

// board gives the board of at most two seconds ago.
func (s *boardSource) board(ctx context.Context) (board, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.read) < boardFresh {
		return s.last, s.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), boardWait) // who asked may leave; the others wait for it, too
	defer cancel()
	standings, err := s.report.Standings(ctx)
	s.read, s.err = time.Now(), err
	if err != nil {
		if !s.said {
			s.log.Error("cannot read the database", "err", err)
			s.said = true
		}
		return board{}, err
	}
	s.said = false
	s.last = judgeBoard(standings, s.read)
	return s.last, nil
}
