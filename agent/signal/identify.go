package signal

import "time"

// IdentifyFor is how long a booth shows which one it is.
const IdentifyFor = 15 * time.Second

// identifyBlinks differ from every rhythm of the health lamp.
const identifyBlinks = 3

// Identify lets the officer's health lamp blink three times and pause, so that
// somebody before several booths finds the one that headquarters means. A booth
// that is out goes on saying so, and READY n keeps its blinks: nothing that the
// officer acts by is hidden for it.
func Identify(a Aspects) Aspects {
	if a.OfficerHealth == Fast || a.Count > 0 {
		return a
	}
	a.OfficerHealth, a.Count = Blinks, identifyBlinks
	return a
}
