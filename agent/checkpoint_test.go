package agent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/journal"
	"boothd/configs"
)

// testKey is a key that is the same in every run.
func testKey(t testing.TB, seed byte) *contract.SigningKey {
	t.Helper()
	k, err := contract.NewSigningKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// secretFile puts a file as a credential lies on disk.
func secretFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	keyOfBooth, keyOfOffice, keyOfStranger = 1, 2, 3
	testBooth                              = "pac-hwy-nexus-03"
)

// record is an outbox with a real journal, for a test's bubble.
type record struct {
	*outbox
	t    *testing.T
	time *timekeeper
	log  syncBuffer
}

func newRecord(t *testing.T, dir string, quality passage.Clock) *record {
	t.Helper()
	r := &record{t: t}
	began := time.Now()
	r.time = newTimekeeper(World{Boot: "boot", Mono: func() time.Duration { return time.Since(began) },
		Clock: func() (passage.Clock, time.Duration) { return quality, 0 }}, "host")
	r.outbox = &outbox{log: slog.New(slog.NewTextHandler(&r.log, nil)), head: contract.Head{Booth: testBooth}, cfg: journal.Config{Path: filepath.Join(dir, "journal.db")}}
	if err := r.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// write stores n events that are nobody's command and no checkpoint.
func (r *record) write(n int) {
	r.t.Helper()
	for range n {
		if _, err := r.store(r.t.Context(), time.Now(), contract.Stopped{Reason: "signal", Clock: r.time.stamp(time.Now())}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// all gives what was stored, of one type.
func all[D contract.Data](r *record) (out []D) {
	r.t.Helper()
	var none D
	for row, err := range r.journal.Load().Range(r.t.Context(), 1, 1<<40) {
		if err != nil {
			r.t.Fatal(err)
		}
		e, err := contract.Decode(row.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		if e.Type != none.Type() {
			continue
		}
		d, err := contract.As[D](e)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// checks opens a checkpoint and holds it against the journal.
func (r *record) checks(c contract.Checkpoint) {
	r.t.Helper()
	trust, err := contract.Trust(testKey(r.t, keyOfBooth).Public())
	if err != nil {
		r.t.Fatal(err)
	}
	payload, _, err := trust.Open(c.Seal, contract.PayloadCheckpoint)
	if err != nil {
		r.t.Fatalf("checkpoint of %d: %v", c.Seq, err)
	}
	body, err := contract.DecodeCheckpoint(payload)
	if err != nil {
		r.t.Fatal(err)
	}
	for row, err := range r.journal.Load().Range(r.t.Context(), c.Seq, c.Seq) {
		if err != nil {
			r.t.Fatal(err)
		}
		sum := sha256.Sum256(row.Body)
		if h := hex.EncodeToString(sum[:]); body.Head != h || c.Head != h || body.Seq != c.Seq || body.Booth != testBooth || body.Epoch != r.Epoch() {
			r.t.Errorf("checkpoint %+v of event %d with hash %s", body, row.Seq, h)
		}
		return
	}
	r.t.Errorf("no event %d", c.Seq)
}

func (r *record) checkpointer(key *contract.SigningKey) *checkpointer {
	return &checkpointer{log: r.outbox.log, booth: testBooth, key: key, outbox: r.outbox, stamp: r.time.stamp}
}

// The head is signed after the start, then every 256 events or five minutes,
// and never for the sake of a checkpoint alone.
func TestCheckpointsComeWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord(t, t.TempDir(), passage.ClockSynced)
		defer r.close()
		g := newGroup(t.Context())
		defer g.stop()
		g.run(r.checkpointer(testKey(t, keyOfBooth)).run)
		var want []uint64
		expect := func(what string, heads ...uint64) {
			t.Helper()
			want = append(want, heads...)
			got := all[contract.Checkpoint](r)
			for i, c := range got {
				if i >= len(want) || c.Seq != want[i] {
					t.Fatalf("%s: checkpoint %d is of event %d, want %v", what, i, c.Seq, want)
				}
				r.checks(c)
			}
			if len(got) != len(want) {
				t.Fatalf("%s: %d checkpoints, want %v", what, len(got), want)
			}
		}
		time.Sleep(time.Hour)
		expect("an empty journal for an hour")
		r.write(3)
		time.Sleep(2 * time.Second)
		expect("the first events of a run", 3)
		time.Sleep(24 * time.Hour)
		expect("a day in which nothing happened")
		r.write(1) // 5, for the checkpoint is 4
		time.Sleep(2 * time.Second)
		expect("an event after a day", 5) // and a checkpoint, 6
		r.write(255)
		time.Sleep(4*time.Minute + 50*time.Second)
		expect("255 events in under five minutes")
		time.Sleep(15 * time.Second)
		expect("five minutes", 261) // 262
		r.write(256)
		time.Sleep(2 * time.Second)
		expect("256 events", 518) // 519
		r.write(3000)
		time.Sleep(2 * time.Second)
		expect("a burst", 3519)
	})
}

// A journal that does not answer for a while costs a line in the log, and the
// checkpoint is made good.
func TestCheckpointIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord(t, t.TempDir(), passage.ClockSynced)
		j := r.journal.Load()
		r.write(3)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		c := r.checkpointer(testKey(t, keyOfBooth))
		g := newGroup(t.Context())
		g.run(c.run)
		time.Sleep(time.Minute)
		if n := strings.Count(r.log.String(), "\n"); n != 1 {
			t.Errorf("%d lines in the log, want 1:\n%s", n, &r.log)
		}
		if err := r.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := all[contract.Checkpoint](r); len(got) != 1 || got[0].Seq != 3 {
			t.Errorf("%+v, want one of event 3", got)
		}
		g.stop()
		r.close()
	})
}

// Without a key there is no checkpoint, and the booth's health says so.
func TestNoSigningKeyIsAWarning(t *testing.T) {
	r := newRig(t)
	for name, text := range map[string]string{"absent": "", "not a key": "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n"} {
		path := filepath.Join(t.TempDir(), "booth.pem")
		if text != "" {
			secretFile(t, path, []byte(text))
		}
		r.cfg.Booth.SigningKey = configs.Ref(path)
		b := build(r.cfg, r.world)
		if b.seals.key != nil {
			t.Fatalf("%s: a key", name)
		}
		b.seals.run(t.Context()) // returns at once
		st := b.bulletin.state()
		if st.Info.Key != "" || !slices.Equal(st.Health.Warnings, []string{warnNoKey, warnNoCommands}) {
			t.Errorf("%s: key %q, warnings %v", name, st.Info.Key, st.Health.Warnings)
		}
	}
	if strings.Contains(r.log.String(), "SECRET") {
		t.Error("the log quotes the key")
	}
}
