package main

import (
	"encoding/json"
	"strings"
	"testing"

	"boothd/buffer/journal"
)

func TestCompareFindsWhatIsNotOnBothSides(t *testing.T) {
	kept := journal.Stats{Last: 100}
	tests := []struct {
		name   string
		kept   journal.Stats
		report string
		want   summary
	}{
		{"all there", kept, `{"events":100}`, summary{Stored: 100, Sent: 100, Receipt: 100}},
		{"repeated on the wire", kept, `{"events":100,"booths":[{"epochs":[{"again":3},{"again":4}]}]}`, summary{Stored: 100, Sent: 107, Receipt: 100}},
		{"last ones on the way", journal.Stats{Last: 100, Waiting: 4, Alerts: 1}, `{"events":95}`, summary{Stored: 100, Sent: 95, Receipt: 95, Missing: 5}},
		{"a hole", kept, `{"events":99,"missing":1}`, summary{Stored: 100, Sent: 99, Receipt: 100, Missing: 1}},
		{"a hole and a number too many", kept, `{"events":100,"missing":1}`, summary{Stored: 100, Sent: 100, Receipt: 100, Missing: 1}},
		{"all there or given up", kept, `{"events":90,"thinned":10}`, summary{Stored: 100, Sent: 90, Receipt: 100}},
		{"given up and a hole", kept, `{"events":89,"thinned":10}`, summary{Stored: 100, Sent: 89, Receipt: 100, Missing: 1}},
		{"one event twice", kept, `{"events":100,"doubled":1}`, summary{Stored: 100, Sent: 100, Receipt: 100, Doubled: 1}},
		{"lost by the booth", kept, `{"events":102}`, summary{Stored: 100, Sent: 102, Receipt: 100, Unknown: 2}},
		{"other bytes", kept, `{"events":100,"conflicts":2}`, summary{Stored: 100, Sent: 100, Receipt: 100, Conflicts: 2}},
		{"refused", journal.Stats{Last: 100, Quarantined: 1}, `{"events":99,"rejected":1}`, summary{Stored: 100, Sent: 99, Receipt: 99, Missing: 1, Rejected: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r report
			if err := json.Unmarshal([]byte(tt.report), &r); err != nil {
				t.Fatal(err)
			}
			var s summary
			s.compare(tt.kept, r)
			got, _ := json.Marshal(s)
			want, _ := json.Marshal(tt.want)
			if string(got) != string(want) {
				t.Errorf("compare = %s\nwant      %s", got, want)
			}
			clean := strings.HasPrefix(tt.name, "all") || strings.HasPrefix(tt.name, "repeated")
			if err := (&demo{sum: s}).verdict(); (err == nil) != clean {
				t.Errorf("verdict = %v", err)
			}
		})
	}
}

// Others read the last line: its names are a contract.
func TestSummaryHasItsNames(t *testing.T) {
	b, err := json.Marshal(summary{Outcomes: map[string]int{"100": 2}, Latency: latencyOf([]int64{3})})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"passages", "outcomes", "stored", "sent", "receipted", "missing", "doubled", "latency_us"} {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is not in %s", name, b)
		}
	}
	for _, name := range []string{"p50", "p99", "max"} {
		if got["latency_us"].(map[string]any)[name] != 3.0 {
			t.Errorf("latency_us.%s in %s", name, b)
		}
	}
}
