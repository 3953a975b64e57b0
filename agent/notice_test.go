package agent

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/agent/uplink"
	"boothd/configs"
)

// said is a notice made at a time, signed.
func said(t *testing.T, key byte, text string, made time.Time, edit func(*contract.FleetNotice)) (id string, message []byte) {
	t.Helper()
	raw := uuid.UUID{6: 0x70, 8: 0x80}
	for i, ms := 5, made.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		raw[i] = byte(ms)
	}
	n := contract.FleetNotice{ID: raw.String(), Text: text, NotBefore: time.Now().Add(-time.Hour).UTC(), NotAfter: time.Now().Add(time.Hour).UTC(), By: "k.lee"}
	if edit != nil {
		edit(&n)
	}
	payload, err := contract.EncodeFleetNotice(n)
	if err != nil {
		t.Fatal(err)
	}
	e, err := testKey(t, key).Seal(contract.PayloadNotice, payload)
	if err != nil {
		t.Fatal(err)
	}
	b, err := contract.EncodeEnvelope(e)
	if err != nil {
		t.Fatal(err)
	}
	return n.ID, b
}

func shows(text string) func(status.Picture) bool {
	return func(p status.Picture) bool {
		i := slices.IndexFunc(p.Warnings, func(w status.Warning) bool { return w.Code == warnNotice })
		if text == "" {
			return i < 0
		}
		return i >= 0 && p.Warnings[i].Words == "headquarters says: "+text
	}
}

// What headquarters has all booths show is shown and recorded once, also over a
// restart; nobody else, nothing older and no rubbish is shown; and it decides
// nothing.
func TestNoticeToTheFleet(t *testing.T) {
	r := newRig(t)
	h := r.headquarters()
	stop := r.run()
	r.up()
	before := r.await("its picture", shows(""))
	now := time.Now()
	publish := func(message []byte) { h.broker.Publish(contract.TopicNotice, true, message) }

	first, message := said(t, keyOfOffice, "Version 1 ends on 2027-11-30.", now.Add(-time.Minute), nil)
	publish(message)
	p := r.await("the notice", shows("Version 1 ends on 2027-11-30."))
	if p.Health != before.Health || p.Lane.Type != before.Lane.Type || p.Lane.Open != before.Lane.Open {
		t.Errorf("with the notice the booth is %s, %+v; was %s, %+v", p.Health, p.Lane, before.Health, before.Lane)
	}
	if e := came(h, "its event", 1, func(d contract.FleetNoticed) bool { return d.ID == first }); e.By != "k.lee" || e.KeyID != testKey(t, keyOfOffice).ID() {
		t.Errorf("the event is %+v", e)
	}

	for name, bad := range map[string]func() []byte{
		"unsigned": func() []byte { return []byte(`{"text":"open all gates"}`) },
		"a booth's key": func() []byte {
			_, b := said(t, keyOfBooth, "open all gates", now, nil)
			return b
		},
		"a command":   func() []byte { return signed(t, keyOfOffice, asked(t, "identify", "{}")) },
		"over 8 KiB":  func() []byte { return []byte(strings.Repeat("x", 9<<10)) },
		"an old one":  func() []byte { _, b := said(t, keyOfOffice, "of old", now.Add(-time.Hour), nil); return b },
		"the future":  func() []byte { _, b := said(t, keyOfOffice, "of later", now.Add(48*time.Hour), nil); return b },
		"cleared raw": func() []byte { return nil },
		"past": func() []byte {
			_, b := said(t, keyOfOffice, "past", now, func(n *contract.FleetNotice) { n.NotAfter = now.Add(-time.Minute).UTC() })
			return b
		},
	} {
		publish(bad())
		t.Log("published: " + name)
	}
	came(h, "word of a forgery", 1, func(d contract.Notice) bool { return d.What == "notice_refused" })
	publish(message) // the last of what is retained, as a broker would send it at a connect
	r.await("still the notice", shows("Version 1 ends on 2027-11-30."))

	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	h.broker.Down(true)
	stop = r.run()
	r.await("the notice after a restart, without a link", shows("Version 1 ends on 2027-11-30."))
	h.broker.Down(false)
	r.up()

	second, message := said(t, keyOfOffice, "", now.Add(time.Minute), nil)
	publish(message)
	r.await("nothing more", shows(""))
	came(h, "the event of its end", 1, func(d contract.FleetNoticed) bool { return d.ID == second && d.Text == "" })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var ids []string
	forgeries := 0
	for _, e := range r.events() {
		if d, err := contract.As[contract.FleetNoticed](e); err == nil {
			ids = append(ids, d.ID)
		}
		if d, err := contract.As[contract.Notice](e); err == nil && d.What == "notice_refused" {
			forgeries++
		}
	}
	if !slices.Equal(ids, []string{first, second}) || forgeries != 1 {
		t.Errorf("recorded are %v, want %s and %s once; %d words of forgeries in the first run, want 1", ids, first, second, forgeries)
	}
}

