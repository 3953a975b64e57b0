package main

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"boothd/cmd/boothhq/internal/receiver"
)

// receiverPages answers GET and HEAD for /metrics and /healthz of one receiver.
// The board tells of the booths; this tells of the process.
func receiverPages(r *receiver.Receiver) http.Handler {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newReceiverCollector(r.Counts), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, DisableCompression: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !r.Counts().Receiving {
			w.Header().Set("Retry-After", "5")
			http.Error(w, "not connected to a broker", http.StatusServiceUnavailable)
			return
		}
		answer(w, "text/plain; charset=utf-8", []byte("receiving\n"))
	})
	return here(mux)
}

// receiverCollector turns a receiver's counts into samples. Labels are our own
// words.
type receiverCollector struct {
	counts func() receiver.Counts
	events *prometheus.Desc
	series []receiverSeries
}

type receiverSeries struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(n receiver.Counts) (v float64, ok bool)
}

func newReceiverCollector(counts func() receiver.Counts) *receiverCollector {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	c := &receiverCollector{counts: counts, events: prometheus.NewDesc("boothhq_receiver_events_total",
		"Events that came in: kept (new and durable), again (there already), refused, conflict (other bytes under a number that was taken), later (left out for now).",
		[]string{"result"}, nil)}
	add := func(name, help string, kind prometheus.ValueType, of func(n receiver.Counts) (float64, bool)) {
		c.series = append(c.series, receiverSeries{prometheus.NewDesc("boothhq_receiver_"+name, help, nil, nil), kind, of})
	}
	number := func(name, help string, kind prometheus.ValueType, of func(n receiver.Counts) float64) {
		add(name, help, kind, func(n receiver.Counts) (float64, bool) { return of(n), true })
	}
	number("receiving", "1 while it is connected.", gauge, func(n receiver.Counts) float64 { return bit(n.Receiving) })
	number("queue_messages", "Messages that wait for the database.", gauge, func(n receiver.Counts) float64 { return float64(n.Queue) })
	number("queue_messages_max", "The most that may.", gauge, func(receiver.Counts) float64 { return receiver.Queued })
	number("dropped_messages_total", "Messages dropped because the queue was full; booths send them again.", counter, func(n receiver.Counts) float64 { return float64(n.Dropped) })
	number("receipts_total", "Receipts published.", counter, func(n receiver.Counts) float64 { return float64(n.Receipts) })
	number("wanted_ranges_total", "Ranges of events that receipts asked for again.", counter, func(n receiver.Counts) float64 { return float64(n.Wanted) })
	number("commits_total", "Batches committed to the database.", counter, func(n receiver.Counts) float64 { return float64(n.Commits) })
	number("commit_seconds_total", "Time that they took.", counter, func(n receiver.Counts) float64 { return n.Took.Seconds() })
	add("commit_timestamp_seconds", "When the last was, Unix time; absent before the first.", gauge, func(n receiver.Counts) (float64, bool) {
		return float64(n.CommitAt.UnixMilli()) / 1e3, !n.CommitAt.IsZero()
	})
	add("live_lag_seconds", "From a live event's own time, by its booth's clock, to its commit: of the last in five minutes, absent without one.", gauge,
		func(n receiver.Counts) (float64, bool) {
			return n.LiveLag.Seconds(), !n.LiveLagAt.IsZero() && time.Since(n.LiveLagAt) < 5*time.Minute
		})
	return c
}

// Describe tells every metric that Collect may give.
func (c *receiverCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.events
	for _, s := range c.series {
		ch <- s.desc
	}
}

// Collect gives the samples of this moment.
func (c *receiverCollector) Collect(ch chan<- prometheus.Metric) {
	n := c.counts()
	for result, v := range map[string]uint64{"kept": n.Kept, "again": n.Again, "refused": n.Refused, "conflict": n.Conflicts, "later": n.Later} {
		ch <- prometheus.MustNewConstMetric(c.events, prometheus.CounterValue, float64(v), result)
	}
	for _, s := range c.series {
		if v, ok := s.of(n); ok {
			ch <- prometheus.MustNewConstMetric(s.desc, s.kind, v)
		}
	}
}
