package agent

import (
	"testing"
	"testing/synctest"
	"time"
)

// asks tells whether bulk work is asked to wait.
func (c *courtesy) asks() bool { return c.asked() != nil }

// While a vehicle's decision is awaited at the booth bulk work stands aside; from
// when it is let go it goes on.
func TestBulkStandsAsideForWhoIsAtTheBooth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func() {
			b.point("approach_loop", true)
			b.tag(goodCard)
			b.plate(goodPlate)
			b.point("approach_loop", false)
			if b.lane.courtesy.asks() {
				t.Error("bulk work waits for a vehicle that is not there yet")
			}
			b.point("booth_loop", true)
			over := b.lane.courtesy.asked()
			if over == nil {
				t.Fatal("bulk work goes on while a vehicle stands at the booth")
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if !b.lane.courtesy.asks() {
				t.Error("bulk work goes on before the vehicle is let go")
			}
			b.press("release")
			select {
			case <-over:
			default:
				t.Error("bulk work that waits is not told that the vehicle is let go")
			}
			if b.lane.courtesy.asks() {
				t.Error("bulk work waits for a vehicle that is let go")
			}
			b.leave()
		})
	})
}

// A lane that stands still, or a vehicle that waits for minutes, holds up bulk
// work for half a second and no second time.
func TestI5_BulkGoesOnThoughTheLaneStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func() {
			b.arrive(otherCard) // in no list: it waits for its officer
			over := b.lane.courtesy.asked()
			b.slow.Store(int64(time.Hour)) // and the lane for its disk, as often as that lets it
			began := time.Now()
			<-over
			if took := time.Since(began); took != courtesyMost {
				t.Errorf("bulk work waited %v, want %v", took, courtesyMost)
			}
			for range 100 {
				time.Sleep(100 * time.Millisecond)
				b.tag(goodCard)
				if b.lane.courtesy.asks() {
					t.Fatal("bulk work waits twice for one vehicle")
				}
			}
		})
	})
}

// Vehicles by the dozen a second, as a broken loop has them, leave bulk work half
// of the time.
func TestI5_AChatteringLoopLeavesBulkWorkItsHalf(t *testing.T) {
	for _, every := range []time.Duration{20 * time.Millisecond, 300 * time.Millisecond, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var c courtesy
			began, waited := time.Now(), time.Duration(0)
			for range 1000 {
				c.begin(time.Now())
				next := time.After(every)
				from := time.Now()
				select {
				case <-c.asked():
					waited += time.Since(from)
					<-next
				case <-next:
					waited += every
				}
			}
			most := min(time.Since(began)/2, 1000*courtesyMost) + courtesyMost // the first is not of a row
			if waited > most || waited < most-courtesyMost {
				t.Errorf("every %v: bulk work waited %v of %v", every, waited, time.Since(began))
			}
		})
	}
}

// What a booth builds is what stands aside: its lists and its backlog.
func TestBoothsBulkWorkStandsAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		b := build(r.cfg, r.world)
		b.lane.courtesy.begin(time.Now())
		for name, asked := range map[string]func() <-chan struct{}{"lists": b.shelf.pace.Aside, "backlog": b.line(nil).Aside} {
			if asked == nil || asked() == nil {
				t.Errorf("the %s do not stand aside", name)
			}
		}
	})
}
