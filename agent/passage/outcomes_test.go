package passage

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The program's table is the domain's, cell by cell, and both have every code.
func TestOutcomesAreTheDomainsTable(t *testing.T) {
	text, err := os.ReadFile("testdata/outcomes.txt")
	if err != nil {
		t.Fatal(err)
	}
	told := map[Code]bool{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" || strings.HasPrefix(f[0], "#") {
			continue
		}
		n, err := strconv.Atoi(f[0])
		if err != nil || len(f) != 6 {
			t.Fatalf("%q is no row", line)
		}
		code := Code(n)
		told[code] = true
		if code.Name() != f[1] {
			t.Errorf("%d is %s, want %s", n, code.Name(), f[1])
		}
		for column, want := range f[2:] {
			o, occurs := outcomeOf(code, column)
			got := map[Outcome]string{Expedite: "i", Primary: "P", Refer: "R", Hold: "H"}[o]
			if code == Eligible && o == Expedite {
				got = "E"
			}
			if !occurs {
				got = "-"
			}
			if got != want {
				t.Errorf("%d %s in column %d: %s, want %s", n, f[1], column, got, want)
			}
		}
	}
	for _, c := range Codes() {
		if !told[c] {
			t.Errorf("%d %s is not in the table", c, c.Name())
		}
	}
	if len(told) != len(outcomes) || len(told) != 82 {
		t.Errorf("%d rows, %d in the program", len(told), len(outcomes))
	}
}

// occurring gives the codes that may be found in a lane.
func occurring(column int) (codes []Code) {
	for _, c := range Codes() {
		if _, ok := outcomeOf(c, column); ok {
			codes = append(codes, c)
		}
	}
	return codes
}

func ExampleCode_Words() {
	fmt.Println(MembershipRevoked.Name(), "-", MembershipRevoked.Words())
	// Output: MEMBERSHIP_REVOKED - a membership is revoked
}
