package status

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves the latest picture as Prometheus text, with the process' own
// figures. Each scrape reads one picture whole; nothing is counted twice.
func (b *Board) metrics() http.Handler {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newCollector(b), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		DisableCompression:  true, // loopback; the processor has better to do
		ErrorHandling:       promhttp.ContinueOnError,
	})
}

// collector turns pictures into samples.
type collector struct {
	board    *Board
	age      *prometheus.Desc
	decision *prometheus.Desc
	series   []series
}

// emit gives one sample of a series; labels in the order of the series.
type emit func(v float64, labels ...string)

// series is one metric: its name without "boothd_", and how a picture fills it.
type series struct {
	name, help string
	labels     []string
	kind       prometheus.ValueType
	fill       func(p *Picture, out emit)
	desc       *prometheus.Desc
}

func newCollector(b *Board) *collector {
	c := &collector{board: b,
		age:      prometheus.NewDesc("boothd_picture_age_seconds", "Age of the lane's latest picture; over 3 the lane loop is stuck or not running.", nil, nil),
		decision: prometheus.NewDesc("boothd_decision_seconds", "From the deciding input to the decision, finished passages since start.", nil, nil)}
	for _, group := range [][]series{laneSeries(), deviceSeries(), listSeries(), outboxSeries()} {
		c.series = append(c.series, group...)
	}
	for i := range c.series {
		s := &c.series[i]
		s.desc = prometheus.NewDesc("boothd_"+s.name, s.help, s.labels, nil)
	}
	return c
}

// Describe tells every metric that Collect may give.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.age
	ch <- c.decision
	for _, s := range c.series {
		ch <- s.desc
	}
}

// Collect gives the samples of the picture of this moment. Without a picture
// there is only its age; a stale one has no health, so that no alert rule
// takes an old good word for a new one.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	f := c.board.now.Load()
	ch <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, f.age().Seconds())
	if f.empty {
		return
	}
	p := f.shown()
	if f.stale() {
		p.Health, p.Lamps = "", nil
	}
	for _, s := range c.series {
		s.fill(&p, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(s.desc, s.kind, v, labels...)
		})
	}
	l := p.Totals.Decision
	below, buckets := uint64(0), make(map[float64]uint64, len(latencyBounds))
	for i, bound := range latencyBounds {
		below += l.Buckets[i]
		buckets[float64(bound)/1e6] = below
	}
	ch <- prometheus.MustNewConstHistogram(c.decision, l.Count, float64(l.SumUS)/1e6, buckets)
}

func laneSeries() []series {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	return []series{
		{"build_info", "Always 1; what runs where.", []string{"version", "booth", "lane_type", "mode"}, gauge,
			func(p *Picture, out emit) { out(1, p.Version, p.Booth.ID, p.Lane.Type, p.Lane.Mode) }, nil},
		{"start_time_seconds", "When this run of the daemon started, Unix time.", nil, gauge,
			func(p *Picture, out emit) { out(float64(p.StartedAt.UnixMilli()) / 1e3) }, nil},
		{"simulated", "1 if some part of the booth is simulated.", nil, gauge,
			func(p *Picture, out emit) { out(bit(p.Simulated)) }, nil},
		{"health", "1 for the state the booth is in; all 0 when its picture is stale.", []string{"state"}, gauge,
			func(p *Picture, out emit) {
				for _, h := range []Health{Healthy, Degraded, Out} {
					out(bit(p.Health == h), string(h))
				}
			}, nil},
		{"system_reason", "1 for each system reason that keeps the booth from healthy.", []string{"code", "name"}, gauge,
			func(p *Picture, out emit) {
				for _, r := range p.Why {
					out(1, strconv.Itoa(r.Code), r.Name)
				}
			}, nil},
		{"warning", "1 for each warning that is in force.", []string{"code"}, gauge,
			func(p *Picture, out emit) {
				told := map[string]bool{}
				for _, w := range p.Warnings {
					if !told[w.Code] {
						out(1, w.Code)
					}
					told[w.Code] = true
				}
			}, nil},
		{"lane_open", "1 if the lane is open.", nil, gauge,
			func(p *Picture, out emit) { out(bit(p.Lane.Open)) }, nil},
		{"lamp_on", "1 if the output is commanded on, steadily or in a rhythm.", []string{"lamp"}, gauge,
			func(p *Picture, out emit) {
				for _, l := range wired(p.Lamps) {
					out(bit(l.Shows != Dark), l.Name)
				}
			}, nil},
		{"lamp_fault", "1 if the output cannot be driven or its feedback differs.", []string{"lamp"}, gauge,
			func(p *Picture, out emit) {
				for _, l := range wired(p.Lamps) {
					out(bit(l.Feedback == Differs || l.Feedback == Undriven), l.Name)
				}
			}, nil},
		{"lamp_unseen", "1 if the output's feedback cannot be read.", []string{"lamp"}, gauge,
			func(p *Picture, out emit) {
				for _, l := range wired(p.Lamps) {
					out(bit(l.Feedback == Unseen), l.Name)
				}
			}, nil},
		{"signal_fault", "1 for the latched fault of the lamps, which keeps the lane at red until it is reset.", []string{"head", "lamp", "fault"}, gauge,
			func(p *Picture, out emit) {
				if f := p.SignalFault; f != nil {
					out(1, f.Head, f.Lamp, f.Fault)
				}
			}, nil},
		{"passages_total", "Finished passages since start, by their last public outcome.", []string{"outcome"}, counter,
			func(p *Picture, out emit) {
				out(float64(p.Totals.Expedite), "EXPEDITE")
				out(float64(p.Totals.Primary), "PRIMARY")
				out(float64(p.Totals.Refer), "REFER")
				out(float64(p.Totals.Hold), "HOLD")
			}, nil},
		{"overrides_total", "Passages an officer released against the advice, since start.", nil, counter,
			func(p *Picture, out emit) { out(float64(p.Totals.Overridden)) }, nil},
		{"clock_quality", "1 for the quality the wall clock has.", []string{"quality"}, gauge,
			func(p *Picture, out emit) {
				for _, q := range []string{"synced", "holdover", "restored", "unset"} {
					out(bit(p.Clock.Quality == q), q)
				}
			}, nil},
	}
}

func wired(lamps []Lamp) (out []Lamp) {
	for _, l := range lamps {
		if l.Wired {
			out = append(out, l)
		}
	}
	return out
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
