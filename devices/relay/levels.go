package relay

import "math/bits"

// channelMost is the highest channel: the largest boards sold have 48.
const channelMost = 64

// levels is the state of a board's channels; bit n is channel n+1.
type levels uint64

// first is all channels up to n.
func first(n int) levels {
	if n >= channelMost {
		return ^levels(0)
	}
	return 1<<n - 1
}

func (l levels) on(channel int) bool { return l>>(channel-1)&1 == 1 }

func (l levels) with(channel int, on bool) levels {
	if on {
		return l | 1<<(channel-1)
	}
	return l &^ (1 << (channel - 1))
}

// highest is the highest channel in l, 0 for none.
func (l levels) highest() int { return bits.Len64(uint64(l)) }

// lowest is the lowest channel in l, which is not empty.
func (l levels) lowest() int { return bits.TrailingZeros64(uint64(l)) + 1 }

// contiguous tells whether the channels in l, which is not empty, have no gap.
func (l levels) contiguous() bool { return bits.OnesCount64(uint64(l)) == l.highest()-l.lowest()+1 }

// each yields the channels in l, lowest first.
func (l levels) each(yield func(channel int) bool) {
	for ; l != 0; l &= l - 1 {
		if !yield(l.lowest()) {
			return
		}
	}
}
