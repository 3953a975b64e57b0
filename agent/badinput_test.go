package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/status"
	"boothd/agent/token"
	"boothd/buffer/eligibility"
	"boothd/buffer/journal"
	"boothd/devices/mercury"
	"boothd/devices/sim"
)

// anna's card, membership and plate are in order; boris' membership is revoked.
const (
	annaCard  = "E28011606000020000000001"
	borisCard = "E28011606000020000000002"
	annaPlate = "ABCD123"
)

// listed gives the booth lists in which anna is in order.
func (r *rig) listed() {
	r.t.Helper()
	key, err := token.ParseKey([]byte(strings.Repeat("0f", 32)))
	if err != nil {
		r.t.Fatal(err)
	}
	dir := filepath.Join(r.dir, "store", "lists")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		r.t.Fatal(err)
	}
	st, err := eligibility.Open(r.t.Context(), dir)
	if err != nil {
		r.t.Fatal(err)
	}
	member := key.Membership("M1")
	card, err := contract.CardRow{Status: passage.Issued, Member: member}.Append(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	person, err := contract.MemberRow{Status: passage.Active, Programs: []string{"NEXUS"}, ValidUntil: time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Second)}.Append(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	outcast := key.Membership("M2")
	revoked, err := contract.MemberRow{Status: passage.Revoked, Programs: []string{"NEXUS"}}.Append(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	his, err := contract.CardRow{Status: passage.Issued, Member: outcast}.Append(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	row := func(of passage.Token, value []byte) eligibility.Row {
		b, err := contract.TokenBytes(of)
		if err != nil {
			r.t.Fatal(err)
		}
		return eligibility.Row{Token: eligibility.Token(b), Value: value}
	}
	cards := append(slices.Clone(r.more), row(key.Card(annaCard), card), row(key.Card(borisCard), his))
	var built []*eligibility.Built
	for kind, rows := range map[string][]eligibility.Row{"cards": cards, "members": {row(member, person), row(outcast, revoked)}, "lookouts": nil} {
		slices.SortFunc(rows, func(a, b eligibility.Row) int { return bytes.Compare(a.Token[:], b.Token[:]) })
		b, err := st.Build(r.t.Context(), eligibility.Spec{Kind: kind, Generation: 1, Rows: uint64(len(rows)), Digest: eligibility.Digest(rows), VerifiedAt: time.Now(), Pace: eligibility.Pace{Duty: 1}}, each(rows))
		if err != nil {
			r.t.Fatal(err)
		}
		built = append(built, b)
	}
	if err := st.Activate(r.t.Context(), built...); err != nil {
		r.t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		r.t.Fatal(err)
	}
}

func each(rows []eligibility.Row) iter.Seq2[eligibility.Row, error] {
	return func(yield func(eligibility.Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// up waits until every device is at work.
func (r *rig) up() {
	r.t.Helper()
	r.await("at work", func(p status.Picture) bool {
		return len(p.Devices) == 3 && !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return !d.Online })
	})
}

// arrive brings anna to the booth, alone, and counts her; it gives what the
// booth then says.
func (r *rig) arrive() status.Picture {
	r.t.Helper()
	r.come()
	return r.await("advised", func(p status.Picture) bool {
		return p.Lane.State == "at_booth" && p.Lane.Now != nil && p.Lane.Now.Lead.Code != int(passage.OccupantsUnconfirmed)
	})
}

func (r *rig) come() {
	r.t.Helper()
	r.set("approach_loop", true)
	r.await("approached", func(p status.Picture) bool { return p.Lane.State == "approach" })
	r.reader.Present(mercury.SimTag{EPC: annaCard, RSSIDBm: -50, Antenna: 1})
	if err := r.camera.Plate(annaPlate, "ON", 0.97); err != nil {
		r.t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		p, err := status.Dial("unix:" + string(r.cfg.Socket)).Get(r.t.Context())
		if err == nil && p.Lane.Cards == 1 && p.Lane.Plate == status.PlateRead {
			break
		}
	}
	r.set("approach_loop", false)
	r.set("booth_loop", true)
	r.await("at the booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" }) // a count before that is for nobody
	r.press("count_1")
}

// leaves lets her go and away.
func (r *rig) leaves() {
	r.t.Helper()
	r.press("release")
	r.reader.Present()
	r.set("exit_loop", true)
	time.Sleep(80 * time.Millisecond)
	r.set("booth_loop", false)
	time.Sleep(80 * time.Millisecond)
	r.set("exit_loop", false)
	r.await("free again", func(p status.Picture) bool { return p.Lane.State == "idle" })
}

// lamp tells whether an output is lit on the wire.
func (r *rig) lit(l signal.Lamp) bool { return r.chip.Outputs()[r.cfg.GPIO.Out[string(l)].Line] }

// says checks advice and lamps: never green but for EXPEDITE.
func (r *rig) says(p status.Picture, outcome string, lead passage.Code) {
	r.t.Helper()
	if p.Lane.Now.Outcome != outcome || p.Lane.Now.Lead.Code != int(lead) {
		r.t.Errorf("the booth says %s %d, want %s %d: %v", p.Lane.Now.Outcome, p.Lane.Now.Lead.Code, outcome, lead, p.Lane.Now.Reasons)
	}
	want := map[string]signal.Lamp{"EXPEDITE": signal.OfficerGreen, "PRIMARY": signal.OfficerAmber, "REFER": signal.OfficerRed}[outcome]
	for end := time.Now().Add(2 * time.Second); !r.lit(want) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	for _, l := range []signal.Lamp{signal.OfficerGreen, signal.OfficerAmber, signal.OfficerRed} {
		if r.lit(l) != (l == want) {
			r.t.Errorf("%s: %s is lit %t", outcome, l, r.lit(l))
		}
	}
	if r.lit(signal.TravellerGreen) || !r.lit(signal.TravellerRed) {
		r.t.Error("the traveller sees other than red before the officer acts")
	}
}

// The booth that all the others are measured against.
func TestGoodInput(t *testing.T) {
	r := newRig(t)
	r.listed()
	r.run()
	r.up()
	r.says(r.arrive(), "EXPEDITE", passage.Eligible)
	r.leaves()
}

// Garbage and half frames on both lines: nothing wrong is read, what is whole
// is, and the devices' counters tell.
func TestI1_GarbageOnThePorts(t *testing.T) {
	r := newRig(t)
	r.listed()
	r.run()
	r.up()
	dice := rand.New(rand.NewPCG(5, 5))
	rubbish := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		return b
	}
	frame, err := mercury.SimTag{EPC: "AAAABBBBCCCCDDDD00000001"}.Report()
	if err != nil {
		t.Fatal(err)
	}
	babble := func() {
		if err := r.reader.Raw(append(rubbish(300), frame[:len(frame)/2]...)); err != nil {
			t.Fatal(err)
		}
		if err := r.camera.Raw(append(rubbish(300), []byte("HALF;ON;9")...)); err != nil {
			t.Fatal(err)
		}
		if err := r.camera.Raw([]byte("\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	r.set("approach_loop", true)
	for range 5 {
		babble()
	}
	p := r.arrive()
	r.says(p, "EXPEDITE", passage.Eligible)
	if p.Lane.Cards != 1 {
		t.Errorf("%d cards out of noise", p.Lane.Cards)
	}
	r.await("counted", func(p status.Picture) bool {
		c := p.Devices[0].Counts
		return p.Devices[1].Counts.CheckErrors > 0 && c.Frames > 0 && c.Resyncs+c.CheckErrors > 0
	})
}

// slowWire is a reader's line at a rate of its own: what is sent at another
// one arrives as garbage, in both directions.
type slowWire struct {
	*sim.PTY
	rate uint32
}

func (w *slowWire) Read(b []byte) (int, error) {
	for {
		n, err := w.PTY.Read(b)
		if err != nil {
			return n, err
		}
		t, ioErr := unix.IoctlGetTermios(int(w.Fd()), unix.TCGETS2)
		if ioErr != nil {
			return 0, ioErr
		}
		if t.Ospeed != w.rate {
			if _, err := w.Write(bytes.Repeat([]byte{0xF8, 0x00, 0x78}, 3)); err != nil {
				return 0, err
			}
			continue
		}
		if i := bytes.Index(b[:n], []byte{0xFF, 0x04, 0x06}); i >= 0 && n >= i+7 { // set baud rate
			w.rate = binary.BigEndian.Uint32(b[i+3:])
		}
		return n, nil
	}
}

// A reader at another speed than the configuration says is found and brought
// to it.
func TestWrongBaud(t *testing.T) {
	r := newRig(t)
	r.unplug()
	far, tty, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tty, filepath.Join(r.dir, "reader")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	wire := &slowWire{PTY: far, rate: 9600}
	go func() { _ = r.reader.Serve(wire) }()
	r.listed()
	r.run()
	r.up()
	r.says(r.arrive(), "EXPEDITE", passage.Eligible)
}

// A broken journal is set aside and said; the lane works on with a new epoch.
func TestBrokenDatabaseFile(t *testing.T) {
	r := newRig(t)
	r.listed()
	path := filepath.Join(r.dir, "store", "journal.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 4000), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := r.run()
	r.up()
	r.says(r.arrive(), "EXPEDITE", passage.Eligible)
	_ = stop()
	events := r.events()
	first, err := contract.As[contract.EpochChanged](events[0])
	if err != nil || first.Why != "set_aside" {
		t.Errorf("%+v %v", first, err)
	}
	if old, err := filepath.Glob(path + ".broken-*"); err != nil || len(old) != 1 {
		t.Errorf("set aside: %v %v", old, err)
	}
	if !strings.Contains(r.log.String(), "journal was damaged and set aside") {
		t.Error("nobody was told")
	}
}

// A broken list is no list: the lane says so and goes on.
func TestI6_BrokenListFile(t *testing.T) {
	r := newRig(t)
	r.listed()
	files, err := filepath.Glob(filepath.Join(r.dir, "store", "lists", "cards-*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, bytes.Repeat([]byte("no list "), 4000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	r.up()
	p := r.arrive()
	if p.Lane.Now.Outcome != "PRIMARY" || !slices.ContainsFunc(p.Lane.Now.Reasons, func(x status.Reason) bool { return x.Code == int(passage.ListMissing) }) {
		t.Errorf("%+v", p.Lane.Now)
	}
	if r.lit(signal.OfficerGreen) {
		t.Error("green without a card list")
	}
}

// fill stores events until there is no room.
func (r *rig) fill() {
	r.t.Helper()
	j, _, err := journal.Open(r.t.Context(), journal.Config{Path: filepath.Join(r.dir, "store", "journal.db"), MaxBytes: r.cfg.Store.MaxBytes.Bytes})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, size := range []int{8000, 2000, 500, 100, 10} {
		for err = nil; err == nil; {
			_, err = j.Append(r.t.Context(), journal.Entry{Class: "audit", At: time.Now(),
				Build: func(journal.Stamp) ([]byte, error) { return bytes.Repeat([]byte("x"), size), nil }})
		}
		if !errors.Is(err, journal.ErrFull) {
			r.t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// A full disk: what cannot be recorded is PRIMARY/206, never green (I2), and
// the page says that the journal does not record.
func TestI2_FullDisk(t *testing.T) {
	r := newRig(t)
	r.listed()
	r.cfg.Store.MaxBytes.Bytes = 256 << 10
	r.fill()
	r.run()
	r.up()
	p := r.arrive()
	r.says(p, "PRIMARY", passage.StoreFault)
	if p = r.await("told", func(p status.Picture) bool { return !p.Store.OK }); p.Health != status.Degraded {
		t.Errorf("health %s with a full journal", p.Health)
	}
}

// Without a broker the lane works as ever and the events wait.
func TestI5_MissingBroker(t *testing.T) {
	r := newRig(t) // its broker's port answers nobody
	r.listed()
	stop := r.run()
	r.up()
	r.says(r.arrive(), "EXPEDITE", passage.Eligible)
	r.leaves()
	p := r.await("waiting", func(p status.Picture) bool { return p.Outbox.Waiting > 5 && !p.Outbox.Link && len(p.Last) == 1 })
	if p.Last[0].Delivery != status.Waiting || p.Health != status.Healthy {
		t.Errorf("%s, %s", p.Last[0].Delivery, p.Health)
	}
	_ = stop()
	if got := types(r.events()); strings.Count(got, "crossing.decided") < 2 {
		t.Error(got)
	}
}

// A clock at 1970 is trusted by nobody: PRIMARY/202, and every event says so.
func TestI1_ClockAt1970(t *testing.T) {
	r := newRig(t)
	r.listed()
	r.world.Clock = func() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 } // the kernel is wrong about it
	r.world.Built = time.Now().AddDate(0, 1, 0)                                             // so the clock is before the program
	stop := r.run()
	r.up()
	r.says(r.arrive(), "PRIMARY", passage.ClockUntrusted)
	_ = stop()
	for _, e := range r.events() {
		if e.Type == contract.TypeCrossingDecided && !bytes.Contains(e.Data, []byte(`"quality":"unset"`)) {
			t.Errorf("a decision without the clock's quality: %s", e.Data)
		}
	}
}

// No token key: nobody is known, nothing is stored raw, the lane says 214.
func TestI7_NoTokenKey(t *testing.T) {
	r := newRig(t)
	r.listed()
	if err := os.Remove(filepath.Join(r.dir, "token.key")); err != nil {
		t.Fatal(err)
	}
	stop := r.run()
	r.up()
	p := r.arrive()
	if p.Lane.Now.Outcome != "PRIMARY" || !slices.ContainsFunc(p.Lane.Now.Reasons, func(x status.Reason) bool { return x.Code == int(passage.KeyUnavailable) }) {
		t.Errorf("%+v", p.Lane.Now)
	}
	_ = stop()
	for _, e := range r.events() {
		if bytes.Contains(e.Data, []byte(annaCard)) || bytes.Contains(e.Data, []byte(annaPlate)) {
			t.Errorf("raw identifier in %s", e.Type)
		}
	}
}

// A box without a GPIO chip starts: it sees nothing and shows nothing, says
// that it is out of service, and keeps its record and its page.
func TestBoxWithoutChip(t *testing.T) {
	r := newRig(t)
	r.listed()
	r.chip.Break()
	stop := r.run()
	p := r.await("out", func(p status.Picture) bool {
		return p.Health == status.Out && len(p.Devices) == 3 && p.Devices[0].Online && p.Store.OK
	})
	if p.Devices[2].Online || p.Devices[2].Reason == "" {
		t.Errorf("%+v", p.Devices[2])
	}
	if err := r.chip.Mend(); err != nil {
		t.Fatal(err)
	}
	r.up()
	r.says(r.arrive(), "EXPEDITE", passage.Eligible)
	_ = stop()
}
