package devicestest

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

// frugal is what a parser may allocate for a frame; ours, from a box of 512 MiB
// on which a dozen devices may babble at once.
const frugal = 64 << 10 // bytes

// Frugal wants what a parser allocates for bytes, whatever they are, to be at
// most 64 KiB for each frame that it finds in them, and as much for what is no
// frame. take parses them all and tells how many frames it found.
func Frugal(t testing.TB, take func() (frames int)) {
	t.Helper()
	FrugalBeside(t, 0, take)
}

// FrugalBeside is Frugal for a protocol whose own frames may be larger than 64
// KiB: beside those of each frame, so many bytes may hold what has come of it.
func FrugalBeside(t testing.TB, held int, take func() (frames int)) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	frames := take()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(frames+1)*frugal+uint64(held) {
		t.Fatalf("%d bytes allocated for %d frames, beside %d", n, frames, held)
	}
}

// NoAllocationPerByte wants a parser to allocate nothing for bytes of which no
// frame can be made: starts, and what no text has.
func NoAllocationPerByte(t *testing.T, starts string, feed func(b []byte)) {
	t.Helper()
	dice := rand.New(rand.NewPCG(64, 10))
	noise := make([]byte, 10_000)
	for i := range noise {
		if noise[i] = 0x80 | byte(dice.Uint32()); dice.IntN(20) == 0 {
			noise[i] = starts[dice.IntN(len(starts))]
		}
	}
	feed(noise) // a buffer is made once
	if n := testing.AllocsPerRun(10, func() { feed(noise) }); n != 0 {
		t.Errorf("%v allocations for %d bytes", n, len(noise))
	}
}
