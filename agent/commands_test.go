package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"boothd/agent/command"
	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/uplink"
	"boothd/configs"
)

// asked is a command to the test's booth, made now.
func asked(t testing.TB, name, args string) contract.Command {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	return contract.Command{ID: id.String(), Name: name, Args: jsontext.Value(args), Booth: testBooth, NotBefore: now, NotAfter: now.Add(time.Hour), By: "k.lee"}
}

func signed(t testing.TB, key byte, c contract.Command) []byte {
	t.Helper()
	payload, err := contract.EncodeCommand(c)
	if err != nil {
		t.Fatal(err)
	}
	e, err := testKey(t, key).Seal(contract.PayloadCommand, payload)
	if err != nil {
		t.Fatal(err)
	}
	b, err := contract.EncodeEnvelope(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// desk is the part of a booth that takes commands, with a real journal, in a
// test's bubble.
type desk struct {
	*commands
	r         *record
	refreshed int
	became    []passage.LaneType
}

func newDesk(t *testing.T, dir string, quality passage.Clock) *desk {
	t.Helper()
	trust, err := contract.Trust(testKey(t, keyOfOffice).Public())
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{r: newRecord(t, dir, quality)}
	d.commands = &commands{log: d.r.outbox.log, booth: testBooth, trust: trust, began: time.Now(), outbox: d.r.outbox, time: d.r.time,
		allow: command.Names(), lanes: []passage.LaneType{passage.NEXUS, passage.General},
		in: make(chan uplink.Message, commandsMost), conns: make(chan uint64, 1),
		strangers: allowance{most: strangersBurst, every: strangersEvery}, signed: allowance{most: signedBurst, every: signedEvery},
		refresh: func() bool { d.refreshed++; return true }, blink: func() bool { return false },
		retype: func(_ context.Context, to passage.LaneType) error { d.became = append(d.became, to); return nil }}
	return d
}

// results gives the reasons of all results so far, or the outcome where there
// is none.
func (d *desk) results() (out []string) {
	for _, r := range all[contract.CommandResult](d.r) {
		if r.Reason == "" {
			r.Reason = r.Outcome
		}
		out = append(out, r.Reason)
	}
	return out
}

func TestCommandsAreTakenOnceAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := newDesk(t, dir, passage.ClockSynced)
		first := asked(t, command.ListRefresh, `{}`)
		message := signed(t, keyOfOffice, first)
		late, early, other, slow, fast := asked(t, command.ListRefresh, `{}`), asked(t, command.ListRefresh, `{}`), asked(t, command.ListRefresh, `{}`),
			asked(t, command.LaneMode, `{"type":"general"}`), asked(t, command.LaneMode, `{"type":"nexus"}`)
		late.NotAfter = late.NotBefore.Add(time.Second)
		early.NotBefore = early.NotBefore.Add(30 * time.Minute)
		other.Booth = "pac-hwy-nexus-04"
		time.Sleep(2 * time.Second)
		for _, m := range [][]byte{message, message, nil, []byte("rubbish"), signed(t, keyOfStranger, asked(t, command.ListRefresh, `{}`)),
			signed(t, keyOfOffice, late), signed(t, keyOfOffice, early), signed(t, keyOfOffice, other), signed(t, keyOfOffice, asked(t, "gate.open", `{}`)),
			signed(t, keyOfOffice, slow), signed(t, keyOfOffice, fast), signed(t, keyOfOffice, asked(t, command.OutboxResend, `{}`)), signed(t, keyOfOffice, asked(t, command.Identify, `{}`)), signed(t, keyOfOffice, asked(t, command.BundleUpload, `{}`))} {
			d.take(t.Context(), m)
		}
		want := []string{"done", "replayed", "malformed", "untrusted", "expired", "not_yet", "wrong_booth", "unknown", "done", "faster", "busy", "no_lamp", "no_place"}
		if got := d.results(); !slices.Equal(got, want) {
			t.Errorf("results\n%v, want\n%v", got, want)
		}
		taken := all[contract.CommandTaken](d.r)
		if len(taken) != 5 || taken[0].ID != first.ID || taken[0].By != "k.lee" || taken[0].KeyID != testKey(t, keyOfOffice).ID() || taken[1].ID != slow.ID {
			t.Errorf("taken %+v", taken)
		}
		if d.refreshed != 1 || !slices.Equal(d.became, []passage.LaneType{passage.General}) {
			t.Errorf("refreshed %d times, became %v", d.refreshed, d.became)
		}
		results := all[contract.CommandResult](d.r)
		if results[0].ID != first.ID || results[0].Name != command.ListRefresh || results[2].ID != "" || !strings.HasPrefix(results[2].Digest, "sha256:") {
			t.Errorf("results %+v", results)
		}
		if left, err := d.r.journal.Load().Unsettled(t.Context()); err != nil || len(left) != 0 {
			t.Errorf("unsettled %v, %v", left, err)
		}
		d.r.close()

		// The same message after a restart. Ids keep their order over all bubbles
		// of this process, so the epoch's time may be ahead of this one's.
		began := d.began
		d = newDesk(t, dir, passage.ClockSynced)
		defer d.r.close()
		d.began = began
		d.take(t.Context(), message)
		if got := d.results(); len(got) != len(want)+1 || got[len(want)] != string(command.Replayed) || d.refreshed != 0 {
			t.Errorf("after a restart %v, refreshed %d times", got, d.refreshed)
		}
	})
}

