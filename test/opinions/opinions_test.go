// Package opinions asks other programs what they read where our devices read:
// epc-tds, mrz and modbus-serial by node (opinions.mjs), mbpoll, python3-stdnum
// and tshark. .ci/setup installs them.
package opinions

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"boothd/devices/barcode"
	"boothd/devices/epc"
	"boothd/devices/iso6346"
	"boothd/devices/mrz"
)

// other is a program that answers lines with lines.
type other struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

// ask starts one. It ends with the test at the latest.
func ask(t *testing.T, name string, args ...string) *other {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var faults strings.Builder
	cmd.Stderr = &faults
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run .ci/setup", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); t.Failed() {
			t.Logf("%s: %v\n%s", name, err, faults.String())
		}
	})
	return &other{t: t, in: in, out: bufio.NewScanner(out)}
}

func (o *other) tell(question any) {
	o.t.Helper()
	b, err := json.Marshal(question)
	if err == nil {
		_, err = o.in.Write(append(b, '\n'))
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *other) hear(answer any) {
	o.t.Helper()
	if !o.out.Scan() {
		o.t.Fatalf("no answer: %v", o.out.Err())
	}
	if err := json.Unmarshal(o.out.Bytes(), answer); err != nil {
		o.t.Fatalf("%v: %s", err, o.out.Bytes())
	}
}

// Every EPC of 96 bits with a header that epc-tds knows and that we read has the
// URI that it says.
func TestEPC(t *testing.T) {
	tds := ask(t, "node", "opinions.mjs", "epc")
	dice := rand.New(rand.NewPCG(96, 1))
	same := map[string]int{}
	for range 3000 {
		b := make([]byte, 12)
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		b[0] = []byte{0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x2D, 0x2E}[dice.IntN(8)]
		b[1] = b[1]&0xE3 | byte(dice.IntN(7))<<2 // a partition that exists
		if b[0] == 0x31 || b[0] == 0x2D {        // reserved, and refused where they are not zero
			clear(b[9:])
		}
		ours, err := epc.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		uri := ours.URI().Reveal()
		if ours.Scheme == "gsrn-96" { // a reference has leading zeros; epc-tds loses them
			ref := ours.Ref.Reveal()
			uri = strings.Replace(uri, "."+ref, "."+strings.TrimLeft(ref, "0"), 1)
		}
		if ours.Ref == "" { // a reference of no digits is empty; epc-tds writes a zero
			uri = strings.Replace(uri, "..", ".0.", 1)
		}
		var theirs *string
		tds.tell(fmt.Sprintf("%X", b))
		tds.hear(&theirs)
		switch {
		case ours.Raw != "":
			same[ours.Raw]++ // we refuse more: values with more digits than their field, which the standard forbids
		case theirs == nil || *theirs != uri:
			t.Errorf("%X: ours %s, theirs %v", b, uri, said(theirs))
		default:
			same[ours.Scheme]++
		}
	}
	for _, scheme := range []string{"sgtin-96", "sscc-96", "sgln-96", "grai-96", "giai-96", "gid-96", "gsrn-96"} {
		if same[scheme] < 20 {
			t.Errorf("%s: only %d were the same: %v", scheme, same[scheme], same)
		}
	}
	t.Log(same)
}

func said(s *string) string {
	if s == nil {
		return "nothing"
	}
	return *s
}

// digit is a check digit as ICAO 9303 part 3, 4.9 has it.
func digit(fields ...string) string {
	weights, n := [3]int{7, 3, 1}, 0
	for i, c := range strings.Join(fields, "") {
		v := 0
		switch {
		case c >= '0' && c <= '9':
			v = int(c - '0')
		case c >= 'A':
			v = int(c-'A') + 10
		}
		n += v * weights[i%3]
	}
	return fmt.Sprint(n % 10)
}

// document composes a document of a kind, right in every check.
func document(dice *rand.Rand, kind mrz.Kind) []string {
	pad := func(s string, n int) string { return s + strings.Repeat("<", n-len(s)) }
	letters := func(set string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = set[dice.IntN(len(set))]
		}
		return string(b)
	}
	const figures, both = "0123456789", "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
	number := pad(letters(both, 7+dice.IntN(3)), 9)
	birth := fmt.Sprintf("%02d%02d%02d", dice.IntN(100), 1+dice.IntN(12), 1+dice.IntN(28))
	expiry := fmt.Sprintf("%02d%02d%02d", dice.IntN(100), 1+dice.IntN(12), 1+dice.IntN(28))
	number, birth, expiry = number+digit(number), birth+digit(birth), expiry+digit(expiry)
	switch kind {
	case mrz.TD1:
		first, second := number+pad("", 15), pad(letters(figures, 5), 11)
		return []string{"I<CAN" + first, birth + "F" + expiry + "CAN" + second + digit(first, birth, expiry, second), pad("TRAVELLER<<TEST", 30)}
	case mrz.TD2:
		more := pad(letters(both, 4), 7)
		return []string{pad("I<USATRAVELLER<<TEST", 36), number + "USA" + birth + "M" + expiry + more + digit(number, birth, expiry, more)}
	}
	more := pad(letters(both, 6), 14)
	more += digit(more)
	return []string{pad("P<CANTRAVELLER<<TEST", 44), number + "CAN" + birth + "X" + expiry + more + digit(number, birth, expiry, more)}
}

