package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"boothd/devices"
)

const testKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func key(t *testing.T) *Key {
	t.Helper()
	k, err := ParseKey([]byte(testKey + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The token is written out here with the standard library alone, so that
// headquarters in another language can check itself against this test.
func TestTokenIsHMACOverDomainAndCanonicalForm(t *testing.T) {
	secret, _ := hex.DecodeString(testKey)
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("card\x003074257BF7194E4000001A85"))
	want := hex.EncodeToString(h.Sum(nil)[:16])
	if got := key(t).Card("3074 257b-f7194e4000001a85"); string(got) != want {
		t.Errorf("Card = %s, want %s", got, want)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"empty": "", "short": "0011", "not hex": strings.Repeat("zz", 32), "zero": strings.Repeat("0", 64),
	} {
		if _, err := ParseKey([]byte(in)); err == nil {
			t.Errorf("%s: no error", name)
		} else if in != "" && strings.Contains(err.Error(), in) {
			t.Errorf("%s: the error quotes the credential: %v", name, err)
		}
	}
}

func TestPlateCanonicalAndFolded(t *testing.T) {
	k := key(t)
	a := k.Plate("abcd 123", "on", 0.9)
	if b := k.Plate("ABCD-123", "ON", 0.5); a.Full != b.Full || a.Bare != b.Bare || a.Fold != b.Fold {
		t.Error("blank, dash or case changes the token")
	}
	if c := k.Plate("ＡＢＣＤ１２３", "ON", 1); a.Bare != c.Bare {
		t.Error("full-width text changes the token")
	}
	if d := k.Plate("A8CO I23", "", 1); d.Full != "" || d.Bare == a.Bare || d.Fold != a.Fold {
		t.Errorf("folding: %+v against %+v", d, a)
	}
	if e := k.Plate("ABCD123", "NY", 1); e.Full == a.Full || e.Bare != a.Bare {
		t.Error("jurisdiction must separate full tokens and no others")
	}
	if n := k.Plate(" - ", "ON", 1); !n.NoRead || n.Bare != "" || n.Full != "" || n.Fold != "" {
		t.Errorf("an empty plate has tokens: %+v", n)
	}
}

func TestDomainsDoNotCollide(t *testing.T) {
	k := key(t)
	if k.Card("1234") == k.TID("1234") || k.Card("1234") == k.Membership("1234") {
		t.Error("one number gives one token in two domains")
	}
	if k.Card("") != "" || k.Card("not hex") != "" {
		t.Error("no identifier, or a malformed one, has a token")
	}
}

// The draw must look uniform to the traveller and repeat for the auditor.
func TestDrawIsUniformAndReproducible(t *testing.T) {
	k, day := key(t), time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC)
	const n, rate = 100_000, 0.02
	hits := 0
	for i := range n {
		id := fmt.Sprintf("passage-%d", i)
		d := k.Draw(id, day)
		if d < 0 || d > 9999 || d != k.Draw(id, day) {
			t.Fatalf("draw %d", d)
		}
		if float64(d) < rate*10_000 {
			hits++
		}
	}
	if sigma := math.Sqrt(n * rate * (1 - rate)); math.Abs(float64(hits)-n*rate) > 4*sigma {
		t.Errorf("%d of %d drawn at 2 %%", hits, n)
	}
	if k.Draw("passage-1", day) == k.Draw("passage-1", day.Add(time.Hour)) && k.Draw("passage-2", day) == k.Draw("passage-2", day.Add(time.Hour)) {
		t.Error("the key of the day does not change with the day")
	}
}

func TestI7_KeyAndIdentNeverPrint(t *testing.T) {
	k, id := key(t), devices.Ident("3074257BF7194E4000001A85")
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		out := strings.ToLower(fmt.Sprintf(format, id) + fmt.Sprintf(format, struct{ A devices.Ident }{id}))
		if strings.Contains(out, "3074257bf7") || strings.Contains(out, "33303734") {
			t.Errorf("%s prints the identifier: %s", format, out)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %s", k, k), testKey[:8]) || strings.Contains(fmt.Sprintf("%#v", k), "0x1") {
		t.Error("the key prints itself")
	}
}
