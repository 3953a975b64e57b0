package agent

import (
	"context"
	"errors"
	"slices"
	"testing"

	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/mercury"
)

// A reader with an antenna at the booth and one on the approach: while another
// vehicle waits, the card at the booth is its, the one behind is not, and one
// that both read is a doubt (213).
func TestI1_CardsAreToldApartByAntennaAndStrength(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := slices.IndexFunc(r.cfg.Devices, func(d configs.Device) bool { return d.Role == configs.RoleCard })
	d := &r.cfg.Devices[i]
	d.Antennas, d.BoothAntennas, d.BoothWeakest = []int{1, 2}, []int{2}, -55
	stop := r.run()
	r.await("online", func(p status.Picture) bool {
		return !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return !d.Online })
	})
	tag := func(n, antenna, dBm int) mercury.SimTag {
		return mercury.SimTag{EPC: []string{"E28011606000000001000001", "E28011606000000001000002", "E28011606000000001000003"}[n], Antenna: antenna, RSSIDBm: dBm}
	}
	cards := func(n int, doubt bool) func(status.Picture) bool {
		return func(p status.Picture) bool {
			return p.Lane.Cards == n && slices.Contains(codes(p), int(passage.PassageAmbiguous)) == doubt
		}
	}
	r.set("approach_loop", true)
	r.await("approach", func(p status.Picture) bool { return p.Lane.State == "approach" })
	r.reader.Present(tag(0, 1, -50))
	r.await("its first card", func(p status.Picture) bool { return p.Lane.Cards == 1 })
	r.reader.Present()
	r.set("approach_loop", false)
	r.set("booth_loop", true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	r.set("approach_loop", true) // another one waits
	var before uint64
	r.await("another one", func(p status.Picture) bool { before = p.Totals.Unplaced; return true })
	r.reader.Present(tag(1, 1, -45), tag(2, 2, -60)) // its card, and one that the booth's antenna reads weakly
	r.await("dropped", func(p status.Picture) bool { return p.Totals.Unplaced > before+1 && cards(1, false)(p) })
	r.reader.Present(tag(2, 2, -45))
	r.await("the second card at the booth", cards(2, false))
	r.reader.Present(tag(2, 1, -50)) // and behind it: whose is it?
	r.await("in doubt", cards(2, true))
	r.reader.Present(tag(2, 2, -38))
	r.await("clearly at the booth", cards(2, false))
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
