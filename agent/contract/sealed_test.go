package contract

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"testing"
)

// The keys of RFC 8410, section 10, as OpenSSL writes them.
const (
	rfcPrivate = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
`
	rfcPublic = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`
)

func TestKeysOfRFC8410(t *testing.T) {
	k, err := ParseSigningKey([]byte(rfcPrivate))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := ParseKeys([]byte(rfcPublic))
	if err != nil {
		t.Fatal(err)
	}
	if got := trust.IDs(); len(got) != 1 || got[0] != k.ID() {
		t.Errorf("the public key is %v, the private one %s", got, k.ID())
	}
	e, err := k.Seal(PayloadCheckpoint, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if b, id, err := trust.Open(e, PayloadCheckpoint); string(b) != "x" || id != k.ID() || err != nil {
		t.Errorf("Open = %q, %s, %v", b, id, err)
	}
}

// What is signed is DSSE's own form, spelt out here from its protocol: the
// length and text of the type, then those of the payload.
func TestSealsAreDSSE(t *testing.T) {
	payload := signedSamples()["checkpoint"]
	e, err := boothKey().Seal(PayloadCheckpoint, payload)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := base64.StdEncoding.DecodeString(e.Payload); err != nil || string(b) != string(payload) {
		t.Errorf("payload %q, %v", b, err)
	}
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	if err != nil {
		t.Fatal(err)
	}
	spelt := fmt.Sprintf("DSSEv1 %d %s %d %s", len(PayloadCheckpoint), PayloadCheckpoint, len(payload), payload)
	if !ed25519.Verify(boothKey().Public(), []byte(spelt), sig) {
		t.Error("the signature is over something else")
	}
}
