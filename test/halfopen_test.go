package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"boothd/agent/status"
	"boothd/test/long"
)

// A router between a booth and headquarters loses packets and tells nobody, as a
// broken line or a firewall that has forgotten its connections does: all of them,
// or those to the booth alone. The lane does not notice; the booth finds the link
// dead by itself, comes back when packets pass again, and headquarters has every
// event once. Without BOOTHD_LONG the loss ends before the link is given up.
func TestI4I5_PacketsAreDroppedInSilence(t *testing.T) {
	t.Parallel() // it waits most of the time
	if !inOwnNetwork(t) {
		return
	}
	w, a := newWire(t), newCertifier(t)
	broker, _ := recorded(t, a.listener(centerIP, 8883)...)
	c := newCenterOn(t, broker)
	const id = "half-open"
	cert, key := a.client(id)
	k := &faulted{killing: &killing{rand: rand.New(rand.NewPCG(1, 1)), pace: 4, post: newPost(t, c, id,
		`# light_mode = "staffed"`, `light_mode = "auto"`, `["ssl://hq-a:8883", "ssl://hq-b:8883"]`, `["ssl://`+centerIP+`:8883"]`,
		"\nca = \"/etc/boothd/tls/ca.pem\"", "\nca = \""+a.ca+`"`, "\ncert = \"/etc/boothd/tls/booth.pem\"", "\ncert = \""+cert+`"`,
		"\nkey = \"credential:mqtt-key\"", "\nkey = \""+key+`"`)}}
	k.within, k.gap = w.booth, k.idle
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { k.watch(ctx) })
	k.open()
	road, end := context.WithCancel(ctx)
	var traffic sync.WaitGroup
	traffic.Go(func() { k.traffic(road) })
	linked := func(p status.Picture) bool { return p.Outbox.Link }
	k.await("linked", linked)
	for _, lost := range [][]string{{boothIP, centerIP}, {boothIP}} {
		w.lose(lost...)
		began := time.Now()
		for range 3 {
			k.expeditedSoon(t, fmt.Sprintf("with packets to %v lost", lost))
		}
		k.awaitFor(3*time.Minute, "without receipts", func(p status.Picture) bool { return p.Outbox.OldestMS > 3_000 })
		if long.Times() > 0 {
			// Keepalive 25 s and 10 s for its answer (mqtt contract, section 5); the
			// kernel by itself would take a quarter of an hour.
			k.awaitFor(5*time.Minute, "found apart", func(p status.Picture) bool { return !linked(p) })
			t.Logf("packets to %v lost: found after %v", lost, time.Since(began).Round(100*time.Millisecond))
			k.expeditedSoon(t, "apart")
		}
		w.lose()
		mended := time.Now()
		k.awaitFor(5*time.Minute, "linked again, and little waits", func(p status.Picture) bool {
			return linked(p) && p.Outbox.OldestMS < 2_000
		})
		t.Logf("linked and receipted again %v after the end", time.Since(mended).Round(100*time.Millisecond))
	}
	end()
	traffic.Wait()
	if stored, got := k.rest(), c.tally(); got != (tally{Events: stored}) {
		t.Errorf("I4: headquarters has %+v of %d", got, stored)
	}
	stop()
	all.Wait()
	k.look(false)
}

// expeditedSoon wants a vehicle from now on to be expedited.
func (k *faulted) expeditedSoon(t *testing.T, when string) {
	t.Helper()
	if now := time.Now(); !k.until(3*time.Minute, func() bool { return k.expedited(now) }) {
		t.Fatalf("I5: nobody is expedited %s", when)
	}
}
