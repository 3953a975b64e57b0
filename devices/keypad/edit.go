package keypad

import (
	"slices"
	"strconv"
	"strings"

	"boothd/devices"
)

// Limits of what is typed; ours, but for the plate: no plate that lists hold is
// longer than 10 characters.
const (
	maxTyped = 16 // characters: jurisdiction, dash, and a plate with dashes in it
	maxPlate = 10 // letters and digits of a plate
	maxCount = 99
)

// key is one key struck: "A" to "Z", "0" to "9", "-", "#", "*", "+", "/", ".",
// "F1" to "F12", or one of those below.
type key string

const (
	enter key = "enter"
	back  key = "back"  // takes the last character off
	erase key = "erase" // takes all off
	lost  key = "lost"  // keys were lost, or are none: what is typed is not what was struck
)

// keyNames are the keys that may be bound to buttons.
func keyNames() []string {
	return strings.Fields("# * + / . A B C D F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12")
}

// press is one thing an officer has said: a button, a plate, or what was neither.
type press struct {
	devices.Key
	refused bool // what was typed is no plate or count, and was dropped
}

// Count is the button that takes the number typed before it, 1 to 99: with 3 it
// is read as "count_3". Others drop what was typed.
const Count = "count"

// editor turns keys into presses. It holds what is typed and nothing else.
type editor struct {
	buttons       map[string]string // key name to button
	jurisdictions []string

	typed [maxTyped]byte
	n     int
	over  bool // more was typed than fits
}

// strike takes one key; ok tells that it completed a press.
func (e *editor) strike(k key) (p press, ok bool) {
	if button, bound := e.buttons[string(k)]; bound {
		return e.button(button), true
	}
	switch k {
	case enter:
		p = e.line()
		e.wipe()
		return p, p != press{}
	case back:
		if e.n > 0 && !e.over {
			e.n--
			e.typed[e.n] = 0
		}
	case erase:
		e.wipe()
	case lost:
		e.wipe()
		return press{refused: true}, true
	default:
		if len(k) != 1 || !plate(k[0]) {
			return press{}, false // a key that means nothing here
		}
		if e.n == maxTyped {
			e.over = true
			return press{}, false
		}
		e.typed[e.n] = k[0]
		e.n++
	}
	return press{}, false
}

// wipe forgets what is typed, and tells whether there was something.
func (e *editor) wipe() bool {
	was := e.n > 0
	clear(e.typed[:])
	e.n, e.over = 0, false
	return was
}

// button is never kept from the lane by what was typed before it.
func (e *editor) button(name string) press {
	p := press{Key: devices.Key{Button: name}}
	if name == Count {
		n := e.count()
		p = press{refused: n == 0}
		if n > 0 {
			p.Button = Count + "_" + strconv.Itoa(n)
		}
	}
	e.wipe()
	return p
}

// count is the number typed, 0 if it is none.
func (e *editor) count() (n int) {
	for _, c := range e.typed[:e.n] {
		if c < '0' || c > '9' {
			return 0
		}
		if n = 10*n + int(c-'0'); n > maxCount {
			return 0
		}
	}
	return n
}

// line is the plate typed, zero if nothing was.
func (e *editor) line() press {
	if e.n == 0 {
		return press{}
	}
	if e.over {
		return press{refused: true}
	}
	text, where := string(e.typed[:e.n]), ""
	if prefix, rest, found := strings.Cut(text, "-"); found && slices.Contains(e.jurisdictions, prefix) {
		where, text = prefix, rest
	}
	signs := 0
	for i := range len(text) {
		if text[i] != '-' {
			signs++
		}
	}
	if signs < 1 || signs > maxPlate {
		return press{refused: true}
	}
	return press{Key: devices.Key{Plate: devices.Ident(text), Jurisdiction: where}}
}

func plate(c byte) bool {
	return 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}

// states and provinces are the jurisdictions that lists use, by their postal
// codes: what may stand before a plate.
func states() []string {
	return strings.Fields("AB BC MB NB NL NS NT NU ON PE QC SK YT " +
		"AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH NJ NM NV NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY")
}
