package uplinktest

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"boothd/agent/contract"
	"boothd/agent/uplink"
)

// Memory is a journal that keeps nothing: an uplink.Source for tests of the
// link alone.
type Memory struct {
	epoch string
	bell  chan struct{}

	mu       sync.Mutex // the test appends while the uplink reads
	rows     []uplink.Record
	live     map[uint64]bool
	alert    map[uint64]bool
	receipt  map[uint64]bool
	rejected map[uint64]string
	online   bool
	receipts int
}

// NewMemory makes an empty journal.
func NewMemory(epoch string) *Memory {
	return &Memory{
		epoch: epoch, bell: make(chan struct{}, 1), live: make(map[uint64]bool), alert: make(map[uint64]bool),
		receipt: make(map[uint64]bool), rejected: make(map[uint64]string),
	}
}

// Append stores rows that the body function makes of their sequence numbers.
func (m *Memory) Append(class contract.Class, n int, body func(seq uint64, live bool) []byte) {
	m.mu.Lock()
	for range n {
		seq := uint64(len(m.rows) + 1)
		m.live[seq] = m.online
		m.alert[seq] = class == contract.ClassSecurity
		m.rows = append(m.rows, uplink.Record{Seq: seq, Class: string(class), Body: body(seq, m.online)})
	}
	m.mu.Unlock()
	select {
	case m.bell <- struct{}{}:
	default:
	}
}

// Epoch names the journal's life.
func (m *Memory) Epoch() string { return m.epoch }

// Last is the highest sequence number.
func (m *Memory) Last() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.rows))
}

// Pending reads rows of a lane.
func (m *Memory) Pending(_ context.Context, q uplink.Query) ([]uplink.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []uplink.Record
	for i := q.After; i < uint64(len(m.rows)) && len(out) < q.Limit; i++ {
		seq := m.rows[i].Seq
		lane := uplink.Backlog
		switch {
		case m.alert[seq]:
			lane = uplink.Alerts
		case m.live[seq]:
			lane = uplink.Live
		}
		if lane == q.Lane && !m.receipt[seq] && m.rejected[seq] == "" {
			out = append(out, m.rows[i])
		}
	}
	return out, nil
}

// Range reads rows whatever their state.
func (m *Memory) Range(_ context.Context, from, to uint64) iter.Seq2[uplink.Record, error] {
	return func(yield func(uplink.Record, error) bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i := max(from, 1); i <= min(to, uint64(len(m.rows))); i++ {
			if !yield(m.rows[i-1], nil) {
				return
			}
		}
	}
}

// Receipted notes what headquarters has.
func (m *Memory) Receipted(_ context.Context, r contract.Receipt) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.receipts++
	have := append([][2]uint64{{1, r.Upto}}, r.Have...)
	for _, x := range have {
		for seq := x[0]; seq <= x[1]; seq++ {
			m.receipt[seq] = true
		}
	}
	for _, x := range r.Reject {
		m.rejected[x.Seq] = x.Code
	}
	return nil
}

// Bell rings after Append.
func (m *Memory) Bell() <-chan struct{} { return m.bell }

// SetOnline decides whether rows are live. Rows stored before count as backlog.
func (m *Memory) SetOnline(online bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.online = online; !online {
		clear(m.live)
	}
}

// Online tells what SetOnline said last.
func (m *Memory) Online() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.online
}

// Receipts gives every receipted sequence number, in order, and how many
// receipts came.
func (m *Memory) Receipts() ([]uint64, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.receipt)), m.receipts
}

// Rejected gives the code with which a row was refused, "" if it was not.
func (m *Memory) Rejected(seq uint64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rejected[seq]
}
