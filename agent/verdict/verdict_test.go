package verdict

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"boothd/agent/passage"
)

const (
	testKey   = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	testNonce = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
	testToken = "00112233445566778899aabbccddeeff"
	testID    = "0193562e-7b3c-7000-8000-0000000000aa"
)

func key(t testing.TB) *Key {
	t.Helper()
	k, err := ParseKey([]byte(testKey + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sample(t testing.TB) Verdict {
	t.Helper()
	n, err := ParseNonce(testNonce)
	if err != nil {
		t.Fatal(err)
	}
	return Verdict{Challenge: Challenge{testID, testToken, n}, Result: Match, ProducedAt: time.UnixMilli(1795450000123).UTC(), MatcherID: "kiosk-3"}
}

func signed(t testing.TB, v Verdict) []byte {
	t.Helper()
	line, err := Sign(key(t), v)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// The MAC is written out here with the standard library alone, so that a
// matcher in another language can check itself against this test.
func TestLineIsWhatThePackageSays(t *testing.T) {
	secret, _ := hex.DecodeString(testKey)
	nonce, _ := hex.DecodeString(testNonce)
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("boothd verdict 1\x00"))
	h.Write([]byte("\x00\x24" + testID + "\x00\x20" + testToken + "\x00\x10" + string(nonce) + "\x00\x05MATCH"))
	h.Write([]byte("\x00\x08\x00\x00\x01\xa2\x09\x28\xd2\xfb" + "\x00\x07kiosk-3")) // 1795450000123
	want := `{"passage_id":"` + testID + `","card_token":"` + testToken + `","nonce":"` + testNonce +
		`","result":"MATCH","produced_at":1795450000123,"matcher_id":"kiosk-3","mac":"` + hex.EncodeToString(h.Sum(nil)) + `"}` + "\n"
	if got := string(signed(t, sample(t))); got != want {
		t.Errorf("Sign = %s, want %s", got, want)
	}
}

func TestOpenGivesBackWhatWasSigned(t *testing.T) {
	for _, r := range []Result{Unavailable, PoorQuality, NotEnrolled, NoMatch, Match} {
		v := sample(t)
		v.Result = r
		v.ProducedAt = v.ProducedAt.Add(999 * time.Microsecond) // cut off
		line := signed(t, v)
		v.ProducedAt = sample(t).ProducedAt
		got, bound, err := Open(key(t), line)
		v.MAC = got.MAC
		if got != v || !bound || err != nil || got.MAC == (MAC{}) {
			t.Errorf("Open = %+v, %t, %v, want %+v, true", got, bound, err, v)
		}
		if _, bound, err := Open(key(t), bytes.TrimSuffix(line, []byte("\n"))); !bound || err != nil {
			t.Errorf("without LF: %t, %v", bound, err)
		}
	}
}

// TestI1_UnboundUnderDoubt: another key, no key, and every field that says
// something else than what was signed.
func TestI1_UnboundUnderDoubt(t *testing.T) {
	other, err := ParseKey([]byte(strings.Repeat("ab", 32)))
	if err != nil {
		t.Fatal(err)
	}
	line := signed(t, sample(t))
	for name, k := range map[string]*Key{"another key": other, "no key": nil} {
		if v, bound, err := Open(k, line); bound || err != nil || v.Result != Match {
			t.Errorf("%s: Open = %v, %t, %v, want an unbound MATCH", name, v.Result, bound, err)
		}
	}
	for _, edit := range [][2]string{
		{testID, strings.Replace(testID, "aa", "ab", 1)}, {testToken, strings.Replace(testToken, "aa", "ab", 1)},
		{testNonce, strings.Replace(testNonce, "fa", "fb", 1)}, {"MATCH", "NO_MATCH"}, {"0123,", "0124,"}, {"kiosk-3", "kiosk-4"}, {`"mac":"`, `"mac":"`},
	} {
		text := strings.Replace(string(line), edit[0], edit[1], 1)
		if edit[0] == edit[1] { // the MAC itself
			at := strings.Index(text, edit[0]) + len(edit[0])
			text = text[:at] + strings.Repeat("0", 64) + text[at+64:]
		}
		if _, bound, err := Open(key(t), []byte(text)); bound || err != nil {
			t.Errorf("%s for %s: Open = %t, %v, want an unbound verdict", edit[1], edit[0], bound, err)
		}
	}
}

// Two verdicts never seal alike: a byte moved over a border between fields
// changes a length.
func TestSealIsUnambiguous(t *testing.T) {
	a, b := sample(t), sample(t)
	a.PassageID, a.CardToken = "ab", "c"
	b.PassageID, b.CardToken = "a", "bc"
	if bytes.Equal(a.sealed(), b.sealed()) {
		t.Error("two verdicts seal alike")
	}
}

func TestOpenRefuses(t *testing.T) {
	good := strings.TrimSuffix(string(signed(t, sample(t))), "\n")
	swap := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("%q is not in the line", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	tests := map[string]string{
		"empty": "", "no object": `"MATCH"`, "null": "null", "array": "[" + good + "]", "two": good + good,
		"a score": swap(`{`, `{"score":0.99,`), "an image": swap(`"}`, `","image":"aGk="}`),
		"key twice": swap(`"result":"MATCH"`, `"result":"NO_MATCH","result":"MATCH"`), "other case": swap(`"result"`, `"Result"`),
		"unknown result": swap("MATCH", "MAYBE"), "result in lower case": swap("MATCH", "match"), "result is a number": swap(`"MATCH"`, "4"),
		"result is null": swap(`"MATCH"`, "null"), "time is null": swap("1795450000123", "null"),
		"nonce in upper case": swap(testNonce, strings.ToUpper(testNonce)), "nonce short": swap(testNonce, testNonce[2:]), "nonce zero": swap(testNonce, strings.Repeat("0", 32)),
		"nonce no hex": swap(testNonce, "x"+testNonce[1:]), "token in upper case": swap(testToken, strings.ToUpper(testToken)), "token long": swap(testToken, testToken+"00"),
		"time as text": swap("1795450000123", `"1795450000123"`), "time is a fraction": swap("1795450000123", "1795450000123.5"),
		"time is negative": swap("1795450000123", "-1"), "time is zero": swap("1795450000123", "0"), "time is far": swap("1795450000123", "9223372036854775807"),
		"time is further": swap("1795450000123", "92233720368547758070"),
		"passage empty":   swap(testID, ""), "passage with NUL": swap(testID, `a\u0000b`), "passage long": swap(testID, strings.Repeat("a", maxPassage+1)),
		"matcher empty": swap("kiosk-3", ""), "matcher long": swap("kiosk-3", strings.Repeat("a", maxMatcher+1)), "matcher with a space": swap("kiosk-3", "kiosk 3"),
		"broken UTF-8": swap("kiosk-3", "kiosk\xff"), "mac short": swap(`"}`, `0"}`), "longer than a line": good + strings.Repeat(" ", MaxLine),
	}
	for _, k := range []string{"passage_id", "card_token", "nonce", "produced_at", "result", "matcher_id", "mac"} {
		from := strings.Index(good, `"`+k+`":`)
		to := from + strings.IndexAny(good[from:], ",}")
		tests["no "+k] = strings.Replace(strings.Replace(good[:from]+good[to:], "{,", "{", 1), ",,", ",", 1)
	}
	tests["no mac"] = strings.Replace(tests["no mac"], ",}", "}", 1)
	for name, line := range tests {
		v, bound, err := Open(key(t), []byte(line))
		if !errors.Is(err, ErrForm) || bound || v != (Verdict{}) {
			t.Errorf("%s: Open = %+v, %t, %v, want %v and nothing else", name, v, bound, err, ErrForm)
		}
		if err != nil && strings.Contains(err.Error(), testToken) {
			t.Errorf("%s: the error quotes the line: %v", name, err)
		}
	}
	longest := sample(t)
	longest.PassageID, longest.MatcherID, longest.Result = strings.Repeat("p", maxPassage), strings.Repeat("m", maxMatcher), Unavailable
	if n := len(signed(t, longest)); n > MaxLine/2 {
		t.Errorf("the longest verdict has %d bytes", n)
	}
}

func TestSignRefuses(t *testing.T) {
	for name, edit := range map[string]func(*Verdict){
		"passage": func(v *Verdict) { v.PassageID = "a b" }, "token": func(v *Verdict) { v.CardToken = "" }, "nonce": func(v *Verdict) { v.Nonce = Nonce{} },
		"result": func(v *Verdict) { v.Result = 5 }, "time": func(v *Verdict) { v.ProducedAt = time.Time{} }, "matcher": func(v *Verdict) { v.MatcherID = "\u00e9" },
	} {
		v := sample(t)
		edit(&v)
		if line, err := Sign(key(t), v); !errors.Is(err, ErrForm) || line != nil {
			t.Errorf("%s: Sign = %s, %v, want %v", name, line, err, ErrForm)
		}
	}
	if _, err := Sign(nil, sample(t)); !errors.Is(err, ErrNoKey) {
		t.Errorf("Sign without a key = %v, want %v", err, ErrNoKey)
	}
}

func TestChallengeLine(t *testing.T) {
	c := sample(t).Challenge
	line, err := EncodeChallenge(c)
	want := `{"challenge":{"passage_id":"` + testID + `","card_token":"` + testToken + `","nonce":"` + testNonce + `"}}` + "\n"
	if string(line) != want || err != nil {
		t.Fatalf("EncodeChallenge = %s, %v, want %s", line, err, want)
	}
	if got, err := ParseChallenge(line); got != c || err != nil {
		t.Errorf("ParseChallenge = %+v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", `{"challenge":null}`, `{"challenge":{}}`, strings.Replace(want, `}}`, `,"x":1}}`, 1), strings.Replace(want, testNonce, "00", 1)} {
		if got, err := ParseChallenge([]byte(bad)); !errors.Is(err, ErrForm) || got != (Challenge{}) {
			t.Errorf("ParseChallenge(%s) = %+v, %v, want %v", bad, got, err, ErrForm)
		}
	}
	if line, err := EncodeChallenge(Challenge{}); !errors.Is(err, ErrForm) || line != nil {
		t.Errorf("EncodeChallenge of none = %s, %v, want %v", line, err, ErrForm)
	}
}

func TestZeroValueIsUnavailable(t *testing.T) {
	var v Verdict
	if v.Result != Unavailable || Result(9).String() != "UNAVAILABLE" {
		t.Error("a forgotten result is not UNAVAILABLE")
	}
	if _, err := Result(9).MarshalText(); !errors.Is(err, ErrForm) {
		t.Errorf("an unknown result is written: %v", err)
	}
}

// No score, image or template may cross: there is no field to hold one.
func TestI7_NoPlaceForBiometrics(t *testing.T) {
	w := reflect.TypeFor[wire]()
	for i := range w.NumField() {
		switch f := w.Field(i).Type.Elem(); f {
		case reflect.TypeFor[string](), reflect.TypeFor[passage.Token](), reflect.TypeFor[Nonce](), reflect.TypeFor[Result](), reflect.TypeFor[int64](), reflect.TypeFor[MAC]():
		default:
			t.Errorf("a line has a field of type %s", f)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"empty": "", "short": "0011", "long": testKey + "00", "not hex": strings.Repeat("zz", 32), "zero": strings.Repeat("0", 64),
	} {
		if _, err := ParseKey([]byte(in)); err == nil {
			t.Errorf("%s: no error", name)
		} else if in != "" && strings.Contains(err.Error(), in) {
			t.Errorf("%s: the error quotes the credential: %v", name, err)
		}
	}
}

func TestI7_KeyNeverPrints(t *testing.T) {
	k := key(t)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		for _, x := range []any{k, struct{ K *Key }{k}} {
			if out := fmt.Sprintf(format, x); strings.Contains(out, "0001020304") || strings.Contains(out, "1 2 3 4") || strings.Contains(out, "0x1,") {
				t.Errorf("%s prints the key: %s", format, out)
			}
		}
	}
	if len(k.ID()) != 8 || !strings.Contains(k.String(), k.ID()) {
		t.Errorf("the key is called %q, id %q", k, k.ID())
	}
}

func FuzzOpen(f *testing.F) {
	k := key(f)
	line := signed(f, sample(f))
	f.Add(line)
	f.Add([]byte(`{"challenge":{"passage_id":"a","card_token":"` + testToken + `","nonce":"` + testNonce + `"}}`))
	f.Add(bytes.Replace(line, []byte("MATCH"), []byte(`M\u0041TCH`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, bound, err := Open(k, b)
		if err != nil && (bound || v != (Verdict{}) || !errors.Is(err, ErrForm)) {
			t.Fatalf("an error came with %+v, %t, or is another: %v", v, bound, err)
		}
		if err == nil {
			again, err := Sign(k, v)
			if err != nil {
				t.Fatalf("what was read cannot be signed: %v", err)
			}
			if w, ok, err := Open(k, again); err != nil || !ok || bound && w != v || w.Challenge != v.Challenge || w.Result != v.Result {
				t.Fatalf("signed again: %+v, %t, %v, want %+v", w, ok, err, v)
			}
		}
		if c, err := ParseChallenge(b); err == nil {
			if again, err := EncodeChallenge(c); err != nil || len(again) > MaxLine {
				t.Fatalf("what was read cannot be written: %v", err)
			}
		} else if c != (Challenge{}) {
			t.Fatal("an error came with half a challenge")
		}
	})
}
