package agent

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/signal"
	"boothd/buffer/eligibility"
	"boothd/configs"
	"boothd/devices/gpio"
)

// lookEnv has this test be ten viewers of the page at an address, until its
// standard input ends; it prints how many pictures they saw.
const lookEnv = "BOOTHD_BENCH_LOOK"

func TestMain(m *testing.M) {
	at := os.Getenv(lookEnv)
	if at == "" {
		os.Exit(m.Run())
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var seen atomic.Int64
	for range 10 {
		all.Go(func() {
			if err := look(ctx, at, &seen); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		})
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until it ends
	stop()
	all.Wait()
	fmt.Println(seen.Load())
}

// child makes a command that ends with this process.
func child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// aside is child for what is no part of the booth's box and shares its
// processors here all the same: it gives way.
func aside(name string, args ...string) *exec.Cmd {
	return child("nice", append([]string{"-n", "19", name}, args...)...)
}

// viewers look at the page until stop is called, which tells what they saw.
func viewers(b *testing.B, at string) (stop func() string) {
	b.Helper()
	cmd := aside(os.Args[0])
	cmd.Env = append(os.Environ(), lookEnv+"="+at)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	return func() string {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			b.Error("viewers:", err)
		}
		return strings.TrimSpace(out.String())
	}
}

// look is somebody who looks at the page and does not go away.
func look(ctx context.Context, listen string, seen *atomic.Int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+"/events", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		seen.Add(1)
	}
	return nil
}

// crowd is what bystanders are kept in beside a booth that runs: rows by the
// million would have the collector of both look at each.
type crowd struct {
	tokens []byte // sorted, 16 bytes each
	value  []byte
	digest [sha256.Size]byte
	read   atomic.Int64 // rows, in all
}

func crowdOf(rows []eligibility.Row) *crowd {
	c := &crowd{value: rows[0].Value, digest: eligibility.Digest(rows), tokens: make([]byte, 0, len(rows)*len(eligibility.Token{}))}
	slices.SortFunc(rows, func(a, b eligibility.Row) int { return slices.Compare(a.Token[:], b.Token[:]) })
	for _, r := range rows {
		c.tokens = append(c.tokens, r.Token[:]...)
	}
	return c
}

func (c *crowd) len() int { return len(c.tokens) / len(eligibility.Token{}) }

func (c *crowd) rows(yield func(eligibility.Row, error) bool) {
	for t := range slices.Chunk(c.tokens, len(eligibility.Token{})) {
		c.read.Add(1)
		if !yield(eligibility.Row{Token: eligibility.Token(t), Value: c.value}, nil) {
			return
		}
	}
}

// busy is ten viewers of the page, an import and the drain of a backlog, until
// stop is called. It tells how much of each there was. The import is paced as
// those of the booth are.
func (r *rig) busy(b *testing.B, w *backlog, list *crowd, generation *uint64, pace eligibility.Pace) (stop func() string) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	began, sent, read := time.Now(), w.sent(), list.read.Load()
	w.drain.Store(true)
	leave := viewers(b, string(r.cfg.Status.Listen))
	all.Go(func() {
		s, err := eligibility.Open(ctx, filepath.Join(r.dir, "imports"))
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = s.Close() }()
		for ctx.Err() == nil {
			*generation++
			spec := eligibility.Spec{Kind: contract.ListCards, Generation: *generation, Rows: uint64(list.len()), Digest: list.digest, VerifiedAt: time.Now(), Pace: pace}
			built, err := s.Build(ctx, spec, list.rows)
			if err == nil {
				err = s.Activate(ctx, built)
			}
			if err != nil && ctx.Err() == nil {
				b.Error(err)
				return
			}
		}
	})
	return func() string {
		drained, rows, took := w.sent()-sent, list.read.Load()-read, time.Since(began).Seconds()
		w.drain.Store(false)
		cancel()
		all.Wait()
		if drained == 0 || rows == 0 {
			b.Errorf("%d events drained, %d rows imported: bulk work stands still", drained, rows)
		}
		return fmt.Sprintf("%s pictures, %.0f rows/s, %.0f events/s", leave(), float64(rows)/took, float64(drained)/took)
	}
}

