package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOutageReadsHowLongAndWhen(t *testing.T) {
	for text, want := range map[string]outage{
		"3s":       {3 * time.Second, -1},
		"3s@5s":    {3 * time.Second, 5 * time.Second},
		"500ms@0s": {500 * time.Millisecond, 0},
	} {
		var got outage
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "3", "-3s", "0s", "3s@", "3s@-1s", "@5s", "11m", "3s@5s@7s"} {
		var got outage
		if err := got.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), `such as "`) || got != (outage{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// A run that is bounded by its time drives far fewer vehicles than are planned:
// its faults come all the same.
func TestFaultsComeInARunOfTime(t *testing.T) {
	d := &demo{For: 20 * time.Second, plan: make([]vehicle, 5000)}
	f := planFaults(1, 5, outage{3 * time.Second, -1})
	kills, cut := 0, false
	for i := range 7 {
		way := d.way(i, time.Duration(i)*3*time.Second)
		kills += f.due(way)
		cut = cut || way >= f.cutAt
	}
	if kills != 5 || !cut {
		t.Errorf("%d kills, cut %t", kills, cut)
	}
}

func TestFaultsAreTheSameForASeed(t *testing.T) {
	a, b, c := planFaults(7, 5, outage{}), planFaults(7, 5, outage{}), planFaults(8, 5, outage{})
	if !slices.Equal(a.kills, b.kills) || slices.Equal(a.kills, c.kills) {
		t.Errorf("%v, %v, %v", a.kills, b.kills, c.kills)
	}
	if a.due(1) != 5 || a.due(1) != 0 {
		t.Error("a kill is due twice, or never")
	}
}

// What was asked for and did not happen fails the run.
func TestFaultsThatDidNotHappenAreAnError(t *testing.T) {
	cut := outage{3 * time.Second, -1}
	f := planFaults(1, 2, cut)
	if err := f.undone(cut); err == nil || !strings.Contains(err.Error(), "2 kills") || !strings.Contains(err.Error(), "not cut") {
		t.Errorf("undone = %v", err)
	}
	f.due(1)
	f.cuts = 1
	if err := f.undone(cut); err != nil {
		t.Error(err)
	}
	if err := planFaults(1, 0, outage{}).undone(outage{}); err != nil {
		t.Error(err)
	}
}

func isDown(n *network) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// The network is back when its time is over, or at once when the run is stopped.
func TestCutEnds(t *testing.T) {
	for name, stop := range map[string]bool{"by itself": false, "when stopped": true} {
		synctest.Test(t, func(t *testing.T) {
			d := &demo{Cut: outage{time.Minute, 5 * time.Second}, net: &network{}, faults: planFaults(1, 0, outage{})}
			began := time.Now()
			d.faults.back.Go(func() { d.cutLater(context.Background()) })
			time.Sleep(6 * time.Second)
			synctest.Wait()
			if !isDown(d.net) || d.faults.cuts != 1 {
				t.Errorf("%s: not cut after its time", name)
			}
			if stop {
				d.faults.mend()
			}
			d.faults.back.Wait()
			want := 65 * time.Second
			if stop {
				want = 6 * time.Second
			}
			if took := time.Since(began); took != want || isDown(d.net) {
				t.Errorf("%s: back after %v (down %t), want %v", name, took, isDown(d.net), want)
			}
		})
	}
}
