package contract

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"crypto/x509"

	"github.com/go-json-experiment/json/jsontext"
)

// testKey gives a key that is the same in every run.
func testKey(seed byte) *SigningKey {
	k, err := NewSigningKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		panic(err) // the length is right
	}
	return k
}

func boothKey() *SigningKey  { return testKey(1) }
func officeKey() *SigningKey { return testKey(2) }

func sampleCommand() Command {
	return Command{ID: passageID, Name: "outbox.resend", Args: jsontext.Value(`{"from":17,"to":40}`), Booth: head.Booth,
		NotBefore: noon, NotAfter: noon.Add(time.Hour), By: "k.lee"}
}

func sealedCheckpoint() Envelope {
	b, err := EncodeCheckpoint(sampleCheckpoint())
	if err != nil {
		panic(err)
	}
	e, err := boothKey().Seal(PayloadCheckpoint, b)
	if err != nil {
		panic(err)
	}
	return e
}

func sampleCheckpoint() CheckpointBody {
	return CheckpointBody{Booth: head.Booth, Epoch: epoch, Seq: 256, Head: strings.Repeat("cd", 32), At: noon}
}

// signedSamples are the messages that are signed: a command as it travels, and
// what is inside of a command and of a checkpoint.
func signedSamples() map[string][]byte {
	inside, err1 := EncodeCommand(sampleCommand())
	e, err2 := officeKey().Seal(PayloadCommand, inside)
	cmd, err3 := EncodeEnvelope(e)
	point, err4 := EncodeCheckpoint(sampleCheckpoint())
	said, err5 := EncodeFleetNotice(sampleNotice())
	e, err6 := officeKey().Seal(PayloadNotice, said)
	notice, err7 := EncodeEnvelope(e)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		panic(err)
	}
	return map[string][]byte{"cmd": cmd, "command": inside, "checkpoint": point, "fleet.notice": said, "notice": notice}
}

func sampleNotice() FleetNotice {
	return FleetNotice{ID: passageID, Text: "Events of version 1 end on 2027-11-30: update before.", NotBefore: noon, NotAfter: noon.AddDate(1, 0, 0), By: "k.lee"}
}

// commandSamples are the events that commands bring.
func commandSamples() []Data {
	return []Data{
		Hello{Conn: 412, Upto: 18230, Command: passageID, KeyID: boothKey().ID(), Trusts: []string{officeKey().ID()}, Clock: clk},
		CommandTaken{ID: passageID, Name: "outbox.resend", Args: jsontext.Value(`{"from":17,"to":40}`), By: "k.lee", KeyID: officeKey().ID(), Clock: clk},
		CommandResult{ID: passageID, Name: "outbox.resend", Outcome: CommandDone, Detail: "24 events are sent again", Clock: clk},
	}
}

func publicPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestOnlyATrustedSignatureOpens(t *testing.T) {
	trust, err := Trust(officeKey().Public(), testKey(3).Public())
	if err != nil {
		t.Fatal(err)
	}
	inside := signedSamples()["command"]
	seal := func(k *SigningKey, purpose string) Envelope {
		e, err := k.Seal(purpose, inside)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	good := seal(officeKey(), PayloadCommand)
	edit := func(f func(*Envelope)) Envelope {
		e := good
		e.Signatures = append(e.Signatures[:0:0], e.Signatures...)
		f(&e)
		return e
	}
	for _, tt := range []struct {
		name  string
		trust *TrustedKeys
		e     Envelope
		want  error
	}{
		{"signed", trust, good, nil},
		{"signed by the second key", trust, seal(testKey(3), PayloadCommand), nil},
		{"without the key's id", trust, edit(func(e *Envelope) { e.Signatures[0].KeyID = "" }), nil},
		{"a stranger's signature beside", trust, edit(func(e *Envelope) { e.Signatures = append(seal(testKey(9), PayloadCommand).Signatures, e.Signatures...) }), nil},
		{"nobody is trusted", nil, good, ErrUntrusted},
		{"no signature", trust, edit(func(e *Envelope) { e.Signatures = nil }), ErrUnsigned},
		{"another key", trust, seal(testKey(9), PayloadCommand), ErrUntrusted},
		{"another key under a trusted id", trust, edit(func(e *Envelope) { e.Signatures[0].Sig = seal(testKey(9), PayloadCommand).Signatures[0].Sig }), ErrUntrusted},
		{"another purpose", trust, seal(officeKey(), PayloadCheckpoint), ErrPayloadType},
		{"another purpose written over", trust, edit(func(e *Envelope) { e.PayloadType = PayloadCheckpoint }), ErrUntrusted},
		{"a byte more", trust, edit(func(e *Envelope) { e.Payload = base64.StdEncoding.EncodeToString(append([]byte(" "), inside...)) }), ErrUntrusted},
		{"an empty signature", trust, edit(func(e *Envelope) { e.Signatures[0].Sig = "" }), ErrUntrusted},
		{"signature is no base64", trust, edit(func(e *Envelope) { e.Signatures[0].Sig = "!" }), ErrUntrusted},
		{"many signatures", trust, edit(func(e *Envelope) {
			for len(e.Signatures) <= maxSignatures {
				e.Signatures = append(e.Signatures, e.Signatures[0])
			}
		}), ErrUntrusted},
	} {
		b, id, err := tt.trust.Open(tt.e, PayloadCommand)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: Open = %v, want %v", tt.name, err, tt.want)
		}
		if ok := bytes.Equal(b, inside) && id != ""; ok != (tt.want == nil) {
			t.Errorf("%s: Open gives %d bytes signed by %q", tt.name, len(b), id)
		}
	}
}

