package test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/status"
	"boothd/buffer/eligibility"
	"boothd/buffer/journal"
	"boothd/test/long"
)

const (
	scaleSeed = 20261123
	// scaleMemory is what the whole daemon may have besides page cache (product
	// design, section 9: P12).
	scaleMemory = 48 << 20
)

// size is how large the lists are, and how often the booth is killed.
type size struct{ members, cards, lookouts, trips, kills int }

// country is a whole country's lists; the quick run has a hundredth of them.
func country() size {
	if n := long.Times(); n > 0 {
		return size{230_000, 2_300_000, 100_000, 20_000, 20 * n}
	}
	return size{2_300, 23_000, 1_000, 200, 4}
}

// scale is headquarters and one booth, of processes.
type scale struct {
	t       testing.TB
	size    size
	dir     string
	broker  string
	booth   *exec.Cmd
	digests map[string]string // by kind, of what is published, 64 hex digits
	gens    map[string]uint64 // by kind
	peak    int64             // anonymous memory of the booth, bytes
	valid   string            // from and until of lookouts, which are for 90 days at most
}

// write makes a CSV file of a heading and rows.
func (s *scale) write(dir, name, head string, n int, row func(w io.Writer, i int)) {
	s.t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprintln(w, head)
	for i := range n {
		row(w, i)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// mix is a number that looks like any other, the same in every run.
func mix(of string, i int) uint64 {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s %d", scaleSeed, of, i))
	return uint64(h[0]) | uint64(h[1])<<8 | uint64(h[2])<<16 | uint64(h[3])<<24 | uint64(h[4])<<32 | uint64(h[5])<<40
}

func plateOf(i int) string {
	const letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
	return fmt.Sprintf("%c%c%c%04d", letters[i/10000/23/23%23], letters[i/10000/23%23], letters[i/10000%23], i%10000)
}

// build makes the lists in which the cards that lost names are lost, and the
// first member is suspended or not; it tells how long it took.
func (s *scale) build(name string, suspended bool, lost func(i int) bool) (built string) {
	s.t.Helper()
	csv := filepath.Join(s.dir, "csv-"+name)
	if err := os.Mkdir(csv, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.write(csv, "members.csv", "member,status,programs,valid_from,valid_until", s.size.members, func(w io.Writer, i int) {
		state := "ACTIVE"
		if i == 0 && suspended {
			state = "SUSPENDED"
		}
		fmt.Fprintf(w, "98%07d,%s,NEXUS,,2099-06-30\n", i, state)
	})
	s.write(csv, "cards.csv", "epc,status,member,card_until,extended,tid", s.size.cards, func(w io.Writer, i int) {
		state := "ISSUED"
		if lost(i) {
			state = "LOST"
		}
		fmt.Fprintf(w, "E28011%012X%06X,%s,98%07d,,no,E28011%018X\n", mix("card", i), i, state, i%s.size.members, mix("chip", i))
	})
	s.write(csv, "lookouts.csv", "id,version,subject_type,subject,jurisdiction,action,reason_code,caveat,agency,region,officer_safety,valid_from,valid_until",
		s.size.lookouts, func(w io.Writer, i int) {
			action := []string{"STOP", "REFER", "OBSERVE"}[i%3]
			if i%2 == 0 {
				fmt.Fprintf(w, "L%06d,1,PLATE,%s,ON,%s,CUSTOMS,,CBSA,,no,%s\n", i, plateOf(i*7), action, s.valid)
				return
			}
			fmt.Fprintf(w, "L%06d,1,CARD,E28011%012X%06X,,%s,CUSTOMS,,CBSA,,no,%s\n", i, mix("card", i), i, action, s.valid)
		})
	s.write(csv, "trips.csv", "trip,carrier,empty,trailer,seal_required,high_seal,screening,containers,valid_from,valid_until", s.size.trips, func(w io.Writer, i int) {
		fmt.Fprintf(w, "SIMUT%06d,SIMU,no,yes,no,no,no,,%s\n", i, s.valid)
	})
	built = filepath.Join(s.dir, name)
	began := time.Now()
	out := s.hq("lists", "build", "--in", csv, "--out", built, "--token-key", filepath.Join(s.dir, "hq", "token.key"), "--json")
	s.t.Logf("built %s in %v", name, time.Since(began).Round(time.Millisecond))
	if err := os.RemoveAll(csv); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(built+".heads", out, 0o600); err != nil { // for publish
		s.t.Fatal(err)
	}
	return built
}

func (s *scale) hq(args ...string) []byte {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(programs, "boothhq"), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("boothhq %v: %v\n%s", args, err, stderr.String())
	}
	return out
}

// publish signs what was built and sends the metadata to the broker.
func (s *scale) publish(built string) {
	s.t.Helper()
	began := time.Now()
	office := filepath.Join(s.dir, "hq")
	s.hq("lists", "publish", office, "--lists", built, "--timestamp", "4h", "--passphrase-file", filepath.Join(s.dir, "phrase"), "--broker", "tcp://"+s.broker)
	raw, err := os.ReadFile(built + ".heads")
	if err != nil {
		s.t.Fatal(err)
	}
	var heads []struct {
		Kind   string
		Rows   uint64
		Digest string
	}
	if err := json.Unmarshal(raw, &heads); err != nil {
		s.t.Fatal(err)
	}
	for _, h := range heads {
		if s.digests[h.Kind] != h.Digest {
			s.gens[h.Kind]++
		}
		s.digests[h.Kind] = h.Digest
	}
	s.t.Logf("published %s in %v: %v", filepath.Base(built), time.Since(began).Round(time.Millisecond), s.gens)
}

// start runs boothd.
func (s *scale) start() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "boothd.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.booth = exec.Command(filepath.Join(programs, "boothd"), filepath.Join(s.dir, "boothd.toml"))
	s.booth.Stderr, s.booth.SysProcAttr = log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.booth.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends boothd as kill -9 does.
func (s *scale) kill() {
	s.t.Helper()
	if err := s.booth.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = s.booth.Wait() // killed
}

// has gives the generations in force; nil if the booth does not answer yet.
func (s *scale) has() map[string]uint64 {
	p, err := status.Dial("unix:" + filepath.Join(s.dir, "s")).Get(s.t.Context())
	if err != nil || !p.StartedAt.After(time.Time{}) {
		return nil
	}
	out := map[string]uint64{}
	for _, l := range p.Lists {
		if l.Generation > 0 {
			out[l.Kind] = l.Generation
		}
	}
	s.peak = max(s.peak, s.memory())
	return out
}

// memory is what boothd has in memory besides page cache.
func (s *scale) memory() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.booth.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// await waits until the cards of the newest publication are in force.
func (s *scale) await(limit time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if have := s.has(); have["cards"] == s.gens["cards"] && have["members"] == s.gens["members"] {
			return
		}
	}
	s.t.Fatalf("in force after %v: %v, want %v", limit, s.has(), s.gens)
}

// whole checks that of cards and members, published together, both or none are
// of the newest publication.
func (s *scale) whole(old map[string]uint64) (applied bool) {
	s.t.Helper()
	var have map[string]uint64
	for end := time.Now().Add(time.Minute); have["cards"] == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		have = s.has()
	}
	cards, members := have["cards"] == s.gens["cards"], have["members"] == s.gens["members"]
	if cards != members || !cards && (have["cards"] != old["cards"] || have["members"] != old["members"]) {
		s.t.Errorf("I6: in force after a kill: %v; published %v after %v", have, s.gens, old)
	}
	return cards
}