// Who may command, but not everything.
func TestOnlyWhatTheTechnicianAllowsIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, t.TempDir(), passage.ClockSynced)
		defer d.r.close()
		d.allow = []string{command.OutboxResend}
		d.take(t.Context(), signed(t, keyOfOffice, asked(t, command.LaneMode, `{"type":"general"}`)))
		d.trust = nil
		d.take(t.Context(), signed(t, keyOfOffice, asked(t, command.ListRefresh, `{}`)))
		if got := d.results(); !slices.Equal(got, []string{"not_allowed", "untrusted"}) || d.became != nil || d.refreshed != 0 {
			t.Errorf("%v, became %v, refreshed %d times", got, d.became, d.refreshed)
		}
	})
}

func TestADoubtfulClockObeysNothing(t *testing.T) {
	for _, c := range []passage.Clock{passage.ClockUnset, passage.ClockRestored} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, t.TempDir(), c)
			defer d.r.close()
			d.take(t.Context(), signed(t, keyOfOffice, asked(t, command.ListRefresh, `{}`)))
			if got := d.results(); !slices.Equal(got, []string{string(command.Clock)}) || d.refreshed != 0 {
				t.Errorf("clock %v: %v", c, got)
			}
		})
	}
}

// What was noted and not answered is told as unknown, once, and never done.
func TestACrashLeavesACommandUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := newDesk(t, dir, passage.ClockSynced)
		c := asked(t, command.ListRefresh, `{}`)
		if _, err := d.judge(t.Context(), d.r.journal.Load(), command.Signed{Command: c}); err != nil {
			t.Fatal(err)
		}
		d.r.close()
		for range 2 {
			d = newDesk(t, dir, passage.ClockSynced)
			d.leftovers(t.Context())
			got := all[contract.CommandResult](d.r)
			if len(got) != 1 || got[0].ID != c.ID || got[0].Outcome != contract.CommandUnknown || d.refreshed != 0 {
				t.Errorf("%+v, refreshed %d times", got, d.refreshed)
			}
			d.r.close()
		}
	})
}

// What cannot be noted is not done.
func TestNothingIsDoneUnrecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, t.TempDir(), passage.ClockSynced)
		j := d.r.journal.Load()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		c := signed(t, keyOfOffice, asked(t, command.ListRefresh, `{}`))
		d.take(t.Context(), c)
		d.r.close()
		d.take(t.Context(), c) // no journal at all
		if d.refreshed != 0 {
			t.Error("a command was carried out that nobody can tell of")
		}
	})
}

// epochAt is an epoch that began at a time of whole milliseconds.
func epochAt(at time.Time) string {
	id := uuid.UUID{6: 0x70, 8: 0x80}
	for i := range 6 {
		id[i] = byte(at.UnixMilli() >> (8 * (5 - i)))
	}
	return id.String()
}

// A full journal cannot record a command: it is not done, and the next run says
// that nobody knows; once there is room, a new one is taken.
func TestAFullJournalObeysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := newDesk(t, dir, passage.ClockSynced)
		d.r.close()
		d.r.cfg.MaxRows = 3
		if err := d.r.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.r.write(3)
		c := asked(t, command.ListRefresh, `{}`)
		d.take(t.Context(), signed(t, keyOfOffice, c))
		if d.refreshed != 0 || len(d.results()) != 0 {
			t.Errorf("refreshed %d times, %v", d.refreshed, d.results())
		}
		d.r.close()
		began := d.began
		d = newDesk(t, dir, passage.ClockSynced)
		defer d.r.close()
		d.began = began
		d.leftovers(t.Context())
		d.take(t.Context(), signed(t, keyOfOffice, c))
		d.take(t.Context(), signed(t, keyOfOffice, asked(t, command.ListRefresh, `{}`)))
		if got := d.results(); !slices.Equal(got, []string{reasonInterrupted, "replayed", "done"}) || d.refreshed != 1 {
			t.Errorf("with room again %v, refreshed %d times", got, d.refreshed)
		}
	})
}

