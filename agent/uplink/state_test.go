package uplink_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
)

// A state that cannot be told costs no event and no other state.
func TestAStateThatCannotBeToldHoldsUpNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		h := headquarters(b, 0)
		l := start(t, b.Dial, func(c *uplink.Config) {
			c.State = func() contract.State {
				return contract.State{Health: contract.StateHealth{At: time.Now().UTC(), Devices: []contract.DeviceHealth{{Name: "r1", Reason: "\xff"}}}}
			}
		})
		l.mem.Append(contract.ClassAudit, 10, body)
		time.Sleep(5 * time.Minute)
		if n := l.receipted(); n != 10 {
			t.Errorf("%d of 10 events are at headquarters", n)
		}
		if b.Retained(contract.ListsTopic(booth)) == nil || b.Retained(contract.InfoTopic(booth)) == nil {
			t.Error("the other states were not told")
		}
		if words := l.noticed(); !slices.Equal(words, []string{"state_unsaid"}) {
			t.Errorf("noticed: %v", words)
		}
		if s := l.Status(); !s.Connected || s.Conn != 1 {
			t.Errorf("after five minutes connected %v, the %dth time", s.Connected, s.Conn)
		}
		l.end()
		h.end()
		b.Close()
	})
}
