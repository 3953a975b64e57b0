package line

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// answerMost bounds what is sent for one report, in bytes. Ours.
const answerMost = 64

// placeSeq stands for what the report has in its field "seq".
const placeSeq = "{seq}"

// answer is what a camera that waits is sent: bytes, and nil for the place of
// the report's number. None: nothing is sent.
type answer [][]byte

// parseAnswer reads hex digits and places between blanks, such as "06" or
// "02 {seq} 06 03".
func parseAnswer(text string) (a answer, err error) {
	size := 0
	for _, f := range strings.Fields(text) {
		if f == placeSeq {
			a = append(a, nil)
			continue
		}
		b, err := hex.DecodeString(f)
		if err != nil {
			return nil, fmt.Errorf("answer: %q is neither bytes in hex nor %s", f, placeSeq)
		}
		if size += len(b); size > answerMost {
			return nil, fmt.Errorf("answer: more than %d bytes", answerMost)
		}
		a = append(a, b)
	}
	return a, nil
}

// numbered tells whether it needs the report's number.
func (a answer) numbered() bool {
	for _, b := range a {
		if b == nil {
			return true
		}
	}
	return false
}

// append appends the answer to a report of that number. A number too long for
// any camera is cut off.
func (a answer) append(dst []byte, seq string) []byte {
	for _, b := range a {
		if b == nil {
			b = []byte(seq[:min(len(seq), answerMost)])
		}
		dst = append(dst, b...)
	}
	return dst
}
