package command

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

const (
	booth = "pac-hwy-nexus-03"
	id    = "01931f0c-8a51-7000-8000-000000000007"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func key(seed byte) *contract.SigningKey {
	k, err := contract.NewSigningKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		panic(err) // the length is right
	}
	return k
}

// office signs for headquarters; stranger for nobody we know.
var office, stranger = key(1), key(2)

func trust(t testing.TB) *contract.TrustedKeys {
	t.Helper()
	k, err := contract.Trust(office.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// refresh is a command with nothing against it, local a booth that obeys it.
func refresh() contract.Command {
	return contract.Command{ID: id, Name: ListRefresh, Args: jsontext.Value(`{}`), Booth: booth,
		NotBefore: noon.Add(-time.Minute), NotAfter: noon.Add(time.Hour), By: "k.lee"}
}

func local() Local {
	return Local{Booth: booth, Now: noon, Clock: passage.ClockSynced, Since: noon.AddDate(0, -1, 0), Last: 18_230,
		Allow: []string{ListRefresh, OutboxResend}, Lanes: []passage.LaneType{passage.NEXUS, passage.General}}
}

func seal(t testing.TB, k *contract.SigningKey, c contract.Command) []byte {
	t.Helper()
	payload, err := contract.EncodeCommand(c)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, k, contract.PayloadCommand, payload)
}

func wrap(t testing.TB, k *contract.SigningKey, purpose string, payload []byte) []byte {
	t.Helper()
	e, err := k.Seal(purpose, payload)
	if err != nil {
		t.Fatal(err)
	}
	b, err := contract.EncodeEnvelope(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func reason(err error) Reason {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Reason
	}
	return ""
}

func TestOpen(t *testing.T) {
	good := seal(t, office, refresh())
	payload, err := contract.EncodeCommand(refresh())
	if err != nil {
		t.Fatal(err)
	}
	unsigned := bytes.Replace(good, good[bytes.Index(good, []byte(`[{`)):bytes.Index(good, []byte(`}]`))+2], []byte(`[]`), 1)
	for _, tt := range []struct {
		name    string
		message []byte
		trust   *contract.TrustedKeys
		want    Reason
	}{
		{"signed", good, trust(t), ""},
		{"nothing", nil, trust(t), Malformed},
		{"the bare command", payload, trust(t), Malformed},
		{"a byte more", append(bytes.Clone(good), '}'), trust(t), Malformed},
		{"too long", bytes.Repeat([]byte(" "), contract.MaxSealed+1), trust(t), Malformed},
		{"without signature", unsigned, trust(t), Unsigned},
		{"a stranger's", seal(t, stranger, refresh()), trust(t), Untrusted},
		{"at a booth without keys", good, nil, Untrusted},
		{"a checkpoint's seal", wrap(t, office, contract.PayloadCheckpoint, payload), trust(t), Purpose},
		{"signed rubbish", wrap(t, office, contract.PayloadCommand, []byte(`{"cmdid":"x"}`)), trust(t), Malformed},
		{"signed with what nobody knows", wrap(t, office, contract.PayloadCommand, bytes.Replace(payload, []byte(`{"cmdid"`), []byte(`{"only_if":"closed","cmdid"`), 1)), trust(t), Malformed},
	} {
		c, err := Open(tt.message, tt.trust)
		if got := reason(err); got != tt.want || (err == nil) != (tt.want == "") {
			t.Errorf("%s: Open = %v, want %q", tt.name, err, tt.want)
		}
		if ok := c.ID == id && c.KeyID == office.ID(); ok != (tt.want == "") {
			t.Errorf("%s: Open gives %+v", tt.name, c)
		}
	}
}

func TestJudge(t *testing.T) {
	all := func(c *contract.Command, l *Local) { l.Allow = Names() }
	for _, tt := range []struct {
		name string
		edit func(*contract.Command, *Local)
		want Order
		no   Reason
	}{
		{"in order", nil, Order{Name: ListRefresh}, ""},
		{"with the clock left alone for a while", func(_ *contract.Command, l *Local) { l.Clock = passage.ClockHoldover }, Order{Name: ListRefresh}, ""},
		{"for another booth", func(c *contract.Command, _ *Local) { c.Booth = "pac-hwy-nexus-04" }, Order{}, WrongBooth},
		{"with the clock unset", func(_ *contract.Command, l *Local) { l.Clock = passage.ClockUnset }, Order{}, Clock},
		{"with the clock restored", func(_ *contract.Command, l *Local) { l.Clock = passage.ClockRestored }, Order{}, Clock},
		{"expired with a doubtful clock", func(c *contract.Command, l *Local) { l.Clock, c.NotAfter = passage.ClockUnset, noon }, Order{}, Clock},
		{"expires this instant", func(c *contract.Command, _ *Local) { c.NotAfter = noon }, Order{}, Expired},
		{"expires in a nanosecond", func(c *contract.Command, _ *Local) { c.NotAfter = noon.Add(1) }, Order{Name: ListRefresh}, ""},
		{"a minute too early", func(c *contract.Command, _ *Local) { c.NotBefore = noon.Add(skew) }, Order{Name: ListRefresh}, ""},
		{"more than a minute too early", func(c *contract.Command, _ *Local) { c.NotBefore = noon.Add(skew + 1) }, Order{}, NotYet},
		{"as old as the journal", func(c *contract.Command, l *Local) { l.Since = c.NotBefore }, Order{Name: ListRefresh}, ""},
		{"older than the journal", func(c *contract.Command, l *Local) { l.Since = c.NotBefore.Add(1) }, Order{}, TooOld},
		{"taken before", func(_ *contract.Command, l *Local) { l.Seen = true }, Order{}, Replayed},
		{"taken before and expired", func(c *contract.Command, l *Local) { l.Seen, c.NotAfter = true, noon }, Order{}, Expired},
		{"of an unknown name", func(c *contract.Command, _ *Local) { c.Name = "gate.open" }, Order{}, Unknown},
		{"of an unknown name that is allowed", func(c *contract.Command, l *Local) { c.Name, l.Allow = "gate.open", []string{"gate.open"} }, Order{}, Unknown},
		{"not allowed", func(_ *contract.Command, l *Local) { l.Allow = nil }, Order{}, NotAllowed},
		{"lane.mode, not allowed", func(c *contract.Command, _ *Local) { c.Name, c.Args = LaneMode, jsontext.Value(`{"type":"general"}`) }, Order{}, NotAllowed},
		{"args where none are", func(c *contract.Command, _ *Local) { c.Args = jsontext.Value(`{"list":"members"}`) }, Order{}, BadArgs},

		{"identify", func(c *contract.Command, l *Local) { all(c, l); c.Name = Identify }, Order{Name: Identify}, ""},
		{"resend all", func(c *contract.Command, _ *Local) { c.Name = OutboxResend }, Order{Name: OutboxResend}, ""},
		{"resend some", func(c *contract.Command, _ *Local) {
			c.Name, c.Args = OutboxResend, jsontext.Value(`{"from":17,"to":40}`)
		},
			Order{Name: OutboxResend, From: 17, To: 40}, ""},
		{"resend the most", func(c *contract.Command, _ *Local) {
			c.Name, c.Args = OutboxResend, jsontext.Value(`{"from":1,"to":10000}`)
		},
			Order{Name: OutboxResend, From: 1, To: MaxResend}, ""},
		{"resend more", func(c *contract.Command, _ *Local) {
			c.Name, c.Args = OutboxResend, jsontext.Value(`{"from":1,"to":10001}`)
		}, Order{}, BadArgs},
		{"resend the last", func(c *contract.Command, _ *Local) {
			c.Name, c.Args = OutboxResend, jsontext.Value(`{"from":18230,"to":18230}`)
		},
			Order{Name: OutboxResend, From: 18_230, To: 18_230}, ""},
		{"resend beyond the last", func(c *contract.Command, _ *Local) {
			c.Name, c.Args = OutboxResend, jsontext.Value(`{"from":18230,"to":18231}`)
		}, Order{}, BadArgs},
		{"resend backwards", func(c *contract.Command, _ *Local) {
			c.Name, c.Args = OutboxResend, jsontext.Value(`{"from":40,"to":17}`)
		}, Order{}, BadArgs},
		{"resend without beginning", func(c *contract.Command, _ *Local) { c.Name, c.Args = OutboxResend, jsontext.Value(`{"to":17}`) }, Order{}, BadArgs},
		{"resend below nothing", func(c *contract.Command, _ *Local) {
			c.Name, c.Args = OutboxResend, jsontext.Value(`{"from":-1,"to":17}`)
		}, Order{}, BadArgs},
		{"resend to everywhere", func(c *contract.Command, _ *Local) {
			c.Name, c.Args = OutboxResend, jsontext.Value(`{"from":1,"to":18446744073709551615}`)
		}, Order{}, BadArgs},

		{"become general", func(c *contract.Command, l *Local) {
			all(c, l)
			c.Name, c.Args = LaneMode, jsontext.Value(`{"type":"general"}`)
		}, Order{Name: LaneMode, Lane: passage.General}, ""},
		{"I1: become a lane that expedites, though the officer may choose it", func(c *contract.Command, l *Local) {
			all(c, l)
			c.Name, c.Args = LaneMode, jsontext.Value(`{"type":"nexus"}`)
		}, Order{}, Faster},
		{"become what the technician does not name", func(c *contract.Command, l *Local) {
			all(c, l)
			c.Name, c.Args = LaneMode, jsontext.Value(`{"type":"ready"}`)
		}, Order{}, BadArgs},
		{"become nothing", func(c *contract.Command, l *Local) { all(c, l); c.Name = LaneMode }, Order{}, BadArgs},
	} {
		c, l := refresh(), local()
		if tt.edit != nil {
			tt.edit(&c, &l)
		}
		got, err := Judge(Signed{c, office.ID()}, l)
		if diff := cmp.Diff(tt.want, got); diff != "" || reason(err) != tt.no || (err == nil) != (tt.no == "") {
			t.Errorf("%s: Judge = %+v, %v, want %+v, %q", tt.name, got, err, tt.want, tt.no)
		}
	}
}

// Nothing is obeyed at a booth of which nothing is known.
func TestTheZeroBoothObeysNothing(t *testing.T) {
	for _, name := range Names() {
		c := refresh()
		c.Name = name
		if o, err := Judge(Signed{Command: c}, Local{}); err == nil || o != (Order{}) {
			t.Errorf("Judge(%s) = %+v, %v", name, o, err)
		}
	}
}

// Of what nobody trusted has signed, a refusal quotes nothing.
func TestRefusalsQuoteNothingUntrusted(t *testing.T) {
	c := refresh()
	c.By = "MARKER"
	for _, m := range [][]byte{seal(t, stranger, c), []byte(`{"payloadType":"MARKER","payload":"MARKER","signatures":[{"sig":"MARKER"}]}`), []byte(`{"MARKER`)} {
		if _, err := Open(m, trust(t)); err == nil || strings.Contains(err.Error(), "MARKER") {
			t.Errorf("Open = %v", err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	keys := trust(f)
	f.Add(seal(f, office, refresh()))
	f.Add(seal(f, stranger, refresh()))
	f.Add([]byte(`{"payloadType":"application/vnd.boothd.command.v1+json","payload":"e30=","signatures":[]}`))
	want := Signed{refresh(), office.ID()}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Open(b, keys)
		switch {
		case err == nil && !cmp.Equal(c, want):
			t.Fatalf("believes %+v, which nobody signed", c)
		case err != nil && reason(err) == "":
			t.Fatalf("%v is no refusal", err)
		}
	})
}

// Whatever the arguments of a signed command are, what it orders stays within
// what the booth allows.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{`{}`, `{"from":17,"to":40}`, `{"type":"general"}`, `{"type":"nexus"}`} {
		for i := range len(Names()) {
			f.Add(i, s)
		}
	}
	f.Fuzz(func(t *testing.T, n int, args string) {
		c, l := refresh(), local()
		c.Name, c.Args, l.Allow = Names()[uint(n)%uint(len(Names()))], jsontext.Value(args), Names()
		o, err := Judge(Signed{c, office.ID()}, l)
		switch {
		case err != nil:
			if reason(err) == "" || o != (Order{}) {
				t.Fatalf("%+v, %v", o, err)
			}
		case o.Name != c.Name, o.To > l.Last, o.From > o.To, o.To-o.From >= MaxResend:
			t.Fatalf("%+v", o)
		case o.Name == LaneMode && o.Lane != passage.General:
			t.Fatalf("the lane becomes %q", o.Lane)
		}
	})
}
