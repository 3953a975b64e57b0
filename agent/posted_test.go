package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/agent/token"
	"boothd/devices"
)

// platesStored are the reads of plates in the journal.
func (r *rig) platesStored() (out []contract.PlateRead) {
	r.t.Helper()
	for _, e := range r.events() {
		if e.Type != contract.TypePlateRead {
			continue
		}
		d, err := contract.As[contract.PlateRead](e)
		if err != nil || e.Subject != "device/front" {
			r.t.Errorf("%s: %v", e.Subject, err)
		}
		out = append(out, d)
	}
	return out
}

// A camera that was told that all is well finds its report in the journal, as
// tokens, though no vehicle is there; one that is posted again is there once.
func TestI4_PostedPlateIsStoredBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cam := r.posting("http")
	r.front().Name = "front"
	stop := r.run()
	r.await("online", func(p status.Picture) bool { return r.seen(p).Online })
	key, err := token.ParseKey([]byte(strings.Repeat("0f", 32)))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	first := cam.Report(begun, "ABC 123", "ca-on", 0.5)
	for n, body := range [][]byte{first, first, cam.Report(begun, "", "", 0), first} {
		if code, err := cam.Post(t.Context(), http.MethodPost, body); err != nil || code != http.StatusNoContent {
			t.Fatalf("report %d: %d, %v", n, code, err)
		}
		if got, want := len(r.platesStored()), 1+min(n/2, 1); got != want {
			t.Fatalf("%d reads are stored after answer %d, want %d", got, n, want)
		}
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	want := key.Plate("ABC123", "ON", 0.5)
	want.Reader = "front"
	got := r.platesStored()
	for i, plate := range []passage.Plate{want, {Confidence: -1, NoRead: true, Reader: "front"}} {
		d := got[i]
		if d.Plate.Full != plate.Full || d.Plate.Bare != plate.Bare || d.Plate.Fold != plate.Fold || d.Plate.Jurisdiction != plate.Jurisdiction ||
			d.Plate.Confidence != plate.Confidence || d.Plate.NoRead != plate.NoRead || d.Plate.Reader != plate.Reader ||
			d.Device != "front" || d.Role != string(devices.RolePlateFront) || d.Late || d.CameraAt.Sub(begun).Abs() > time.Millisecond || d.Clock.Quality != "synced" {
			t.Errorf("read %d: %+v, want %+v", i, d, plate)
		}
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "store", "journal*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files { // I7
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("ABC123")) || bytes.Contains(b, []byte("ABC 123")) {
			t.Errorf("%s has the plate in clear", f)
		}
	}
}

// A journal without room takes no report: the lane has its plate at once, the
// camera is told to send again, and what it sends again once there is room is
// stored, though the booth was started anew meanwhile.
func TestI4_PostedPlateOutlivesAFullJournal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cam := r.posting("http")
	r.front().Name = "front"
	r.listed()
	r.cfg.Store.MaxBytes.Bytes = 256 << 10
	r.fill()
	stop := r.run()
	r.await("online", func(p status.Picture) bool { return r.seen(p).Online })
	r.set("booth_loop", true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	begun := time.Now()
	bodies := [][]byte{cam.Report(begun, "ABC123", "on", 0.9), cam.Report(begun, "XYZ9", "on", 0.9)}
	for range 2 {
		for _, body := range bodies {
			if code, err := cam.Post(t.Context(), http.MethodPost, body); err != nil || code != http.StatusServiceUnavailable {
				t.Errorf("answered %d, %v with a full journal", code, err)
			}
		}
	}
	r.await("read all the same", func(p status.Picture) bool { return p.Lane.Plate == status.PlateRead })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := strings.Count(r.log.String(), "posted plates are not stored"); n != 1 {
		t.Errorf("told %d times", n)
	}
	r.cfg.Store.MaxBytes.Bytes = 1 << 30
	stop = r.run()
	for n, body := range bodies {
		code := 0
		for end := time.Now().Add(30 * time.Second); code != http.StatusNoContent && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			code, _ = cam.Post(t.Context(), http.MethodPost, body) // refused until it listens
		}
		if code != http.StatusNoContent {
			t.Fatalf("report %d is answered %d at last", n, code)
		}
	}
	_ = stop()
	stored := 0
	for _, body := range r.bodies() { // what filled it is no event
		if bytes.Contains(body, []byte(`"`+contract.TypePlateRead+`"`)) {
			stored++
		}
	}
	if stored != len(bodies) {
		t.Errorf("%d reads are stored, want %d", stored, len(bodies))
	}
}

