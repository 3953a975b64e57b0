package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/wiegand"
)

// doorLines are what a Wiegand reader hangs on.
var doorLines = [2]string{"D0", "D1"}

// door is a Wiegand reader on the rig's chip, and its far end.
func (r *rig) door() (configs.Device, *wiegand.Sim) {
	return configs.Device{Driver: "wiegand", Data0: doorLines[0], Data1: doorLines[1], Own: &wiegand.Settings{Formats: []wiegand.Format{wiegand.H10301},
			Silence: 100 * time.Millisecond}},
		&wiegand.Sim{Pulse: func(p []devices.Pulse) error { return r.chip.Pulse(doorLines, p) }}
}

// TestLaneWithAWiegandReader: a lane's card reader hangs on two lines of the
// chip that has its loops and lamps. What goes wrong there is told once and
// mends itself, and a card that cannot be read names nobody.
func TestLaneWithAWiegandReader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := slices.IndexFunc(r.cfg.Devices, func(d configs.Device) bool { return d.Role == configs.RoleCard })
	d, far := r.door()
	d.Name, d.Role = "door", configs.RoleCard
	r.cfg.Devices[i] = d
	stop := r.run()
	all := func(p status.Picture) bool {
		return !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return !d.Online })
	}
	away := func(reason string) func(status.Picture) bool {
		return func(p status.Picture) bool {
			return !p.Devices[i].Online && strings.Contains(p.Devices[i].Reason, reason)
		}
	}
	r.await("online", all)
	send := func(bits string) {
		t.Helper()
		if err := far.Raw(bits); err != nil {
			t.Fatal(err)
		}
	}
	r.set("booth_loop", true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	bad := r.lookAt("door")
	send("10100010010100010010011111") // a parity is wrong
	r.await("unreadable", func(p status.Picture) bool {
		return p.Lane.Now != nil && slices.ContainsFunc(p.Lane.Now.Reasons, func(r status.Reason) bool { return r.Code == int(passage.CardUnreadable) })
	})
	good := r.lookAt("door")
	send("00100010010100010010011111")
	r.await("read", func(p status.Picture) bool { return p.Lane.Cards == 1 })
	text := fmt.Sprint(until(t, bad, "read"), until(t, good, "read"))
	for _, want := range []string{`26 bytes "` + strings.Repeat("9", 26) + `"`, "tag  unreadable", "tag  #1 (8 characters)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}

	if err := r.chip.Set(doorLines[1], false); err != nil {
		t.Fatal(err)
	}
	r.await("line low", away("DATA1: line is low"))
	if err := r.chip.Set(doorLines[1], true); err != nil {
		t.Fatal(err)
	}
	r.await("line high", all)
	r.chip.Break()
	r.await("chip gone", away("chip"))
	if err := r.chip.Mend(); err != nil {
		t.Fatal(err)
	}
	r.await("chip back", all)
	r.set("booth_loop", true)
	r.await("at_booth again", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	send("00100010011110010110110101")
	r.await("read again", func(p status.Picture) bool { return p.Lane.Cards >= 1 })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	var told []bool
	for _, e := range r.events() {
		if c, err := contract.As[contract.DeviceChanged](e); e.Type == contract.TypeDeviceChanged && (err != nil || c.Device == "door") {
			told = append(told, c.Online)
		}
	}
	if !slices.Equal(told, []bool{true, false, true, false, true}) {
		t.Errorf("its changes: %v", told)
	}
	if strings.Contains(r.log.String(), "225127C0") || strings.Contains(r.log.String(), "00100010010100") {
		t.Error("I7: the log has a card's number")
	}
}