func (s *scale) published() map[string]uint64 {
	out := map[string]uint64{}
	for k, v := range s.gens {
		out[k] = v
	}
	return out
}

// The country's lists, from CSV files to a booth that is killed again and again
// while it takes them: whole, then by a delta. What is in force is always one
// publication or the one before, and in the end, bit for bit, what
// headquarters has.
func TestI6_NationalListsOutliveKills(t *testing.T) {
	t.Parallel()
	s := newScale(t, mosquitto(t))
	dice := rand.New(rand.NewPCG(scaleSeed, 1))
	// Two states of the country that no delta leads between: over a million
	// cards differ.
	a := s.build("a", false, func(i int) bool { return i%100 == 0 })
	b := s.build("b", true, func(i int) bool { return i%2 == 0 })
	s.publish(a)
	began := time.Now()
	s.start()
	s.await(20 * time.Minute)
	whole := time.Since(began)
	t.Logf("the whole country is in force %v after the start, %d MiB besides page cache at the most", whole.Round(time.Millisecond), s.peak>>20)
	old := s.published()
	s.publish(b)
	turns, done := []string{a, b}, 0
	for n := range s.size.kills {
		after := time.Duration(dice.Int64N(int64(whole)))
		time.Sleep(after) // the point of the kill is what is tried
		s.kill()
		s.start()
		applied := s.whole(old)
		t.Logf("kill %d after %v: applied %v", n+1, after.Round(time.Millisecond), applied)
		if applied {
			done++
			old = s.published()
			s.publish(turns[(done+1)%2])
		}
	}
	s.await(20 * time.Minute)
	s.equal()

	base := turns[(done+1)%2]
	few := s.build("few", base == a, func(i int) bool {
		was := i%100 == 0
		if base == b {
			was = i%2 == 0
		}
		return was != (i%460 == 7) // one of 460 changes: 5,000 in a country
	})
	old = s.published()
	s.publish(few)
	began = time.Now()
	for n := range 5 {
		after := time.Duration(dice.Int64N(int64(time.Second)))
		time.Sleep(after)
		s.kill()
		s.start()
		t.Logf("kill %d after %v: applied %v", n+1, after.Round(time.Millisecond), s.whole(old))
	}
	s.await(5 * time.Minute)
	t.Logf("a delta of one card of 460 is in force %v after it was sent, five kills included", time.Since(began).Round(time.Millisecond))
	s.equal()
	s.settled()
}