func TestKeysAreReadWholeOrNotAtAll(t *testing.T) {
	one, two := publicPEM(t, officeKey().Public()), publicPEM(t, testKey(3).Public())
	private, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	many := []byte{}
	for i := range maxKeys + 1 {
		many = append(many, publicPEM(t, testKey(byte(i)).Public())...)
	}
	for _, tt := range []struct {
		name string
		file []byte
		want int // keys; 0: refused
	}{
		{"two", append(bytes.Clone(one), two...), 2},
		{"with words between", append([]byte("the office's\n"), append(bytes.Clone(one), "and the deputy's\n"+string(two)...)...), 2},
		{"none", nil, 0},
		{"twice", append(bytes.Clone(one), one...), 0},
		{"the second cut off", append(bytes.Clone(one), two[:40]...), 0},
		{"the second spoilt", append(bytes.Clone(one), bytes.Replace(two, []byte("MCow"), []byte("MC*w"), 1)...), 0},
		{"a private key", secret, 0},
		{"too many", many, 0},
		{"too long", append(bytes.Clone(one), bytes.Repeat([]byte(" "), maxKeyFile)...), 0},
	} {
		keys, err := ParseKeys(tt.file)
		if len(keys.IDs()) != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s: ParseKeys = %v, %v, want %d", tt.name, keys.IDs(), err, tt.want)
		}
	}
	k, err := ParseSigningKey(secret)
	if err != nil || k.ID() != officeKey().ID() {
		t.Errorf("ParseSigningKey = %v, %v, want %v", k, err, officeKey())
	}
	if _, err := ParseSigningKey(one); err == nil {
		t.Error("a public key signs")
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(form, k); got != k.ID() {
			t.Errorf("%s prints %q of a key", form, got)
		}
	}
}

func TestCommandRefuses(t *testing.T) {
	good := string(signedSamples()["command"])
	for name, edit := range map[string][2]string{
		"an unknown member":  {`"by":`, `"if":"closed","by":`},
		"a member twice":     {`"by":`, `"by":"x","by":`},
		"another case":       {`"booth"`, `"Booth"`},
		"no id":              {`"cmdid":"` + passageID + `"`, `"cmdid":""`},
		"an id of version 4": {passageID, "01931f0c-8a51-4000-8000-000000000007"},
		"an id in capitals":  {passageID, strings.ToUpper(passageID)},
		"an id in braces":    {passageID, "{" + passageID + "}"},
		"no name":            {`"outbox.resend"`, `""`},
		"a name with NUL":    {`"outbox.resend"`, `"outbox\u0000"`},
		"nobody":             {`"k.lee"`, `""`},
		"args are a list":    {`{"from":17,"to":40}`, `[]`},
		"long args":          {`{"from":17,"to":40}`, `{"x":"` + strings.Repeat("x", maxCommandArgs) + `"}`},
		"deep args":          {`{"from":17,"to":40}`, `{"x":[[[[[[[[]]]]]]]]}`},
		"another booth's id": {head.Booth, "Booth/1"},
		"no beginning":       {`"notbefore":"2026-11-23T07:15:02.417Z"`, `"notbefore":"0001-01-01T00:00:00Z"`},
		"no end":             {`"notafter":"2026-11-23T08:15:02.417Z",`, ``},
		"end before begin":   {`"notafter":"2026-11-23T08`, `"notafter":"2026-11-23T06`},
		"valid for a year":   {`"notafter":"2026`, `"notafter":"2027`},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if bad == good {
			t.Fatalf("%s: %q is not in %s", name, edit[0], good)
		}
		if c, err := DecodeCommand([]byte(bad)); err == nil {
			t.Errorf("%s: DecodeCommand = %+v, want an error", name, c)
		}
	}
	if _, err := EncodeCommand(Command{}); err == nil {
		t.Error("the zero command was encoded")
	}
}

// Whatever comes in: what opens was signed, and what was signed decodes to the
// same bytes again.
func FuzzEnvelope(f *testing.F) {
	for _, b := range signedSamples() {
		f.Add(b)
	}
	trust, err := Trust(officeKey().Public())
	if err != nil {
		f.Fatal(err)
	}
	want := signedSamples()["command"]
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEnvelope(b)
		if err != nil {
			return
		}
		payload, _, err := trust.Open(e, PayloadCommand)
		if err == nil && !bytes.Equal(payload, want) {
			t.Fatalf("opens what nobody signed: %q", payload)
		}
		if _, err := EncodeEnvelope(e); err != nil && !errors.Is(err, ErrTooBig) {
			t.Fatalf("accepted %q, which does not encode: %v", b, err)
		}
	})
}

func FuzzDecodeCommand(f *testing.F) {
	f.Add(signedSamples()["command"])
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommand(b)
		if err != nil {
			return
		}
		again, err := EncodeCommand(c)
		if err != nil {
			t.Fatalf("accepted %q, which does not encode: %v", b, err)
		}
		if d, err := DecodeCommand(again); err != nil || d.ID != c.ID || d.Booth != c.Booth || !d.NotAfter.Equal(c.NotAfter) {
			t.Fatalf("%q came back as %+v, %v", b, d, err)
		}
	})
}
