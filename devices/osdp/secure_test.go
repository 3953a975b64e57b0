package osdp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

var (
	rndA = [8]byte{0xB0, 0xB1, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7}
	rndB = [8]byte{0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7}
)

// Session keys and cryptogram of SIA Annex E. The vector gives keys as bytes;
// here they are compared by what they encrypt.
func TestSessionKeyVectors(t *testing.T) {
	s := newSession(defaultKey, rndA)
	mac1 := block([16]byte(unhex(t, "5E 86 C6 76 60 3B DE E2 D8 BE AF E1 78 63 73 32")))
	enc := block([16]byte(unhex(t, "BF 8D C2 A8 32 9A CB 8C 67 C6 D0 CD 9A 45 16 82")))
	probe := [16]byte{1, 2, 3}
	if encrypt(s.mac1, probe) != encrypt(mac1, probe) {
		t.Error("S-MAC1 differs")
	}
	if encrypt(s.enc, probe) != encrypt(enc, probe) {
		t.Error("S-ENC differs")
	}
	if got := s.cryptogram(rndB, rndA); !bytes.Equal(got[:], unhex(t, "26 D3 35 6E 07 76 2D 26 28 01 FC 8E 66 65 A8 91")) {
		t.Errorf("server cryptogram % X", got)
	}
}

// zero is a channel as OSDP.Net's tests have it: all keys and MACs zero.
func zero() *session {
	b := block([16]byte{})
	return &session{enc: b, mac1: b, mac2: b}
}

func TestSecuredVectors(t *testing.T) {
	for _, tc := range []struct {
		code byte
		data string
		want string
	}{
		{cmdPoll, "", "53 00 0E 00 0E 02 15 60 4B 32 76 77 73 B6"},
		{0x6E, "01 80 25 00 00", "53 00 1E 00 0E 02 17 6E AC A3 C2 FF E4 D9 E5 99 CD 77 1B 8E F3 D1 3F 23 FA AB 63 4E 08 95"},
		{cmdCap, "00", "53 00 1E 00 0E 02 17 62 D1 4E B7 AD 98 2C C5 F9 AA 25 31 8A 7E AE D6 26 0F 6A 2A A7 38 70"},
	} {
		got := zero().command(nil, frame{seq: 2, crc: true, code: tc.code, data: unhex(t, tc.data)})
		if !bytes.Equal(got, unhex(t, tc.want)) {
			t.Errorf("command %02X = % X, want %s", tc.code, got, tc.want)
		}
	}
}

// The libosdp vector of a wrong MAC in an active channel, and what else a
// secured reply may not be. The chain does not move on any of them.
func TestSecuredRefused(t *testing.T) {
	var s scanner
	s.feed(unhex(t, "53 E5 0D 00 09 02 16 40 00 00 00 00 5A"))
	f, ok := s.next()
	if !ok || f.scs != scsReply {
		t.Fatalf("%+v %t", f, ok)
	}
	ch := zero()
	before := *ch
	if _, err := ch.reply(f); !errors.Is(err, errMAC) {
		t.Errorf("wrong MAC: %v", err)
	}
	for _, scs := range []byte{0, scsChallenge, scsCCrypt, scsSCrypt, scsRMACI, scsCommand, scsCommandEnc} {
		f.scs = scs
		if _, err := ch.reply(f); !errors.Is(err, errClear) {
			t.Errorf("type %02X in a channel: %v", scs, err)
		}
	}
	if *ch != before {
		t.Error("a refused reply moved the chain")
	}
}

// Derived: a secured reply of every size is opened by the other side, and not
// with one bit of it changed.
func TestSecuredReplies(t *testing.T) {
	for size := range 40 {
		data := bytes.Repeat([]byte{0x80}, size)
		b := replyOf(zero(), 0x50, data)
		for bit := -1; bit < 8*(len(b)-2); bit++ {
			changed := bytes.Clone(b[:len(b)-2])
			if bit >= 0 {
				changed[bit/8] ^= 1 << (bit % 8)
			}
			f, ok := parse(append(changed, 0, 0))
			if !ok {
				continue
			}
			got, err := zero().reply(f)
			if bit < 0 && (err != nil || !bytes.Equal(got, data)) {
				t.Fatalf("reply of %d bytes: % X %v", size, got, err)
			}
			if bit >= 0 && err == nil {
				t.Fatalf("reply of %d bytes with bit %d flipped was taken", size, bit)
			}
		}
	}
}