// BenchmarkBusy measures the way from card to the officer's red lamp at rest and
// beside ten viewers of the page, an import and the drain of a backlog, in turn
// (product design, section 9: P13; at most 1.5 times at p99). The same is told of
// the bare way from line to pin, for which nobody stands aside: what that loses, the
// machine's processors and their scheduling cost. The backlog is of a million events where the list is the
// country's.
func BenchmarkBusy(b *testing.B) {
	const rounds, each = 5, 100
	r := newRig(b)
	r.losable = 20
	for name, in := range r.cfg.GPIO.In {
		in.Debounce = configs.Duration{}
		r.cfg.GPIO.In[name] = in
	}
	r.cfg.Policy.AntiPassback = false
	delete(r.cfg.GPIO.Out, string(signal.OfficerAmber))
	red := newLamp(r.cfg.GPIO.Out[string(signal.OfficerRed)].Line)
	r.world.OpenChip = func(ctx context.Context, name string) (*gpio.Chip, error) { return overheard(ctx, name, red) }
	r.more = bystanders(b, benchCards(b))
	events := 300_000
	if benchCards(b) >= 2_300_000 {
		events = 1_000_000
	}
	w := r.waiting(b, events)
	list := crowdOf(r.more)
	r.listed()
	r.more = nil
	var booth *booth
	built := make(chan struct{})
	r.life = func(ctx context.Context, cfg *configs.Config, world World) error {
		booth = build(cfg, world)
		close(built)
		return booth.run(ctx, nil)
	}
	stop := r.run()
	<-built
	r.up()
	w.last = booth.outbox.journal.Load().Last
	go red.watch(b.Context(), r.chip)
	ctx, end := context.WithCancel(b.Context())
	var receipts sync.WaitGroup
	receipts.Go(func() { w.run(ctx, b) })
	defer receipts.Wait()
	defer end()
	peer := newBare(b)
	bad := frameOf(b, borisCard)
	turn := func(n int) (ours, bare times) {
		for range n {
			ours.took = append(ours.took, r.sample(b, bad, red))
			bare.took = append(bare.took, peer.once(b, "x card\n"))
		}
		return ours, bare
	}
	turn(10)
	var ratios, bares, p50 []float64
	var words []string
	generation := uint64(0)
	rest, work := times{name: "at rest"}, times{name: "viewers, import, drain"}
	bareRest, bareWork := times{name: "bare: at rest"}, times{name: "bare: beside the same"}
	for b.Loop() {
		for range rounds {
			still, bareStill := turn(each)
			end := r.busy(b, w, list, &generation, booth.shelf.pace)
			busy, bareBusy := turn(each)
			words = append(words, end())
			bares = append(bares, float64(bareBusy.at(0.99, commanded))/float64(bareStill.at(0.99, commanded)))
			bareRest.took, bareWork.took = append(bareRest.took, bareStill.took...), append(bareWork.took, bareBusy.took...)
			ratios = append(ratios, float64(busy.at(0.99, commanded))/float64(still.at(0.99, commanded)))
			p50 = append(p50, float64(busy.at(0.5, commanded))/float64(still.at(0.5, commanded)))
			rest.took, work.took = append(rest.took, still.took...), append(work.took, busy.took...)
		}
	}
	b.StopTimer()
	left := booth.outbox.stats().waiting
	if err := stop(); !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	slices.Sort(ratios)
	slices.Sort(bares)
	slices.Sort(p50)
	b.Logf("%d cards; card -> officer's red, microseconds: p50 p99 p99.9\n%s\n%s\n%s\n%s\nbare pty -> pin beside the same: %.2f at p99 (%.2f to %.2f)\nP13: %.2f at p99 (%.2f to %.2f in %d rounds), %.2f of all rounds together, %.2f at p50, target 1.5; %d vehicles lost, %d events left; beside it %s",
		benchCards(b), rest.row(), work.row(), bareRest.row(), bareWork.row(), bares[len(bares)/2], bares[0], bares[len(bares)-1], ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], len(ratios),
		float64(work.at(0.99, commanded))/float64(rest.at(0.99, commanded)), p50[len(p50)/2], r.lost, left, strings.Join(words, "; "))
	b.ReportMetric(ratios[len(ratios)/2], "P13-p99-ratio")
	b.ReportMetric(0, "ns/op")
}
