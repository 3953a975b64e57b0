package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// urgent is how soon a denial is in force at a booth that is connected.
const urgent = 2 * time.Second

// An urgent lookout rides in the metadata and is in force at once, also at a
// booth where other lookouts have expired and left the box since its list came:
// neither the whole list nor a part of it is asked for.
func TestI6_AnUrgentLookoutIsInForceAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, mosquitto(t))
	o.start("120s")
	o.await(1)
	o.serve()
	csv := filepath.Join(o.dir, "csv", "lookouts.csv")
	b, err := os.ReadFile(csv)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	all.WriteString(strings.TrimSpace(string(b)) + "\n")
	look := func(id string, until time.Time) {
		fmt.Fprintf(&all, "%s,1,PLATE,URG%s,ON,STOP,CUSTOMS,,CBSA,,no,%s,%s\n", id, id[1:], time.Now().UTC().Add(-time.Hour).Format(time.RFC3339), until.UTC().Format(time.RFC3339))
		if err := os.WriteFile(csv, []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		o.build()
	}
	log := func() string {
		b, err := os.ReadFile(filepath.Join(o.dir, "boothd.log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for i := range 300 { // more than would ride in the metadata
		fmt.Fprintf(&all, "M%04d,1,PLATE,MNY%04d,ON,OBSERVE,CUSTOMS,,CBSA,,no,%s,%s\n", i, i, time.Now().UTC().Add(-time.Hour).Format(time.RFC3339), time.Now().UTC().AddDate(0, 0, 60).Format(time.RFC3339))
	}
	expires := time.Now().Add(time.Second)
	look("X0001", expires)
	o.awaitOf("lookouts", 2)
	time.Sleep(time.Until(expires.Add(time.Second))) // it ends at a full second; whatever is taken then has it purged
	look("X0002", time.Now().AddDate(0, 0, 60))
	o.awaitOf("lookouts", 3)
	for end := time.Now().Add(30 * time.Second); !strings.Contains(log(), "expired lookouts purged"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the lookout never left")
		}
	}
	from := len(log())
	best := time.Hour
	for n := range uint64(3) {
		look(fmt.Sprintf("X%04d", 10+n), time.Now().AddDate(0, 0, 60))
		published := time.Now()
		o.awaitOf("lookouts", 4+n)
		took := time.Since(published)
		best = min(best, took)
		t.Logf("in force %v after it was published", took.Round(time.Millisecond))
	}
	if strings.Contains(log()[from:], "not here yet") {
		t.Errorf("the list was asked for: %s", log()[from:])
	}
	if best > urgent {
		t.Errorf("no denial of three was in force within %v", urgent)
	}
}
