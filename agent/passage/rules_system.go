package passage

import "slices"

// required are the list kinds a NEXUS lane cannot do without.
var required = [...]string{"cards", "lookouts", "members"}

// RequiredLists are the list kinds a NEXUS lane cannot do without, in order.
func RequiredLists() []string { return slices.Clone(required[:]) }

// Rows 200 to 214.
func (c *weighing) system() {
	f, ev, pol := c.f, c.ev, c.pol
	c.when(ev.Closed, LaneClosed, Hold)
	sound := f.Config && pol.Port != "" && (pol.Direction == ToCanada || pol.Direction == ToUS) &&
		pol.RandomRate >= 0 && pol.RandomRate <= 1
	c.when(!sound, LaneConfigInvalid, Hold)
	c.when(!trusted(f.Clock), ClockUntrusted, Primary)
	for _, kind := range required {
		l, ok := listOf(f.Lists, kind)
		c.when(!ok || l.Generation == 0, ListMissing, Primary)
		stale := l.Age < 0 || l.Age > pol.HardAge
		c.when(ok && stale, ListStale, Primary)
		c.when(ok && l.Rejected, ListRejected, informational)
		c.when(ok && !stale && l.Age > pol.SoftAge, ListAging, informational)
	}
	c.when(!f.Store, StoreFault, Primary)
	c.when(!f.Readers, ReaderFault, Primary)
	c.when(!f.LPR && pol.PlatePresent, LPRFault, Primary)
	c.when(!f.Presence || ev.Presence || ev.WrongWay, PresenceFault, Primary)
	// 210: late, or a value that these rules do not know.
	c.when(f.Late || f.Clock > ClockSynced || ev.State > Clearing || f.Now.IsZero(), DecisionTimeout, Primary)
	c.when(!f.Signals, SignalFault, Primary)
	c.when(ev.Ambiguous, PassageAmbiguous, Primary)
	c.when(!f.Key, KeyUnavailable, Primary)
}