// Documents of three kinds, right and with one character changed: number,
// expiry and every check digit are as the package mrz says.
func TestMRZ(t *testing.T) {
	judge := ask(t, "node", "opinions.mjs", "mrz")
	dice := rand.New(rand.NewPCG(9303, 1))
	right, wrong := 0, 0
	for i := range 3000 {
		kind := []mrz.Kind{mrz.TD1, mrz.TD2, mrz.TD3}[i%3]
		lines := document(dice, kind)
		if i%2 == 1 { // a figure where one stood, so that no look-alike is meant
			row := min(1, len(lines)-1)
			b := []byte(lines[row])
			at := dice.IntN(28)
			if b[at] < '0' || b[at] > '9' {
				continue
			}
			b[at] = '0' + (b[at]-'0'+1)%10
			lines[row] = string(b)
		}
		var theirs *struct {
			Format, Number, Expiry string
			Wrong                  []string
		}
		judge.tell(lines)
		judge.hear(&theirs)
		ours, err := mrz.Parse([]byte(strings.Join(lines, "\r")))
		if err != nil || theirs == nil {
			t.Fatalf("%q: ours %v, theirs %v", lines, err, theirs)
		}
		if (ours.Failed != 0) != (len(theirs.Wrong) > 0) || ours.Kind.String() != theirs.Format {
			t.Errorf("%q: ours %v with %v wrong, theirs %v", lines, ours.Kind, ours.Failed, *theirs)
		}
		if ours.Failed != 0 {
			wrong++
			continue
		}
		right++
		if ours.Number.Reveal() != theirs.Number || ours.Expiry.Format("060102") != theirs.Expiry {
			t.Errorf("%q: ours %s %v, theirs %v", lines, ours.Number.Reveal(), ours.Expiry.Format(time.DateOnly), *theirs)
		}
	}
	if right < 1000 || wrong < 300 {
		t.Errorf("%d right and %d wrong documents were compared", right, wrong)
	}
}

const stdnum = `
import json, sys
from stdnum import iso6346, luhn
from stdnum.ca import bn
for line in sys.stdin:
    kind, text = json.loads(line)
    print(json.dumps({"container": iso6346, "business": bn}[kind].is_valid(text)), flush=True)
`

// Container and business numbers with random check digits are right where
// python3-stdnum says so.
func TestNumbers(t *testing.T) {
	std := ask(t, "/usr/bin/python3", "-c", stdnum)
	dice := rand.New(rand.NewPCG(6346, 1))
	valid := map[string]int{}
	for range 2000 {
		container := fmt.Sprintf("%c%c%c%c%07d", 'A'+dice.IntN(26), 'A'+dice.IntN(26), 'A'+dice.IntN(26), "UJZ"[dice.IntN(3)], dice.IntN(1e7))
		business := fmt.Sprintf("%09dRM%04d", dice.IntN(1e9), dice.IntN(1e4))
		_, noContainer := iso6346.Parse(container)
		_, noBusiness := barcode.ParseBN15(business)
		for kind, q := range map[string]struct {
			text string
			ours bool
		}{"container": {container, noContainer == nil}, "business": {business, noBusiness == nil}} {
			var theirs bool
			std.tell([]string{kind, q.text})
			std.hear(&theirs)
			if theirs != q.ours {
				t.Errorf("%s: ours %v, theirs %v", q.text, q.ours, theirs)
			}
			if theirs {
				valid[kind]++
			}
		}
	}
	if valid["container"] < 100 || valid["business"] < 100 {
		t.Errorf("right ones: %v", valid)
	}
}