// newPosted keeps reads in memory.
func newPosted(t *testing.T) (p *posted, stored *[]contract.Data) {
	key, err := token.ParseKey([]byte(strings.Repeat("0f", 32)))
	if err != nil {
		t.Fatal(err)
	}
	stored = new([]contract.Data)
	return &posted{log: slog.New(slog.DiscardHandler), key: func(time.Time) *token.Key { return key },
		stamp: func(time.Time) contract.Clock { return contract.Clock{} },
		store: func(_ context.Context, _ time.Time, events ...contract.Data) (uint64, error) {
			*stored = append(*stored, events...)
			return 0, nil
		}}, stored
}

func plateRead(text devices.Ident) devices.Read {
	return devices.Read{Device: "front", Role: devices.RolePlateFront, At: noon, Plate: &devices.Plate{Text: text, Jurisdiction: "BC", Confidence: 0.9}}
}

var noon = time.Date(2026, 7, 4, 12, 0, 0, 0, time.UTC)

// A plate that is looked for is stored as every other is, and what stores it has
// no list to ask.
func TestI3_PostedPlatesAreStoredAlike(t *testing.T) {
	b := newBench(t)
	b.wanted("WANT10")
	p, stored := newPosted(t)
	p.key = func(time.Time) *token.Key { return b.key }
	asked := 0
	look := b.lane.lookup
	b.lane.lookup = func(dst []byte, kind string, tok passage.Token) ([]byte, bool, error) {
		asked++
		return look(dst, kind, tok)
	}
	var forms []string
	for _, text := range []devices.Ident{"WANT10", "FREE77"} {
		if err := p.keep(t.Context(), plateRead(text), false); err != nil {
			t.Fatal(err)
		}
		d := (*stored)[len(*stored)-1]
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, tok := range []passage.Token{b.key.Plate(text, "BC", 1).Full, b.key.Plate(text, "BC", 1).Bare, b.key.Plate(text, "BC", 1).Fold} {
			raw = bytes.ReplaceAll(raw, []byte(tok), []byte("token"))
		}
		forms = append(forms, string(raw))
	}
	if forms[0] != forms[1] || asked != 0 || len(*stored) != 2 {
		t.Errorf("%d lists asked, %d events:\n%s", asked, len(*stored), strings.Join(forms, "\n"))
	}
}

// Without a token key a read is stored without tokens.
func TestI7_PostedPlateWithoutKey(t *testing.T) {
	p, stored := newPosted(t)
	p.key = func(time.Time) *token.Key { return nil }
	if err := p.keep(t.Context(), plateRead("SECRET1"), true); err != nil {
		t.Fatal(err)
	}
	d, ok := (*stored)[0].(contract.PlateRead)
	if !ok || !d.Late || d.Plate.Full+d.Plate.Bare+d.Plate.Fold != "" || d.Plate.NoRead || d.Plate.Confidence != 0.9 || d.Plate.Reader != "front" {
		t.Errorf("%+v", d)
	}
}

// Cameras get no more than their pace.
func TestPostedIsBounded(t *testing.T) {
	p, _ := newPosted(t)
	for n := range postedBurst {
		if err := p.admit(noon); err != nil {
			t.Fatalf("read %d of a burst: %v", n, err)
		}
	}
	for n, step := range []struct {
		after time.Duration
		want  error
	}{{0, errPace}, {postedEvery - 1, errPace}, {postedEvery, nil}, {postedEvery, errPace}} {
		if err := p.admit(noon.Add(step.after)); !errors.Is(err, step.want) {
			t.Errorf("step %d: %v, want %v", n, err, step.want)
		}
	}
	n := 0
	for ; p.admit(noon.Add(time.Hour)) == nil; n++ {
	}
	if n != postedBurst {
		t.Errorf("%d at once after an hour", n)
	}
}
