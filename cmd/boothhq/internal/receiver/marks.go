package receiver

import (
	"math/rand/v2"
	"slices"

	"boothd/agent/contract"
)

// marks is which sequence numbers of one epoch are committed: all up to upto,
// and ranges above it, in order, apart and both ends included. What a booth has
// given up counts where it would part them (pass, join).
type marks struct {
	upto uint64
	have [][2]uint64
}

// find gives the range that holds seq, or where one would go.
func (m *marks) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(m.have, seq, func(r [2]uint64, s uint64) int {
		switch {
		case r[1] < s:
			return -1
		case r[0] > s:
			return 1
		}
		return 0
	})
}

// mostIslands bounds the ranges above the mark: a booth that sends every second
// number for ever would else cost more with every event. Ours sends in order.
const mostIslands = 10_000

// full tells whether j would be one range too many. There is room for tombstones
// left then: they are what closes holes.
func (m *marks) full(j judged) bool {
	most, seq := mostIslands, j.seq
	if j.gone != nil {
		most = 2 * mostIslands
	}
	if seq <= m.upto+1 || len(m.have) < most {
		return false
	}
	i, in := m.find(seq)
	below := i > 0 && m.have[i-1][1]+1 == seq
	above := i < len(m.have) && m.have[i][0] == seq+1
	return !in && !below && !above
}

func (m *marks) clone() marks { return marks{upto: m.upto, have: slices.Clone(m.have)} }

// add puts seq in.
func (m *marks) add(seq uint64) {
	if seq <= m.upto {
		return
	}
	i, in := m.find(seq)
	if in {
		return
	}
	below := i > 0 && m.have[i-1][1]+1 == seq
	above := i < len(m.have) && m.have[i][0] == seq+1
	switch {
	case below && above:
		m.have[i-1][1] = m.have[i][1]
		m.have = slices.Delete(m.have, i, i+1)
	case below:
		m.have[i-1][1] = seq
	case above:
		m.have[i][0] = seq
	default:
		m.have = slices.Insert(m.have, i, [2]uint64{seq, seq})
	}
	if len(m.have) > 0 && m.have[0][0] == m.upto+1 {
		m.upto = m.have[0][1]
		m.have = slices.Delete(m.have, 0, 1)
	}
}

// holes are the ranges between the mark and the highest number known, the
// lowest first, at most n.
func (m *marks) holes(n int) [][2]uint64 {
	var out [][2]uint64
	next := m.upto + 1
	for _, r := range m.have {
		if len(out) == n {
			break
		}
		out = append(out, [2]uint64{next, r[0] - 1})
		next = r[1] + 1
	}
	return out
}

// piece is how many numbers one range of highest holds at most: about as many as
// one tombstone gives up, so that few of them come before the one that tells.
const piece = 256

// highest are the holes in pieces, from the highest number down, at most n.
func (m *marks) highest(n int) (out [][2]uint64) {
	for i := len(m.have) - 1; i >= 0 && len(out) < n; i-- {
		from, to := m.upto+1, m.have[i][0]-1
		if i > 0 {
			from = m.have[i-1][1] + 1
		}
		for ; to >= from && len(out) < n; to = out[len(out)-1][0] - 1 {
			out = append(out, [2]uint64{max(from, to-min(to, piece)+1), to})
		}
	}
	return out
}

// asked is what a receipt asks for: the holes, or of too many the lowest and the
// highest, these from above. A booth that was full and whose headquarters knows
// nothing of it is a sieve: the lowest holes are never filled, and what explains
// them is above all of them.
func (m *marks) asked() [][2]uint64 {
	if len(m.have) <= mostRanges {
		return m.holes(mostRanges)
	}
	return append(m.holes(mostRanges/2), m.highest(mostRanges/2)...)
}

// join makes one range of those that nothing parts but numbers that are given up,
// which come in order.
func (m *marks) join(gone []uint64) {
	var out [][2]uint64
	for _, r := range m.have {
		if n := len(out); n > 0 && filled(gone, out[n-1][1]+1, r[0]-1) {
			out[n-1][1] = r[1]
			continue
		}
		out = append(out, r)
	}
	m.have = out
}

// filled tells whether all of from to to is among numbers in order.
func filled(gone []uint64, from, to uint64) bool {
	i, in := slices.BinarySearch(gone, from)
	return in && to-from < uint64(len(gone)-i) && gone[uint64(i)+to-from] == to
}

// missing counts what the holes hold.
func (m *marks) missing() uint64 {
	var n uint64
	for _, h := range m.holes(len(m.have)) {
		n += h[1] - h[0] + 1
	}
	return n
}

// last is the highest number known.
func (m *marks) last() uint64 {
	if len(m.have) == 0 {
		return m.upto
	}
	return m.have[len(m.have)-1][1]
}

// receipt says what is committed of an epoch. Of too many ranges it tells the
// lowest, the highest, where live events and what was asked for from above are,
// and of the others some: a booth waits for a word on all that it has sent.
func (m *marks) receipt(epoch string) contract.Receipt {
	have := m.have
	if len(have) > mostRanges {
		const lowest, highest, some = mostRanges / 2, mostRanges / 4, mostRanges - mostRanges/2 - mostRanges/4
		others := have[lowest : len(have)-highest]
		to := 1 + rand.IntN(len(others)+some-1) // so that each is as likely as any
		have = slices.Concat(have[:lowest], others[max(0, to-some):min(to, len(others))], have[len(have)-highest:])
	}
	return contract.Receipt{Epoch: epoch, Upto: m.upto, Have: have, Want: m.asked()}
}
