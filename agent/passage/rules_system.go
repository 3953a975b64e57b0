package passage

// RequiredLists are the list kinds that such a lane cannot do without, in
// order; none for a lane type that is none.
func RequiredLists(pol Policy) []string {
	switch pol.Lane {
	case NEXUS, NEXUSAir:
		if pol.Documents {
			return []string{"cards", "documents", "lookouts", "members"}
		}
		return []string{"cards", "lookouts", "members"}
	case FAST:
		if pol.Documents {
			return []string{"cards", "carriers", "containers", "documents", "importers", "lookouts", "members", "trips", "vehicles"}
		}
		return []string{"cards", "carriers", "containers", "importers", "lookouts", "members", "trips", "vehicles"}
	case Ready, General:
		return []string{"cards", "containers", "lookouts", "members"}
	}
	return nil
}

// Rows 200 to 214.
func (c *weighing) system() {
	f, ev, pol := c.f, c.ev, c.pol
	c.when(ev.Closed, LaneClosed)
	sound := f.Config && pol.Port != "" && (pol.Direction == ToCanada || pol.Direction == ToUS) &&
		pol.RandomRate >= 0 && pol.RandomRate <= 1 &&
		(pol.Lane != FAST || pol.FAST == CSAAndPIP || pol.FAST == PIPOrBoth || pol.FAST == CTPAT)
	c.when(!sound, LaneConfigInvalid)
	c.when(!trusted(f.Clock), ClockUntrusted)
	for _, kind := range RequiredLists(pol) {
		l, ok := listOf(f.Lists, kind)
		c.when(!ok || l.Generation == 0, ListMissing)
		stale := l.Age < 0 || l.Age > pol.HardAge
		c.when(ok && stale, ListStale)
		c.when(ok && l.Rejected, ListRejected)
		c.when(ok && !stale && l.Age > pol.SoftAge, ListAging)
	}
	c.when(!f.Store, StoreFault)
	c.when(!f.Readers, ReaderFault)
	c.when(!f.LPR && pol.PlatePresent, LPRFault)
	c.when(!f.Presence || ev.Presence || ev.WrongWay, PresenceFault)
	// 210: late, or a value that these rules do not know.
	c.when(f.Late || f.Clock > ClockSynced || ev.State > Clearing || f.Now.IsZero(), DecisionTimeout)
	c.when(!f.Signals, SignalFault)
	c.when(ev.Ambiguous, PassageAmbiguous)
	c.when(!f.Key, KeyUnavailable)
}