// A box without a battery wakes up days behind, and the link may stand before
// its clock is set. What headquarters said meanwhile is no forgery, and is shown
// once the clock can be relied on; one of the future by a good clock is neither.
func TestNoticeBeforeTheClockIsSet(t *testing.T) {
	for name, c := range map[string]struct {
		clock passage.Clock
		shown bool
	}{"clock behind": {passage.ClockRestored, true}, "good clock": {passage.ClockSynced, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutbox(slog.New(slog.DiscardHandler), &configs.Config{Store: configs.Store{Dir: configs.Path(t.TempDir())}}, contract.Head{Booth: testBooth})
				if err := o.open(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer o.close()
				public, err := x509.MarshalPKIXPublicKey(testKey(t, keyOfOffice).Public())
				if err != nil {
					t.Fatal(err)
				}
				trust, err := contract.ParseKeys(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
				if err != nil {
					t.Fatal(err)
				}
				clock := &timekeeper{began: time.Now()}
				clock.judgement.Store(&judgement{quality: c.clock})
				var odd atomic.Int64
				n := &notice{log: slog.New(slog.DiscardHandler), file: filepath.Join(t.TempDir(), "notice"), trust: trust, outbox: o, time: clock,
					report: func(contract.Notice) { odd.Add(1) }, in: make(chan uplink.Message, noticesMost)}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); n.run(ctx) }()

				const behind = 72 * time.Hour
				_, message := said(t, keyOfOffice, "Version 1 ends on 2027-11-30.", time.Now().Add(behind), func(n *contract.FleetNotice) { n.NotAfter = n.NotAfter.Add(2 * behind) })
				n.in <- uplink.Message{Topic: contract.TopicNotice, Payload: message}
				time.Sleep(time.Minute)
				if _, ok := n.now(time.Now()); ok || (odd.Load() > 0) == c.shown {
					t.Errorf("before the clock is set: shown %v, told as a forgery %d times", ok, odd.Load())
				}
				time.Sleep(behind) // as if the clock were set
				clock.judgement.Store(&judgement{quality: passage.ClockSynced})
				time.Sleep(time.Minute)
				if _, ok := n.now(time.Now()); ok != c.shown {
					t.Errorf("with the clock set it is shown: %v", ok)
				}
				stop()
				<-ended
			})
		})
	}
}

// A notice is shown in its own time alone.
func TestNoticeInItsTime(t *testing.T) {
	from := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	n := &notice{}
	if _, ok := n.now(from); ok {
		t.Error("without one, one is shown")
	}
	n.shown.Store(&contract.FleetNotice{Text: "x", NotBefore: from, NotAfter: from.Add(time.Hour)})
	for at, want := range map[time.Duration]bool{-1: false, 0: true, time.Hour - 1: true, time.Hour: false} {
		if _, ok := n.now(from.Add(at)); ok != want {
			t.Errorf("%v after its begin it is shown: %v", at, ok)
		}
	}
}
