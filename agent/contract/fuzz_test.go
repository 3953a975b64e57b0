package contract

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"testing"
)

// FuzzDecodeSmall: a status, a wish and a checkpoint that are accepted are those
// that encode, to the same again.
func FuzzDecodeSmall(f *testing.F) {
	f.Add([]byte(`{"s":"online","conn":7,"bootid":"b","at":"2026-11-23T07:15:02Z","v":"1"}`))
	f.Add([]byte(`{"list":"cards","parts":["` + string(bytes.Repeat([]byte("a7"), 32)) + `"],"at":"2026-11-23T07:15:02Z"}`))
	f.Add(signedSamples()["checkpoint"])
	f.Fuzz(func(t *testing.T, b []byte) {
		again(t, b, DecodeStatus, EncodeStatus)
		again(t, b, DecodeWant, EncodeWant)
		again(t, b, DecodeCheckpoint, EncodeCheckpoint)
	})
}

func again[T any](t *testing.T, b []byte, decode func([]byte) (T, error), encode func(T) ([]byte, error)) {
	t.Helper()
	v, err := decode(b)
	if err != nil {
		return
	}
	first, err := encode(v)
	if err != nil {
		t.Fatalf("accepted %q, which does not encode: %v", b, err)
	}
	v, err = decode(first)
	if err != nil {
		t.Fatalf("own %q is refused: %v", first, err)
	}
	if second, err := encode(v); err != nil || !bytes.Equal(first, second) {
		t.Fatalf("%q came back as %q, %v", first, second, err)
	}
}

// FuzzTopics: a topic that names a part or a booth is the one that these have.
func FuzzTopics(f *testing.F) {
	f.Add(PartTopic("cards", PartDigest{1, 2}))
	f.Add(WantListTopic("booth-7"))
	f.Fuzz(func(t *testing.T, topic string) {
		if kind, part, err := PartSource(topic); err == nil && PartTopic(kind, part) != topic {
			t.Errorf("%q names part %s of %s", topic, part, kind)
		}
		if booth, err := WantSource(topic); err == nil && WantListTopic(booth) != topic {
			t.Errorf("%q names booth %s", topic, booth)
		}
	})
}

// FuzzParseKeys: a file of keys that is accepted gives keys, and they open nothing that
// another has signed.
func FuzzParseKeys(f *testing.F) {
	block := func(t string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: t, Bytes: b}) }
	der := append([]byte{0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0}, make([]byte, ed25519.PublicKeySize)...)
	f.Add(block("PUBLIC KEY", der))
	f.Add(append(block("PUBLIC KEY", der), block("PUBLIC KEY", der)...))
	f.Add(block("PRIVATE KEY", der))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCow"))
	seal, err := officeKey().Seal(PayloadCommand, signedSamples()["command"])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		trust, err := ParseKeys(b)
		if (trust == nil) != (err != nil) {
			t.Fatalf("%v, %v", trust, err)
		}
		if err != nil {
			return
		}
		if _, _, err := trust.Open(seal, PayloadCommand); err == nil {
			t.Fatal("opens what no key of it has signed")
		}
	})
}
