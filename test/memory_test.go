package test

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/token"
)

// memoryUnit is what the unit grants the daemon, page cache included
// (systemd/boothd.service: MemoryMax).
const memoryUnit = 256 << 20

// many makes a list of n cards of members that are nobody; of says which of
// them the card at a place is of.
func (s *scale) many(name string, n int, of func(place int) uint64) (built string) {
	s.t.Helper()
	part := ^uint64(0) / uint64(n)
	rows, values := make([]contract.ListRow, n), make([]byte, 0, n*40)
	for i := range rows {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		binary.BigEndian.PutUint64(h[:], uint64(i)*part+binary.BigEndian.Uint64(h[:])%part)
		m := sha256.Sum256(binary.BigEndian.AppendUint64(h[:16:16], of(i)))
		begin := len(values)
		var err error
		if values, err = (contract.CardRow{Status: passage.Issued, Member: contract.TokenHex([16]byte(m[:16]))}).Append(values); err != nil {
			s.t.Fatal(err)
		}
		rows[i] = contract.ListRow{Token: [16]byte(h[:16]), Value: values[begin:]}
	}
	built = filepath.Join(s.dir, name)
	credential, err := os.ReadFile(filepath.Join(s.dir, "hq", "token.key"))
	if err == nil {
		err = os.Mkdir(built, 0o700)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	keys, err := token.ParseKeys(credential, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(built, "cards.list"))
	if err != nil {
		s.t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	h, err := contract.WriteList(w, contract.ListCards, rows)
	head, jsonErr := json.Marshal([]map[string]any{{"Kind": h.Kind, "Rows": h.Rows, "Digest": fmt.Sprintf("%x", h.Digest)}})
	err = errors.Join(err, jsonErr, w.Flush(), f.Close(), os.WriteFile(filepath.Join(built, "key.id"), []byte(keys.Current.ID()), 0o600),
		os.WriteFile(built+".heads", head, 0o600))
	if err != nil {
		s.t.Fatal(err)
	}
	return built
}

// confined puts the booth into a control group with what the unit grants it. It
// tells whether this machine lets us.
func (s *scale) confined() bool {
	s.t.Helper()
	for _, g := range []struct{ root, limit string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		dir := filepath.Join(g.root, fmt.Sprint("boothd-bench-", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		err := os.WriteFile(filepath.Join(dir, g.limit), []byte(strconv.Itoa(memoryUnit)), 0o644)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(s.booth.Process.Pid)), 0o644)
		}
		if err == nil {
			s.t.Cleanup(func() { // behind the booth's end
				if err := os.Remove(dir); err != nil {
					s.t.Log(err)
				}
			})
			return true
		}
		_ = os.Remove(dir)
	}
	return false
}

// inForce waits for the cards of the newest publication and gives the most
// memory that was in use meanwhile.
func (s *scale) inForce(name string) string {
	s.t.Helper()
	s.peak = 0
	began := time.Now()
	for s.has()["cards"] != s.gens["cards"] {
		if time.Since(began) > 30*time.Minute {
			s.t.Fatalf("%s: not in force", name)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Sprintf("%s in %v: %.1f MiB at the most", name, time.Since(began).Round(time.Millisecond), float64(s.peak)/(1<<20))
}

// BenchmarkP12Memory runs the daemon with the memory that its unit grants it and
// tells what it uses besides page cache: while a first list comes, beside the
// list that it decides by while the next one comes whole, while a delta comes,
// and at rest (product design, section 9: P12; 48 MiB with the country's cards,
// 64 MiB with ten million).
func BenchmarkP12Memory(b *testing.B) {
	n := 300_000 // too many for the broker, so that nobody has to send parts
	if text := os.Getenv("BOOTHD_BENCH_CARDS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		remember(b, n)
	}
	b.ReportMetric(0, "ns/op")
}

// remember has a booth take one list after another.
func remember(b *testing.B, n int) {
	const changes = 5000
	s := newScale(b, startMosquitto(b, ""))
	first := s.many("first", n, func(int) uint64 { return 1 })
	second := s.many("second", n, func(int) uint64 { return 2 }) // nothing that a delta could lead to
	third := s.many("third", n, func(i int) uint64 { return 2 + uint64(1/(1+i%(n/changes))) })
	s.publish(first)
	s.start()
	within := "not confined: this machine has no memory control groups for us"
	if s.confined() {
		within = fmt.Sprintf("within %d MiB, page cache included", memoryUnit>>20)
	}
	words := []string{s.inForce("the first list")}
	most := s.peak
	for _, next := range []struct{ built, name string }{{second, "another one whole, beside it"}, {third, "a delta of 5,000 on it"}} {
		s.publish(next.built)
		words = append(words, s.inForce(next.name))
		most = max(most, s.peak)
	}
	s.peak = 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		s.has()
	}
	b.Logf("%d cards, daemon besides page cache: %s; then at rest %.1f MiB; %s; P12 %.1f MiB, target 48 with 2,300,000 cards, 64 with 10,000,000",
		n, strings.Join(words, "; "), float64(s.peak)/(1<<20), within, float64(most)/(1<<20))
	b.ReportMetric(float64(most)/(1<<20), "P12-MiB")
	if err := errors.Join(s.booth.Process.Signal(os.Interrupt), s.booth.Wait()); err != nil {
		b.Fatal(err)
	}
}
