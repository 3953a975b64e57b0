package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"boothd/agent/contract"
	"boothd/agent/uplink/uplinktest"
)

// A notice that the office signs reaches a booth that trusts its key, also one
// that was away, and is ended the same way.
func TestNoticeReachesABooth(t *testing.T) {
	t.Parallel()
	b := uplinktest.NewBroker(t)
	t.Cleanup(b.Close)
	d := newDesk(t, overTCP(t, b))
	start := wholeBooth(t, b, d.key("duty-1"))
	taken := make(chan contract.FleetNoticed, 16)
	b.Listen(contract.EventTopic(booth, contract.ClassAudit), func(_ string, payload []byte) {
		e, err := contract.Decode(payload)
		if err != nil {
			return
		}
		if n, err := contract.As[contract.FleetNoticed](e); err == nil {
			taken <- n
		}
	})
	notice := func(args ...string) (out, log bytes.Buffer, code int) {
		code = run(t.Context(), append([]string{"notice", "--keys", d.keys, "--passphrase-file", d.pass, "--broker", d.url}, args...), &out, &log)
		return out, log, code
	}

	// The booth is away.
	out, log, code := notice("Events of version 1 end on 2027-11-30.", "--by", "k.lee", "--json")
	var n contract.FleetNotice
	if err := json.Unmarshal(out.Bytes(), &n); code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s", code, err, &log)
	}
	stop := start()
	if got := <-taken; got.FleetNotice != n || got.By != "k.lee" || got.Text != "Events of version 1 end on 2027-11-30." {
		t.Errorf("the booth has taken %+v, and %+v was said", got, n)
	}
	out, log, code = notice("--clear")
	if code != 0 || !strings.HasSuffix(out.String(), ": nothing is shown any more\n") {
		t.Fatalf("exit %d, %s %s", code, &out, &log)
	}
	if got := <-taken; got.Text != "" || got.ID <= n.ID {
		t.Errorf("the booth has taken %+v after %s", got, n.ID)
	}
	stop()

	for _, tt := range []struct {
		args []string
		said string
	}{
		{nil, "either a text, or --clear"},
		{[]string{"x", "--clear"}, "either a text, or --clear"},
		{[]string{strings.Repeat("x", 161)}, "text of 161 bytes"},
		{[]string{"x", "--valid", "9601h"}, "stands for more than 9600h"},
		{[]string{"one\ntwo"}, "does not print"},
	} {
		if _, log, code := notice(tt.args...); code != exitUsage || !strings.Contains(log.String(), tt.said) {
			t.Errorf("%q: exit %d, %s; want %q", tt.args, code, &log, tt.said)
		}
	}
}