// newScale prepares headquarters and the booth's configuration.
func newScale(t testing.TB, broker string) *scale {
	s := &scale{t: t, size: country(), dir: t.TempDir(), broker: broker, digests: map[string]string{}, gens: map[string]uint64{},
		valid: time.Now().AddDate(0, 0, -1).Format(time.DateOnly) + "," + time.Now().AddDate(0, 0, 60).Format(time.DateOnly)}
	phrase := filepath.Join(s.dir, "phrase")
	if err := os.WriteFile(phrase, []byte("a phrase of the test, long enough\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.hq("lists", "init", filepath.Join(s.dir, "hq"), "--passphrase-file", phrase)
	web := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(s.dir, "hq", "repository"))))
	t.Cleanup(web.Close)
	text, err := os.ReadFile("../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	swap := strings.NewReplacer(
		`# socket = "/run/boothd/boothd.sock"`, `socket = "`+s.dir+`/s"`,
		`# dir = "/var/lib/boothd"`, `dir = "`+s.dir+`/store"`,
		`# root = "/etc/boothd/trust/root.json"`, `root = "`+s.dir+`/hq/root.json"`,
		`# key = "credential:token-key"`, `key = "`+s.dir+`/hq/token.key"`,
		`# urls = []`, `urls = ["`+web.URL+`/"]`, `# spread = "5m"`, `spread = "1ms"`,
		`"pinctrl-bcm2711"`, `"sim:`+s.dir+`/none"`,
		`["ssl://hq-a:8883", "ssl://hq-b:8883"]`, `["tcp://`+s.broker+`"]`,
		`# listen = "127.0.0.1:7080"`, `listen = "127.0.0.1:0"`,
		"\nca = ", "\n# ca = ", "\ncert = ", "\n# cert = ", "\nkey = \"credential:mqtt-key\"", "\n# key")
	if err := os.WriteFile(filepath.Join(s.dir, "boothd.toml"), []byte(swap.Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.booth != nil && s.booth.ProcessState == nil {
			_ = s.booth.Process.Kill()
			_ = s.booth.Wait()
		}
		if b, err := os.ReadFile(filepath.Join(s.dir, "boothd.log")); t.Failed() && err == nil {
			t.Logf("boothd: %s", b[max(0, len(b)-8000):])
		}
	})
	return s
}

