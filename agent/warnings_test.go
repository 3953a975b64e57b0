package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/agent/uplink"
	"boothd/configs"
)

func TestWarningsSayWhatAndHowLong(t *testing.T) {
	now := time.Date(2026, 11, 23, 7, 15, 0, 0, time.UTC)
	list := func(age time.Duration) []passage.List {
		return []passage.List{{Kind: "cards", Generation: 7, Age: passage.Of(age)}}
	}
	ends := func(d time.Duration) func(*bulletin) {
		return func(b *bulletin) { at := now.Add(d); b.certUntil.Store(&at) }
	}
	on := uplink.Status{Connected: true}
	for _, tt := range []struct {
		name  string
		edit  func(*bulletin)
		kept  kept
		link  uplink.Status
		lists []passage.List
		code  string // "" for none
		words string
	}{
		{"a booth in order", ends(90 * 24 * time.Hour), kept{holds: fillsSoon, waiting: 12}, on, list(15 * time.Minute), "", ""},
		{"no signing key", func(b *bulletin) { b.found = []string{warnNoKey} }, kept{}, on, nil, warnNoKey, "booth.signing_key"},
		{"half a file of keys", func(b *bulletin) { b.found = []string{warnCommandKeys} }, kept{}, on, nil, warnCommandKeys, "commands.keys cannot be read"},
		{"commands off", func(b *bulletin) { b.found = []string{warnNoCommands} }, kept{}, on, nil, warnNoCommands, "commands.keys is not there"},
		{"a plain broker", func(b *bulletin) { b.cfg.MQTT.AckMode = configs.AckPuback }, kept{}, on, nil, warnNoReceipts, "puback"},
		{"out of reach", nil, kept{}, uplink.Status{}, nil, warnApart, "out of reach"},
		{"a broker without headquarters", nil, kept{}, uplink.Status{Connected: true, Broker: "hq-a:8883", Owed: now.Add(-time.Hour)}, nil, warnApart, "broker hq-a:8883"},
		{"refused events", nil, kept{quarantined: 3}, on, nil, warnQuarantined, "3 events"},
		{"full in two days", nil, kept{holds: fillsSoon - time.Hour}, on, nil, warnFilling, "holds 2 days more"},
		{"full tomorrow", nil, kept{holds: 20 * time.Hour}, on, nil, warnFilling, "holds 20 h more"},
		{"nobody knows when", nil, kept{}, on, nil, "", ""},
		{"a certificate of a month", ends(certificateSoon), kept{}, on, nil, "", ""},
		{"and a second less", ends(certificateSoon - time.Second), kept{}, on, nil, warnCertificate, "ends in 29 days"},
		{"that has ended", ends(0), kept{}, on, nil, warnCertificate, "has ended"},
		{"a list over its soft age", nil, kept{}, on, list(20 * time.Minute), warnListAging, "list cards: headquarters last vouched for it 20m0s ago, and in 3h40m0s"},
		{"at its hard age", nil, kept{}, on, list(4 * time.Hour), warnListAging, "in 0s"},
		{"over it, which is a reason of its own", nil, kept{}, on, list(4*time.Hour + time.Second), "", ""},
		{"a list that is not there", nil, kept{}, on, []passage.List{{Kind: "cards"}}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := &configs.Config{Lists: configs.Lists{SoftAge: configs.Duration{Duration: 15 * time.Minute}, HardAge: configs.Duration{Duration: 4 * time.Hour}}}
			b := &bulletin{cfg: cfg, startedAt: now.Add(-time.Hour)}
			if tt.edit != nil {
				tt.edit(b)
			}
			got := b.warnings(now, tt.kept, tt.link, tt.lists)
			switch {
			case tt.code == "" && len(got) == 0:
			case tt.code == "" || len(got) != 1 || got[0].Code != tt.code || !strings.Contains(got[0].Words, tt.words):
				t.Errorf("warnings are %+v, want %q: %s", got, tt.code, tt.words)
			}
		})
	}
}

// What was found at the start is on the page of a running booth.
func TestWarningsAreOnThePage(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.await("warned", func(p status.Picture) bool {
		return slices.ContainsFunc(p.Warnings, func(w status.Warning) bool { return w.Code == warnNoKey })
	})
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
