package printer

import "strings"

// Faults is a set of what may be wrong with a printer.
type Faults uint8

// The faults. All but PaperLow keep a receipt from being printed.
const (
	Offline   Faults = 1 << iota // for a reason of its own, or one of those below
	CoverOpen                    //
	PaperOut                     //
	PaperLow                     // the roll is near its end; it prints
	Cutter                       // the cutter is stuck
	Broken                       // another error that the printer does not tell apart
)

// String lists the set: "offline, paper out".
func (f Faults) String() string {
	var names []string
	for i, name := range [...]string{"offline", "cover open", "paper out", "paper low", "cutter stuck", "broken"} {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Ready reports whether the printer prints.
func (f Faults) Ready() bool { return f&^PaperLow == 0 }

// questions is how many statuses DLE EOT n has: 1 printer, 2 cause of being
// offline, 3 cause of an error, 4 roll sensors.
const questions = 4

// isStatus reports whether a byte answers DLE EOT: bits 0 and 7 are off, bits 1
// and 4 on. No other answer and no flow control looks so.
func isStatus(b byte) bool { return b&0x93 == 0x12 }

// isPaper reports whether a byte answers GS r 1: bits 4 and 7 are off.
func isPaper(b byte) bool { return b&0x90 == 0 }

// faultsOf reads the answer to DLE EOT n.
func faultsOf(n int, b byte) (f Faults) {
	type bit struct {
		mask  byte
		means Faults
	}
	for _, x := range [...][]bit{
		1: {{0x08, Offline}},
		2: {{0x04, CoverOpen}, {0x20, PaperOut}, {0x40, Broken}},
		3: {{0x08, Cutter}, {0x20, Broken}, {0x40, Broken}},
		4: {{0x0c, PaperLow}, {0x60, PaperOut}},
	}[n] {
		if b&x.mask != 0 {
			f |= x.means
		}
	}
	return f
}

// answerOf is what a printer with these faults answers to DLE EOT n.
func answerOf(n int, f Faults) byte {
	b := byte(0x12)
	set := func(mask byte, when Faults) {
		if f&when != 0 {
			b |= mask
		}
	}
	switch n {
	case 1:
		set(0x08, ^PaperLow) // whatever is wrong, it is offline
	case 2:
		set(0x04, CoverOpen)
		set(0x20, PaperOut)
		set(0x40, Cutter|Broken)
	case 3:
		set(0x08, Cutter)
		set(0x20, Broken)
	case 4:
		set(0x0c, PaperLow|PaperOut)
		set(0x60, PaperOut)
	}
	return b
}
