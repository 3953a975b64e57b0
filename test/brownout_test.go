package test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"boothd/agent/status"
	"boothd/test/long"
)

// boothd is killed (-9) in one start after another, as a mains that comes and goes
// does it, while vehicles come: each start goes on with what the one before has
// left, and in the end the booth has its lists and headquarters every event once.
func TestI2I4I6I9_KilledInOneStartAfterAnother(t *testing.T) {
	t.Parallel() // it waits most of the time
	kills := 12
	if n := long.Times(); n > 0 {
		kills = 50 * n
	}
	c := newCenter(t)
	k := &killing{post: newPost(t, c, "brown-out", `# light_mode = "staffed"`, `light_mode = "auto"`), rand: rand.New(rand.NewPCG(1, 0xb0)), pace: 4}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { k.watch(ctx) })
	k.open()
	k.kill()
	k.start()
	k.await("answering", func(status.Picture) bool { return true })
	takes := time.Since(k.began)
	road, end := context.WithCancel(ctx)
	var traffic sync.WaitGroup
	traffic.Go(func() { k.traffic(road) })
	for range kills {
		k.kill()
		k.look(false)
		k.start()
		time.Sleep(time.Duration(k.rand.Int64N(int64(takes)))) // the point of the kill is what is tried
	}
	p := k.await("healthy", healthy)
	for _, l := range p.Lists {
		if l.Generation != 1 || l.State != status.Fresh {
			t.Errorf("I6: after all, %+v is in force", l)
		}
	}
	if len(p.Lists) < 3 {
		t.Errorf("lists: %+v", p.Lists)
	}
	end()
	traffic.Wait()
	if stored, got := k.rest(), c.tally(); got != (tally{Events: stored}) {
		t.Errorf("I4: headquarters has %+v of %d", got, stored)
	}
	stop()
	all.Wait()
	k.look(false)
	replays(t, k.dir)
	t.Logf("%d kills within %v of a start, %d of which came as far as the lamps", kills, takes, k.starts)
}