// replyOf is a secured reply, made as the reader's side would.
func replyOf(s *session, code byte, data []byte) []byte {
	f := frame{reply: true, seq: 1, crc: true, scs: scsReply, code: code}
	if len(data) > 0 {
		f.scs, f.data = scsReplyEnc, s.sealed(s.cmac, data)
	}
	return appendFrame(nil, f, func(b []byte) [macSize]byte {
		m := s.mac(s.cmac, b)
		return [macSize]byte(m[:])
	})
}

func TestPaddingRefused(t *testing.T) {
	s := zero()
	for _, plain := range [][16]byte{{}, {1}, {0x80, 1}, {15: 1}} {
		iv := inverse([16]byte{})
		for i := range plain {
			iv[i] ^= plain[i]
		}
		c := encrypt(s.enc, iv)
		if got, err := s.opened([16]byte{}, c[:]); err == nil {
			t.Errorf("% X opened as % X", plain, got)
		}
	}
	for _, n := range []int{0, 1, 15, 17} {
		if _, err := s.opened([16]byte{}, make([]byte, n)); err == nil {
			t.Errorf("%d bytes opened", n)
		}
	}
}

// FuzzSecured has a reader that knows the key encrypt anything: it is read as
// what was sealed, or refused without a move of the chain.
func FuzzSecured(f *testing.F) {
	for _, data := range []string{"", "00", "00 01 1A 00 96 B4 D2 C0", "80 00 80 00"} {
		f.Add(zero().sealed([16]byte{}, unhex(f, data)))
	}
	f.Add(make([]byte, 16))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > longest-32 {
			return // no frame holds it
		}
		fr, ok := parse(appendFrame(nil, frame{reply: true, seq: 1, crc: true, scs: scsReplyEnc, code: repRaw, data: b}, func(signed []byte) [macSize]byte {
			m := zero().mac([16]byte{}, signed)
			return [macSize]byte(m[:])
		}))
		if !ok {
			t.Fatal("our own frame is none")
		}
		ch := zero()
		before := *ch
		data, err := ch.reply(fr)
		switch {
		case err != nil && (data != nil || *ch != before):
			t.Fatalf("% X with %v, and the chain has moved: %t", data, err, *ch != before)
		case err == nil && len(b) > 0 && !bytes.Equal(zero().sealed([16]byte{}, data), b):
			t.Fatalf("% X is read from % X", data, b)
		}
		_, _ = parseCard(data)
		_, _ = parsePoints(data)
		_, _ = parseSettings(data)
	})
}

// Derived from the formula of the page: AES(MK, cUID, inverse of cUID).
func TestDerive(t *testing.T) {
	mk := Key{1, 2, 3}
	in := unhex(t, "01 02 03 04 05 06 07 08 FE FD FC FB FA F9 F8 F7")
	want := encrypt(block(mk), [16]byte(in))
	if got := mk.Derive([8]byte(in)); [16]byte(got) != want {
		t.Error("derived key differs")
	}
}

func TestKeys(t *testing.T) {
	const hexKey = "00112233445566778899aabbccddeeff"
	k, err := ParseKey([]byte(" " + hexKey + "\n"))
	if err != nil || k[15] != 0xFF {
		t.Fatalf("%v", err)
	}
	for _, bad := range []string{"", hexKey[1:], "g" + hexKey[1:], strings.Repeat("00", 16), strings.Repeat("ab", 16), "303132333435363738393A3B3C3D3E3F"} {
		_, err := ParseKey([]byte(bad))
		if err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
	// I7: a key reaches no log, error or JSON.
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("key", "key", k)
	fmt.Fprintf(&b, "%v %x %X %s %q %#v %d %+v", k, k, k, k, k, k, k, struct{ K Key }{k})
	if err := json.NewEncoder(&b).Encode(k); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"001122", "0x11", "17 34", "17, 34"} {
		if strings.Contains(strings.ToLower(b.String()), secret) {
			t.Errorf("a key was printed: %s", b.String())
		}
	}
}
