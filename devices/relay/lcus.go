package relay

// LCUS operations (GPIO and relays, LCUS serial relay). Those with an answer
// are from memory there: confirm with the board.
const (
	lcusStart     = 0xA0
	lcusOff       = 0x00
	lcusOn        = 0x01
	lcusOffAnswer = 0x02
	lcusOnAnswer  = 0x03
	lcusQuery     = 0x05

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
