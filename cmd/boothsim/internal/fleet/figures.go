package fleet

import (
	"math"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// spread is how often which time was taken: buckets a fiftieth wide, so that
// a thousand booths for a day need no more room than one.
type spread struct {
	buckets [1280]atomic.Uint64
	max     atomic.Int64
}

const bucketGrowth = 1.02 // to the power of 1280: 28 h in microseconds

func (s *spread) add(d time.Duration) {
	us := max(1, d.Microseconds())
	i := int(math.Log(float64(us)) / math.Log(bucketGrowth))
	s.buckets[min(i, len(s.buckets)-1)].Add(1)
	for {
		old := s.max.Load()
		if int64(d) <= old || s.max.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// Times are quantiles in milliseconds, 2 % exact.
type Times struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func (s *spread) times() (t Times) {
	for i := range s.buckets {
		t.Count += s.buckets[i].Load()
	}
	t.P50, t.P99 = s.quantile(t.Count, 0.5), s.quantile(t.Count, 0.99)
	t.Max = rounded(float64(s.max.Load()) / 1e6)
	return t
}

func (s *spread) quantile(count uint64, q float64) float64 {
	if count == 0 {
		return 0
	}
	rank, seen := uint64(math.Ceil(q*float64(count))), uint64(0)
	for i := range s.buckets {
		if seen += s.buckets[i].Load(); seen >= rank {
			return rounded(math.Pow(bucketGrowth, float64(i)+0.5) / 1e3)
		}
	}
	return 0
}

func rounded(ms float64) float64 { return math.Round(ms*1000) / 1000 }

// stats is what all booths count together.
type stats struct {
	stored, receipted, receipts, repeated atomic.Int64
	connects                              atomic.Int64
	up, down, lost                        atomic.Int64 // bytes
	store, live, late                     spread
}

// Result is what a run has shown.
type Result struct {
	Booths  int     `json:"booths"`
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`      // of traffic and faults
	Calm    float64 `json:"calm_seconds"` // until all was receipted, or given up
	Settled bool    `json:"settled"`      // all was receipted

	Stored    uint64 `json:"stored"` // events that a booth's journal has said are durable
	Receipted uint64 `json:"receipted"`
	Compared         // what a look at both sides found

	EventsPerSecond float64 `json:"events_per_second"`
	Store           Times   `json:"store_ms"`   // until durable at the booth
	Live            Times   `json:"live_ms"`    // until the receipt, of events stored with the link up
	Backlog         Times   `json:"backlog_ms"` // of the others
	Connects        int64   `json:"connects"`
	Receipts        int64   `json:"receipts"`
	Repeated        int64   `json:"repeated"` // rows handed to an uplink again on purpose
	BytesUp         int64   `json:"bytes_up"`
	BytesDown       int64   `json:"bytes_down"`
	BytesLost       int64   `json:"bytes_lost"` // vanished on half-open lines

	Faults         map[Kind]int `json:"faults"` // that happened
	MemoryPerBooth int64        `json:"memory_per_booth"`
	FilesPerBooth  float64      `json:"files_per_booth"`
}

// resident is this process's memory in bytes.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// openFiles counts this process's descriptors.
func openFiles() int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(fds) - 1 // the one that reads
}
