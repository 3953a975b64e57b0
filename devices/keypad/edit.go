package keypad

import (
	"slices"
	"strings"
	"time"

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

// Press is one thing an officer has said: a button, a plate, or a line that was
// neither. Exactly one of Button, Plate and Refused is set.
type Press struct {
	Device string    // name from the configuration
	At     time.Time // arrival of the key that completed it, with monotonic part

	Button string // the name that its key is bound to: "release", "refer", "count", ...
	Count  int    // with button "count": the number typed before it, 1 to 99

	Plate        devices.Ident // A-Z, 0-9 and "-" as typed, 1 to 10 letters and digits
	Jurisdiction string        // "ON", "NY", ... if it was typed before the plate, with a dash

	Refused bool // what was typed is no plate or count, and was dropped: worth a buzz
}

// Count is the button that takes the number typed before it. Others drop what
// was typed.
const Count = "count"

// editor turns keys into presses. It holds what is typed and nothing else.
type editor struct {
	buttons       map[string]string // key name to button
	jurisdictions []string

	typed [maxTyped]byte
	n     int
	over  bool // more was typed than fits
}

// strike takes one key; ok tells that it completed a press. At and Device of
// the press are for the caller to fill in.
func (e *editor) strike(k key) (p Press, ok bool) {
	if button, bound := e.buttons[string(k)]; bound {
		return e.button(button), true
	}
	switch k {
	case enter:
		p = e.line()
		e.wipe()
		return p, p != Press{}
	case back:
		if e.n > 0 && !e.over {
			e.n--
			e.typed[e.n] = 0
		}
	case erase:
		e.wipe()
	case lost:
		e.wipe()
		return Press{Refused: true}, true
	default:
		if len(k) != 1 || !plate(k[0]) {
			return Press{}, false // a key that means nothing here
		}
		if e.n == maxTyped {
			e.over = true
			return Press{}, false
		}
		e.typed[e.n] = k[0]
		e.n++
	}
	return Press{}, false
}

// wipe forgets what is typed, and tells whether there was something.
func (e *editor) wipe() bool {
	was := e.n > 0
	clear(e.typed[:])
	e.n, e.over = 0, false
	return was
}

// button is never kept from the lane by what was typed before it.
func (e *editor) button(name string) Press {
	p := Press{Button: name}
	if name == Count {
		p.Count = e.count()
		if p.Count == 0 {
			p = Press{Refused: true}
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
func (e *editor) line() Press {
	if e.n == 0 {
		return Press{}
	}
	if e.over {
		return Press{Refused: true}
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
		return Press{Refused: true}
	}
	return Press{Plate: devices.Ident(text), Jurisdiction: where}
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
