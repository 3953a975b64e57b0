package receiver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"boothd/agent/contract"
)

func TestWhatABoothSaysOfItself(t *testing.T) {
	var log bytes.Buffer
	r := &Receiver{cfg: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	old := `{"at":"2026-11-20T12:00:00Z","secret":"AB123"}`
	on := contract.Status{S: "online", Conn: 4, Boot: "b", At: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Version: "1"}
	future := `{"at":"2026-11-25T12:00:00Z"}`
	for _, tt := range []struct {
		name string
		m    message
		mine bool
		want map[string]Said
		log  string
	}{
		{"an event", message{topic: contract.EventTopic(boothA, contract.ClassAudit), body: []byte("{}")}, false, nil, ""},
		{"a state", message{topic: contract.HealthTopic(boothA), body: []byte(old)}, true,
			map[string]Said{boothA: {State: map[string]State{"health": {[]byte(old), noon}}}}, ""},
		{"a state that the broker had kept", message{topic: contract.ListsTopic(boothA), body: []byte(old), kept: true}, true,
			map[string]Said{boothA: {State: map[string]State{"lists": {[]byte(old), time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}}}}, ""},
		{"one of a clock that is ahead", message{topic: contract.InfoTopic(boothA), body: []byte(future), kept: true}, true,
			map[string]Said{boothA: {State: map[string]State{"info": {[]byte(future), noon}}}}, ""},
		{"a state that was cleared", message{topic: contract.HealthTopic(boothA)}, true, nil, ""},
		{"a torn state", message{topic: contract.HealthTopic(boothA), body: []byte(old[:30])}, true, nil, "malformed state"},
		{"no object", message{topic: contract.HealthTopic(boothA), body: []byte(`["AB123"]`)}, true, nil, "malformed state"},
		{"a state that is too big", message{topic: contract.HealthTopic(boothA), body: []byte(`{"x":"` + strings.Repeat("x", contract.MaxState) + `"}`)}, true, nil, "malformed state"},
		{"another kind of state", message{topic: "booth/v1/" + boothA + "/state/other", body: []byte(old)}, false, nil, ""},
		{"another level", message{topic: contract.HealthTopic(boothA) + "/x", body: []byte(old)}, false, nil, ""},
		{"no booth", message{topic: contract.HealthTopic("HQ-receiver"), body: []byte(old)}, false, nil, ""},
		{"presence", message{topic: contract.StatusTopic(boothA), body: []byte(`{"s":"online","conn":4,"bootid":"b","at":"2026-11-20T12:00:00Z","v":"1"}`)}, true,
			map[string]Said{boothA: {Status: &on, Came: []contract.Status{on}}}, ""},
		{"presence that the broker had kept", message{topic: contract.StatusTopic(boothA), body: []byte(`{"s":"online","conn":4,"bootid":"b","at":"2026-11-20T12:00:00Z","v":"1"}`), kept: true}, true,
			map[string]Said{boothA: {Status: &on}}, ""},
		{"torn presence", message{topic: contract.StatusTopic(boothA), body: []byte(`{"s":"here","v":"AB123"}`)}, true, nil, "malformed status"},
		{"presence that was cleared", message{topic: contract.StatusTopic(boothA)}, true, nil, ""},
	} {
		log.Reset()
		said := make(map[string]Said)
		if mine := r.hear(said, tt.m, noon); mine != tt.mine || !strings.Contains(log.String(), tt.log) || (tt.log == "") != (log.Len() == 0) {
			t.Errorf("%s: hear = %v, log %q", tt.name, mine, &log)
		}
		if strings.Contains(log.String(), "AB123") {
			t.Errorf("%s: the log quotes what was sent: %s", tt.name, &log)
		}
		if tt.want == nil {
			tt.want = map[string]Said{}
		}
		if diff := cmp.Diff(tt.want, said); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}

	// Of two words in one batch the later counts, in whatever order they come.
	said := make(map[string]Said)
	for _, body := range []string{`{"s":"online","conn":4}`, `{"s":"online","conn":5}`, `{"s":"offline","conn":4}`, `{"s":"stopping","conn":5}`, `{"s":"online","conn":5}`} {
		r.hear(said, message{topic: contract.StatusTopic(boothA), body: []byte(body)}, noon)
	}
	if got := said[boothA].Status; got.S != contract.Stopping || got.Conn != 5 {
		t.Errorf("presence %+v, want stopping, 5", got)
	}
}
