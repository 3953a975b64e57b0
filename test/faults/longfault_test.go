package faults

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"boothd/buffer/journal"
)

// pulse is how often a lane asks a journal that has failed.
const pulse = 500 * time.Millisecond

// However long nothing could be written, the journal stores within 5 s of the
// fault's end, at the pulse of a lane; and a fault that lasts for one call alone
// costs it no more because there were others before.
func TestI4_StoresSoonAfterALongFault(t *testing.T) {
	for _, kind := range []Kind{Write, Sync} {
		t.Run(kind.String(), func(t *testing.T) {
			dir := scratch(t)
			b := &breaker{fault: fault{kind: kind, answer: Answer{Err: syscall.EIO}}, n: 1, last: true, mended: true}
			stop, err := Watch(dir, b.Break)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			synctest.Test(t, func(t *testing.T) {
				j, _, err := journal.Open(t.Context(), dayConfig(dir))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := j.Close(); err != nil {
						t.Error(err)
					}
				}()
				back := func() time.Duration {
					for began := time.Now(); ; time.Sleep(pulse) {
						if took := time.Since(began); attempt(t.Context(), booth{j, func(any) {}}, "again") == nil || took > time.Minute {
							return took
						}
					}
				}
				for _, lasts := range []time.Duration{time.Second, time.Minute, time.Hour} {
					b.again(true)
					for began := time.Now(); time.Since(began) < lasts; time.Sleep(pulse) {
						if attempt(t.Context(), booth{j, func(any) {}}, "within") == nil {
							t.Error("stored while nothing could be")
						}
					}
					b.mend()
					if took := back(); took > recovery {
						t.Errorf("%v after a fault of %v", took, lasts)
					}
				}
				for range 20 {
					b.again(false)
					if attempt(t.Context(), booth{j, func(any) {}}, "once") == nil {
						t.Error("stored though a call failed")
					}
					if b.mend(); back() > pulse {
						t.Error("a single fault costs more than others have before it")
					}
					time.Sleep(time.Minute)
				}
			})
		})
	}
}

// again lets the next call fail, and those behind it if it is to last.
func (b *breaker) again(last bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen, b.last, b.mended = 0, last, false
}
