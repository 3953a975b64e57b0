package uplink_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
)

// slow is a journal on a disk that takes its time for the bulk: pages of the
// backlog, as they were when they were asked for, and receipts.
type slow struct {
	*uplinktest.Memory
	page, receipt time.Duration
}

func (s slow) Pending(ctx context.Context, q uplink.Query) ([]uplink.Record, error) {
	rows, err := s.Memory.Pending(ctx, q)
	if q.Lane == uplink.Backlog {
		if err := wait(ctx, s.page); err != nil {
			return nil, err
		}
	}
	return rows, err
}

func (s slow) Receipted(ctx context.Context, r contract.Receipt) error {
	if err := wait(ctx, s.receipt); err != nil {
		return err
	}
	return s.Memory.Receipted(ctx, r)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// However long the journal takes for a receipt or for the backlog, an alert and
// a live event are out at once, and a stop does not wait.
func TestI5_ASlowDiskHoldsUpNoAlert(t *testing.T) {
	for name, on := range map[string]slow{
		"noting a receipt":    {receipt: time.Hour},
		"reading the backlog": {page: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := uplinktest.NewBroker(t)
				h := headquarters(b, 0)
				b.Down(true)
				l := startOn(t, b.Dial, nil, func(m *uplinktest.Memory) uplink.Source { on.Memory = m; return on })
				l.mem.Append(contract.ClassAudit, 1000, body)
				time.Sleep(time.Minute)
				b.Down(false)
				l.connected()
				time.Sleep(10 * time.Second) // a receipt and a page are under way
				before := len(h.order())
				l.mem.Append(contract.ClassSecurity, 1, body)
				l.mem.Append(contract.ClassCrossing, 1, body)
				time.Sleep(100 * time.Millisecond)
				for _, seq := range []uint64{1001, 1002} {
					if !slices.Contains(h.order()[before:], seq) {
						t.Errorf("event %d waits for the disk", seq)
					}
				}
				l.endsSoon(t)
				h.end()
				b.Close()
			})
		})
	}
}

// A page of the backlog that a receipt has overtaken is not sent: headquarters
// has those.
func TestI4_APageThatAReceiptOvertakesIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		b.Down(true)
		l := startOn(t, b.Dial, nil, func(m *uplinktest.Memory) uplink.Source { return slow{Memory: m, page: 5 * time.Second} })
		l.mem.Append(contract.ClassAudit, 100, body)
		time.Sleep(time.Minute)
		h := headquarters(b, 0)
		h.end() // it only listens
		b.Down(false)
		l.connected()
		b.Publish(contract.ReceiptTopic(booth), true, []byte(`{"epoch":"`+epoch+`","upto":60,"have":[[71,80]],"rate":1000,"at":"2026-11-23T07:15:02Z"}`))
		time.Sleep(30 * time.Second)
		for seq := uint64(1); seq <= 100; seq++ {
			want := 1
			if seq <= 60 || 71 <= seq && seq <= 80 {
				want = 0
			}
			if got := h.times(seq); got != want {
				t.Errorf("event %d came %d times, want %d", seq, got, want)
			}
		}
		l.end()
		b.Close()
	})
}
