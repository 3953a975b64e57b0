package receiver

import (
	"slices"

	"boothd/agent/contract"
)

// marks is which sequence numbers of one epoch are committed: all up to upto,
// and ranges above it, in order, apart and both ends included.
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

// full tells whether seq would be one range too many.
func (m *marks) full(seq uint64) bool {
	if seq <= m.upto+1 || len(m.have) < mostIslands {
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

// receipt says what is committed of an epoch.
func (m *marks) receipt(epoch string) contract.Receipt {
	return contract.Receipt{Epoch: epoch, Upto: m.upto, Have: m.have[:min(len(m.have), mostRanges)], Want: m.holes(mostRanges)}
}