// equal compares what the booth says of itself, over the broker, with what
// headquarters built.
func (s *scale) equal() {
	s.t.Helper()
	var said struct {
		Booths []struct {
			Lists []contract.ListState `json:"lists"`
			Lacks []string             `json:"lacks"`
		} `json:"booths"`
	}
	var raw []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		raw = s.hq("lists", "booths", filepath.Join(s.dir, "hq"), "--broker", "tcp://"+s.broker, "--json")
		if err := json.Unmarshal(raw, &said); err == nil && len(said.Booths) == 1 && len(said.Booths[0].Lacks) == 0 {
			break
		}
	}
	if len(said.Booths) != 1 || len(said.Booths[0].Lists) != len(s.digests) {
		s.t.Fatalf("booths say %s", raw)
	}
	for _, l := range said.Booths[0].Lists {
		if l.Digest != "sha256:"+s.digests[l.Kind] || l.Generation != s.gens[l.Kind] {
			s.t.Errorf("I6: the booth says %s-%d with %s, published is %d with %s", l.Kind, l.Generation, l.Digest, s.gens[l.Kind], s.digests[l.Kind])
		}
	}
}

// settled stops the booth and reads all that it has, row by row.
func (s *scale) settled() {
	s.t.Helper()
	if err := s.booth.Process.Signal(os.Interrupt); err != nil {
		s.t.Fatal(err)
	}
	if err := s.booth.Wait(); err != nil {
		s.t.Errorf("boothd ends with %v", err)
	}
	st, err := eligibility.Open(s.t.Context(), filepath.Join(s.dir, "store", "lists"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	if f := st.Faults(); len(f) > 0 {
		s.t.Errorf("faults: %v", f)
	}
	for kind, changes := range st.Overlaid() {
		if err := st.Fold(s.t.Context(), kind, eligibility.Pace{Duty: 1}); err != nil {
			s.t.Errorf("folding %d changes of %s: %v", changes, kind, err)
		}
	}
	v := st.View()
	defer v.Release()
	seen := 0
	for _, g := range v.Generations() {
		if hex.EncodeToString(g.Digest[:]) != s.digests[g.Kind] || g.Base != 0 {
			s.t.Errorf("I6: %s-%d on disk has digest %x, published is %s", g.Kind, g.Generation, g.Digest, s.digests[g.Kind])
		}
		if err := st.Check(s.t.Context(), g.Kind, eligibility.Pace{Duty: 1}); err != nil { // every row, against that digest
			s.t.Error(err)
		}
		seen++
	}
	if seen != len(s.digests) {
		s.t.Errorf("%d lists on disk, %d are published", seen, len(s.digests))
	}
	s.announced()
	if s.peak > scaleMemory {
		s.t.Errorf("P12: %d MiB of memory besides page cache, at most %d", s.peak>>20, scaleMemory>>20)
	}
	s.t.Logf("P12: %d MiB besides page cache at the most", s.peak>>20)
}

// announced reads the journal: each generation that was in force is told, and
// whatever was killed, nothing was refused.
func (s *scale) announced() {
	s.t.Helper()
	j, err := journal.OpenReader(s.t.Context(), filepath.Join(s.dir, "store", "journal.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	told := map[string]int{}
	for rec, err := range j.Range(s.t.Context(), 1, 1<<40) {
		if err != nil {
			s.t.Fatal(err)
		}
		e, err := contract.Decode(rec.Body)
		if err != nil {
			s.t.Fatal(err)
		}
		switch e.Type {
		case contract.TypeListApplied:
			a, err := contract.As[contract.ListApplied](e)
			if err != nil {
				s.t.Fatal(err)
			}
			told[fmt.Sprintf("%s-%d", a.Kind, a.Generation)]++
		case contract.TypeListFailed:
			f, _ := contract.As[contract.ListFailed](e)
			s.t.Errorf("the booth refused %+v", f)
		}
	}
	for kind, newest := range s.gens {
		for g := uint64(1); g <= newest; g++ {
			if told[fmt.Sprintf("%s-%d", kind, g)] == 0 {
				s.t.Errorf("I4: the journal does not tell of %s-%d", kind, g)
			}
		}
	}
	s.t.Logf("list.applied: %v", told)
}
