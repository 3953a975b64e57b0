package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"boothd/cmd/boothsim/internal/fleet"
)

// print tells the result.
func (c *fleetCmd) print(w io.Writer, r fleet.Result) error {
	if c.JSON {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	return printFleet(w, r)
}

// printFleet writes the figures for people.
func printFleet(out io.Writer, r fleet.Result) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "booths\t%d for %.0f s, then %.1f s of calm (seed %d)\n", r.Booths, r.Seconds, r.Calm, r.Seed)
	fmt.Fprintf(w, "events\t%d stored (%.1f a second), %d receipted\n", r.Stored, r.EventsPerSecond, r.Receipted)
	fmt.Fprintf(w, "missing, doubled, extra\t%d, %d, %d\n", r.Missing, r.Doubled, r.Extra)
	fmt.Fprintf(w, "altered, lost, conflicts, rejected\t%d, %d, %d, %d\n", r.Altered, r.Lost, r.Conflicts, r.Rejected)
	for _, t := range []struct {
		name string
		fleet.Times
	}{{"until durable", r.Store}, {"until receipt, live", r.Live}, {"until receipt, backlog", r.Backlog}} {
		fmt.Fprintf(w, "%s\tp50 %.1f ms, p99 %.1f ms, max %.1f ms (%d)\n", t.name, t.P50, t.P99, t.Max, t.Count)
	}
	fmt.Fprintf(w, "connects, receipts\t%d, %d\n", r.Connects, r.Receipts)
	fmt.Fprintf(w, "repetitions\t%d at headquarters, %d of them made on purpose\n", r.Again, r.Repeated)
	fmt.Fprintf(w, "bytes\t%d up, %d down, %d vanished\n", r.BytesUp, r.BytesDown, r.BytesLost)
	fmt.Fprintf(w, "a booth takes\t%d KiB, %.1f files\n", r.MemoryPerBooth>>10, r.FilesPerBooth)
	fmt.Fprint(w, "faults\t")
	for i, k := range slices.Sorted(maps.Keys(r.Faults)) {
		if i > 0 {
			fmt.Fprint(w, ", ")
		}
		fmt.Fprintf(w, "%d %s", r.Faults[k], k)
	}
	fmt.Fprintln(w)
	return w.Flush()
}