// A command older than the journal is refused, since the journal before it may
// have known it; unless the journal's own time cannot be, when the run counts.
func TestACommandOlderThanTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := asked(t, command.ListRefresh, `{}`)
		time.Sleep(10 * time.Minute)
		d := newDesk(t, t.TempDir(), passage.ClockSynced)
		defer d.r.close()
		began := time.Now()
		d.take(t.Context(), signed(t, keyOfOffice, old))
		if got := d.results(); !slices.Equal(got, []string{string(command.TooOld)}) {
			t.Errorf("%v", got)
		}
		time.Sleep(time.Hour)
		now := time.Now()
		for _, tt := range []struct {
			name  string
			epoch string
			floor time.Time
			want  time.Time
		}{
			{"an hour ago", epochAt(now.Add(-time.Hour)), now.AddDate(0, -1, 0), now.Add(-time.Hour)},
			{"in the future", epochAt(now.Add(time.Second)), time.Time{}, began},
			{"before the program was built", epochAt(now.AddDate(-1, 0, 0)), now.AddDate(0, -1, 0), began},
			{"that is none", "x", time.Time{}, began},
		} {
			d.floor = tt.floor
			if got := d.since(now, tt.epoch); !got.Equal(tt.want) {
				t.Errorf("an epoch %s: since %v, want %v", tt.name, got, tt.want)
			}
		}
	})
}

// A flood of what nobody signed fills neither the journal nor the log; what was
// left out is counted.
func TestAFloodIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, t.TempDir(), passage.ClockSynced)
		defer d.r.close()
		for range 1000 {
			d.take(t.Context(), []byte("{}"))
		}
		if got := len(d.results()); got != strangersBurst {
			t.Errorf("%d results of a flood, want %d", got, strangersBurst)
		}
		d.take(t.Context(), signed(t, keyOfOffice, asked(t, command.ListRefresh, `{}`))) // still heard
		time.Sleep(2 * time.Minute)
		for range 100 {
			d.take(t.Context(), []byte("{}"))
		}
		got := all[contract.CommandResult](d.r)
		if len(got) != strangersBurst+3 || got[strangersBurst].Unsaid != 1000-strangersBurst || got[strangersBurst].Outcome != contract.CommandDone {
			t.Errorf("%d results, the one after the flood %+v", len(got), got[strangersBurst])
		}
		if d.refreshed != 1 {
			t.Error("the flood drowned a command")
		}
	})
}

// A panic of one command is not the end of the others (I5).
func TestI5_CommandsOutliveAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, t.TempDir(), passage.ClockSynced)
		g := newGroup(t.Context())
		g.run(d.run)
		d.refresh = func() bool { panic("broken") }
		d.in <- uplink.Message{Payload: signed(t, keyOfOffice, asked(t, command.ListRefresh, `{}`))}
		synctest.Wait()
		d.in <- uplink.Message{Payload: signed(t, keyOfOffice, asked(t, command.LaneMode, `{"type":"general"}`))}
		synctest.Wait()
		if len(d.became) != 1 {
			t.Errorf("after a panic %v", d.results())
		}
		g.stop()
		d.r.close()
	})
}

// Every connect is told, but a link that comes and goes is told of every ten
// seconds at most.
func TestHelloFollowsAConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, t.TempDir(), passage.ClockSynced)
		d.key = testKey(t, keyOfBooth).ID()
		g := newGroup(t.Context())
		g.run(d.run)
		d.connected(1)
		synctest.Wait()
		c := asked(t, command.ListRefresh, `{}`)
		d.in <- uplink.Message{Payload: signed(t, keyOfOffice, c)}
		synctest.Wait()
		for n := range uint64(100) {
			d.connected(2 + n)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		got := all[contract.Hello](d.r)
		if n := len(got); n < 2 || n > 12 || got[0].Conn != 1 || got[0].Command != "" || got[n-1].Conn != 101 || got[n-1].Command != c.ID {
			t.Errorf("%d hellos: %+v", n, got)
		}
		if got[0].KeyID != d.key || !slices.Equal(got[0].Trusts, []string{testKey(t, keyOfOffice).ID()}) {
			t.Errorf("hello %+v", got[0])
		}
		g.stop()
		d.r.close()
	})
}

// The names in the configuration are those of the commands there are.
func TestConfigurationNamesTheCommands(t *testing.T) {
	var names []string
	for _, n := range configs.CommandNames() {
		names = append(names, string(n))
	}
	if !slices.Equal(names, command.Names()) {
		t.Errorf("configs has %v, command %v", names, command.Names())
	}
	if _, err := command.Judge(command.Signed{}, command.Local{}); !errors.As(err, new(*command.Refusal)) {
		t.Errorf("the zero command: %v", err)
	}
}
