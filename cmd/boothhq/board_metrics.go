package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// boardMetrics serves the board as Prometheus text. Labels are booths, kinds of
// lists and our own words: nothing that a booth makes up.
func boardMetrics(s *boardSource) http.Handler {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newBoardCollector(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, DisableCompression: true, ErrorHandling: promhttp.ContinueOnError})
}

// boardCollector turns boards into samples.
type boardCollector struct {
	source *boardSource
	up     *prometheus.Desc
	fleet  *prometheus.Desc
	series []boardSeries
}

// boardSeries is one figure of each booth.
type boardSeries struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	fill func(r boothRow, out func(v float64, labels ...string))
}

// The words of late and lacks, so that a series does not vanish with its fault.
var (
	lateCodes  = []string{"silent", "backlog"}
	lacksCodes = []string{"out", "device", "clock", "quarantine", "list", "events", "rejected", "conflicts", "twins", "journal", "counter"}
)

func newBoardCollector(s *boardSource) *boardCollector {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	c := &boardCollector{
		source: s,
		up:     prometheus.NewDesc("boothhq_database_up", "1 if the database answers; without it there is nothing else of booths.", nil, nil),
		fleet:  prometheus.NewDesc("boothhq_booths", "Booths that are on, off, late or lacking; a booth may be more than one.", []string{"state"}, nil),
	}
	add := func(name, help string, kind prometheus.ValueType, fill func(r boothRow, out func(float64, ...string)), labels ...string) {
		desc := prometheus.NewDesc("boothhq_booth_"+name, help, append([]string{"booth"}, labels...), nil)
		c.series = append(c.series, boardSeries{desc, kind, fill})
	}
	number := func(name, help string, kind prometheus.ValueType, of func(r boothRow) float64) {
		add(name, help, kind, func(r boothRow, out func(float64, ...string)) { out(of(r)) })
	}
	number("on", "1 if the booth's latest word is that it is on.", gauge, func(r boothRow) float64 { return bit(r.On) })
	number("connections_total", "Connections that the booth has made in its life.", counter, func(r boothRow) float64 { return float64(r.Conn) })
	number("connections_fallen_total", "Times that a lower connection number followed: a counter that was lost, or two boxes under one name.", counter, func(r boothRow) float64 { return float64(r.Falls) })
	number("journals", "Journals (epochs) that the booth's events have come of; one more when it is made anew.", gauge, func(r boothRow) float64 { return float64(r.Journals) })
	number("events_upto", "Every event of the booth's journal up to here is in the database, or was given up.", gauge, func(r boothRow) float64 { return float64(r.Upto) })
	number("events_last", "The highest event number heard of.", gauge, func(r boothRow) float64 { return float64(r.Last) })
	number("events_missing", "Event numbers below the highest that are not here and were not given up.", gauge, func(r boothRow) float64 { return float64(r.Missing) })
	number("events_thinned", "Event numbers that the booth has given up for want of room; they are not missing.", gauge, func(r boothRow) float64 { return float64(r.Thinned) })
	number("events_rejected", "Events that are kept as refused.", gauge, func(r boothRow) float64 { return float64(r.Rejected) })
	number("events_conflicting_total", "Times that other bytes came under a number that was taken.", counter, func(r boothRow) float64 { return float64(r.Conflicts) })
	number("events_repeated_total", "Harmless repetitions on the wire.", counter, func(r boothRow) float64 { return float64(r.Again) })
	moment := func(name, help string, of func(r boothRow) time.Time) {
		add(name+"_timestamp_seconds", help, gauge, func(r boothRow, out func(float64, ...string)) {
			if at := of(r); !at.IsZero() {
				out(float64(at.UnixMilli()) / 1e3)
			}
		})
	}
	moment("event", "When the booth's latest event came in, Unix time; absent before the first.", func(r boothRow) time.Time { return r.HeardAt })
	moment("health", "When the booth last told its health, Unix time; absent if never.", func(r boothRow) time.Time { return r.HealthAt })
	waiting := func(name, help string, of func(o *outbox) int64) {
		add("outbox_"+name, help, gauge, func(r boothRow, out func(float64, ...string)) {
			if r.Outbox != nil {
				out(float64(of(r.Outbox)))
			}
		})
	}
	waiting("events", "Events without receipt, as the booth says.", func(o *outbox) int64 { return o.Depth })
	waiting("oldest_seconds", "Age of the oldest of them.", func(o *outbox) int64 { return o.OldestS })
	waiting("quarantined_events", "Events in the booth's quarantine.", func(o *outbox) int64 { return o.Quarantined })
	add("late", "1 for each way in which the booth is late.", gauge, func(r boothRow, out func(float64, ...string)) { mark(lateCodes, r.Late, out) }, "code")
	add("lacks", "1 for each kind of thing the booth lacks.", gauge, func(r boothRow, out func(float64, ...string)) { mark(lacksCodes, r.Lacks, out) }, "code")
	add("list_generation", "The booth's active generation of a list.", gauge, func(r boothRow, out func(float64, ...string)) {
		for _, l := range r.Lists {
			out(float64(l.Generation), l.List)
		}
	}, "list")
	return c
}

// mark gives 1 for each code that is among the faults and 0 for the others.
func mark(codes []string, faults []fault, out func(float64, ...string)) {
	for _, code := range codes {
		out(bit(slices.ContainsFunc(faults, func(f fault) bool { return f.Code == code })), code)
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Describe tells every metric that Collect may give.
func (c *boardCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.up
	ch <- c.fleet
	for _, s := range c.series {
		ch <- s.desc
	}
}

// Collect gives the samples of this moment.
func (c *boardCollector) Collect(ch chan<- prometheus.Metric) {
	b, err := c.source.board(context.Background())
	ch <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, bit(err == nil))
	if err != nil {
		return
	}
	for state, n := range map[string]int{"on": b.On, "off": b.Off, "late": b.Late, "lacking": b.Lacking} {
		ch <- prometheus.MustNewConstMetric(c.fleet, prometheus.GaugeValue, float64(n), state)
	}
	for _, r := range b.Booths {
		for _, s := range c.series {
			s.fill(r, func(v float64, labels ...string) {
				ch <- prometheus.MustNewConstMetric(s.desc, s.kind, v, append([]string{r.Booth}, labels...)...)
			})
		}
	}
}
