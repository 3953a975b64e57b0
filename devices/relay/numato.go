package relay

import (
	"bytes"
	"strconv"
)

// Bounds of a Numato board (GPIO and relays, Numato ASCII).
const (
	numatoChannels = 32 // 0..9, A..V
	// numatoMost is the longest answer: echo, eight hex digits, ends of lines and
	// prompt are 40 bytes; ours.
	numatoMost = 128
	prompt     = '>'
)

const (
	numatoRelay = "relay"
	numatoInput = "gpio"
)

// numatoName is a channel as the board names it, from 0.
func numatoName(channel int) string {
	return string("0123456789ABCDEFGHIJKLMNOPQRSTUV"[channel-1])
}

// appendNumato appends a command, such as "relay", "on", "0". CR alone ends it.
func appendNumato(dst []byte, words ...string) []byte {
	for i, w := range words {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, w...)
	}
	return append(dst, '\r')
}

// numatoAnswer looks for the answer to a command at the front of b: the echo,
// at most one line of text, and the prompt. used and err are as in
// modbusAnswer. The echo is all there is to check by, so that an answer without
// it, or to another command, is none.
func numatoAnswer(command, b []byte) (text []byte, used int, err error) {
	end := bytes.IndexByte(b, prompt)
	if end < 0 {
		if len(b) >= numatoMost {
			return nil, len(b), errStray
		}
		return nil, 0, nil
	}
	used = end + 1
	lines := bytes.FieldsFunc(b[:end], func(r rune) bool { return r == '\r' || r == '\n' })
	if echo := bytes.TrimSuffix(command, []byte{'\r'}); len(echo) > 0 {
		if len(lines) == 0 || !bytes.Equal(bytes.TrimSpace(lines[0]), echo) {
			return nil, used, errStray
		}
		lines = lines[1:]
	}
	switch len(lines) {
	case 0:
		return nil, used, nil
	case 1:
		return bytes.TrimSpace(lines[0]), used, nil
	}
	return nil, used, errStray
}

// numatoState reads "on", "off", "1" or "0".
func numatoState(text []byte) (on, ok bool) {
	switch string(text) {
	case "on", "1":
		return true, true
	case "off", "0":
		return false, true
	}
	return false, false
}

// numatoLevels reads the answer to "relay readall": hex digits, the last one
// relays 0 to 3.
func numatoLevels(text []byte) (levels, bool) {
	if len(text) == 0 || len(text) > numatoChannels/4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text), 16, numatoChannels)
	return levels(n), err == nil
}
