package relay

import (
	"bytes"
	"fmt"
	"strings"
)

// LCUS operations (GPIO and relays, LCUS serial relay). Those with an answer
// are from memory there: confirm with the board.
const (
	lcusStart     = 0xA0
	lcusOff       = 0x00
	lcusOn        = 0x01
	lcusOffAnswer = 0x02
	lcusOnAnswer  = 0x03
	lcusQuery     = 0x05
	lcusQueryAll  = 0xFF // a byte by itself, answered in words

	lcusSize     = 4
	lcusChannels = 8
)

// appendLCUS appends one command; channels count from 1.
func appendLCUS(dst []byte, channel int, op byte) []byte {
	return append(dst, lcusStart, byte(channel), op, lcusStart+byte(channel)+op)
}

// lcusOp is the operation that switches a relay.
func lcusOp(on, answer bool) byte {
	switch {
	case on && answer:
		return lcusOnAnswer
	case on:
		return lcusOn
	case answer:
		return lcusOffAnswer
	}
	return lcusOff
}

// lcusAnswer looks for the state of a channel at the front of b. used and err
// are as in modbusAnswer. A board that echoes what it was told, 02 or 03,
// means the same.
func lcusAnswer(channel int, b []byte) (on bool, used int, err error) {
	switch {
	case len(b) == 0:
		return false, 0, nil
	case b[0] != lcusStart:
		return false, 1, errStray
	case len(b) < lcusSize:
		return false, 0, nil
	case b[0]+b[1]+b[2] != b[3]:
		return false, 1, errDamaged
	case int(b[1]) != channel || b[2] > lcusOnAnswer:
		return false, lcusSize, errStray
	}
	return b[2]&1 == 1, lcusSize, nil
}

// lcusLines looks for what a board says of all its relays at the front of b: a
// line for each, "CH1: OFF" and so on, from the first to at least the highest
// that is asked for. There is no check value: a line that is not exactly so is
// none, and the answer is asked for again. used and err are as in modbusAnswer.
func lcusLines(highest int, b []byte) (got levels, used int, err error) {
	channel := 0
	for channel < lcusChannels {
		on, n := lcusLine(channel+1, b[used:])
		if n == 0 {
			break
		}
		channel++
		got = got.with(channel, on)
		used += n
	}
	switch rest := b[used:]; {
	case channel >= highest:
		return got, used, nil
	case lcusBegins(channel+1, rest):
		return 0, 0, nil
	}
	return 0, 1, errStray
}

// The lines of a channel, with the space or without.
var lcusForms = [...]string{"CH%d: ON\r\n", "CH%d: OFF\r\n", "CH%d:ON\r\n", "CH%d:OFF\r\n"}

// lcusLine reads the line of one channel; n is 0 if it is not there.
func lcusLine(channel int, b []byte) (on bool, n int) {
	for i, form := range lcusForms {
		if line := fmt.Sprintf(form, channel); bytes.HasPrefix(b, []byte(line)) {
			return i%2 == 0, len(line)
		}
	}
	return false, 0
}

// lcusBegins tells whether b is less than the line of a channel.
func lcusBegins(channel int, b []byte) bool {
	for _, form := range lcusForms {
		if strings.HasPrefix(fmt.Sprintf(form, channel), string(b)) {
			return true
		}
	}
	return false
}
