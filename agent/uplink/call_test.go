package uplink_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
)

// What is called for comes, retained or later, and nothing else of its
// subscription does; once it is given up nothing more comes.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		defer b.Close()
		const base = "list/v1/cards/part/"
		b.Publish(base+"a", true, []byte("retained"))
		b.Publish(base+"b", true, []byte("nobody asks"))
		var mu sync.Mutex
		asked := ""
		b.Listen("booth/v1/+/want/list", func(topic string, payload []byte) {
			mu.Lock()
			defer mu.Unlock()
			asked += topic + " " + string(payload)
		})
		in, calls := make(chan uplink.Message, 8), make(chan uplink.Call)
		l := start(t, b.Dial, func(c *uplink.Config) {
			c.Inbound = []uplink.Subscription{{Filter: base + "+", C: in, OnCall: true}}
			c.Calls = calls
		})
		defer l.end()
		synctest.Wait()
		if len(in) != 0 {
			t.Fatalf("%d messages came uncalled", len(in))
		}
		const want = "booth/v1/" + booth + "/want/list"
		calls <- uplink.Call{Subscribe: []string{base + "a", base + "c"}, Topic: want, Body: []byte("c")}
		if m := <-in; m.Topic != base+"a" || string(m.Payload) != "retained" {
			t.Errorf("%s came: %q", m.Topic, m.Payload)
		}
		synctest.Wait()
		b.Publish(base+"c", false, []byte("answer"))
		if m := <-in; m.Topic != base+"c" || string(m.Payload) != "answer" {
			t.Errorf("%s came: %q", m.Topic, m.Payload)
		}
		calls <- uplink.Call{Unsubscribe: []string{base + "a", base + "c"}}
		time.Sleep(time.Second)
		b.Publish(base+"c", false, []byte("for others"))
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(in) != 0 || asked != want+" c" || l.Status().Conn != 1 {
			t.Errorf("%d messages came after the end; asked %q; connection %d", len(in), asked, l.Status().Conn)
		}
	})
}
