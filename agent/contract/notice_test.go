package contract

import (
	"strings"
	"testing"
	"time"
)

func TestNoticesAreBoundedAndPrint(t *testing.T) {
	for name, edit := range map[string]func(*FleetNotice){
		"id":          func(n *FleetNotice) { n.ID = strings.ToUpper(n.ID) },
		"no uuid":     func(n *FleetNotice) { n.ID = "1" },
		"long":        func(n *FleetNotice) { n.Text = strings.Repeat("x", MaxNoticeText+1) },
		"a newline":   func(n *FleetNotice) { n.Text = "one\ntwo" },
		"an escape":   func(n *FleetNotice) { n.Text = "\x1b[2J" },
		"turned":      func(n *FleetNotice) { n.Text = "\u202egnp.exe" },
		"no utf-8":    func(n *FleetNotice) { n.Text = "\xff" },
		"by nobody":   func(n *FleetNotice) { n.By = "" },
		"by an esc":   func(n *FleetNotice) { n.By = "k\x1b" },
		"no span":     func(n *FleetNotice) { n.NotAfter = n.NotBefore },
		"no start":    func(n *FleetNotice) { n.NotBefore = time.Time{} },
		"for decades": func(n *FleetNotice) { n.NotAfter = n.NotBefore.Add(MaxNoticeSpan + 1) },
	} {
		n := sampleNotice()
		edit(&n)
		if b, err := EncodeFleetNotice(n); err == nil {
			t.Errorf("%s: encoded as %s", name, b)
		}
	}
	n := sampleNotice()
	n.Text = strings.Repeat("é", MaxNoticeText/2) // both of the country's languages
	b, err := EncodeFleetNotice(n)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := DecodeFleetNotice(b); err != nil || again != n {
		t.Errorf("came back as %+v, %v", again, err)
	}
	for _, bad := range []string{`{}`, `[]`, strings.Replace(string(b), `"by":"k.lee"`, `"by":"k.lee","by":"x"`, 1), strings.Replace(string(b), `"text"`, `"Text"`, 1), string(b) + string(b)} {
		if got, err := DecodeFleetNotice([]byte(bad)); err == nil {
			t.Errorf("%.60s decoded as %+v", bad, got)
		}
	}
}
