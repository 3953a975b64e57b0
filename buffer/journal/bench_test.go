package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rawLog is what any durable log costs: a preallocated file, a write and
// fdatasync.
type rawLog struct {
	f  *os.File
	at int64
}

const rawRoom = 64 << 20

func newRawLog(b *testing.B) *rawLog {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err == nil { // written once, so that no extent is left to be converted
		_, err = f.Write(make([]byte, rawRoom))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return &rawLog{f: f}
}

func (l *rawLog) append(b *testing.B, entry []byte) {
	if l.at+int64(len(entry)) > rawRoom {
		l.at = 0
	}
	if _, err := l.f.WriteAt(entry, l.at); err != nil {
		b.Fatal(err)
	}
	l.at += int64(len(entry))
	if err := unix.Fdatasync(int(l.f.Fd())); err != nil {
		b.Fatal(err)
	}
}

// body is an event of the usual size.
var body = bytes.Repeat([]byte("0123456789"), 60)

func sized() Entry {
	return Entry{Class: "crossing", At: noon, Build: func(Stamp) ([]byte, error) { return body, nil }}
}

func quantile(took []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(took))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// BenchmarkAppend is one durable event, alternating with the raw log (product
// design, section 9: P3; target 1.3x at p50, own p99.9 within 5x own p50).
func BenchmarkAppend(b *testing.B) {
	j, _ := open(b, Config{Path: filepath.Join(b.TempDir(), "j.db")})
	raw := newRawLog(b)
	var ours, peer []time.Duration
	for b.Loop() {
		began := time.Now()
		add(b, j, sized())
		ours = append(ours, time.Since(began))
		began = time.Now()
		raw.append(b, body)
		peer = append(peer, time.Since(began))
	}
	b.Logf("%d events: ours p50 %v p99 %v p99.9 %v, raw p50 %v p99 %v p99.9 %v", len(ours), quantile(ours, 0.5), quantile(ours, 0.99), quantile(ours, 0.999),
		quantile(peer, 0.5), quantile(peer, 0.99), quantile(peer, 0.999))
	b.ReportMetric(float64(quantile(ours, 0.5))/float64(quantile(peer, 0.5)), "P3-p50-ratio")
	b.ReportMetric(float64(quantile(ours, 0.999))/float64(quantile(ours, 0.5)), "own-p99.9/p50")
}

// BenchmarkAppend64 is 64 callers at once, beside groups of 64 in the raw log
// (P4; target 0.4x events/s).
func BenchmarkAppend64(b *testing.B) {
	j, _ := open(b, Config{Path: filepath.Join(b.TempDir(), "j.db")})
	raw := newRawLog(b)
	group := bytes.Repeat(body, groupMost)
	var ours, peer time.Duration
	n := 0
	for b.Loop() {
		began := time.Now()
		var all sync.WaitGroup
		for range groupMost {
			all.Go(func() {
				for range 4 {
					add(b, j, sized())
				}
			})
		}
		all.Wait()
		ours += time.Since(began)
		began = time.Now()
		for range 4 {
			raw.append(b, group)
		}
		peer += time.Since(began)
		n += 4 * groupMost
	}
	b.ReportMetric(float64(n)/ours.Seconds(), "events/s")
	b.ReportMetric(float64(peer)/float64(ours), "P4-ratio")
}
