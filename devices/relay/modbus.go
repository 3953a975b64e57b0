package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Modbus functions used (Modbus-RTU relay and IO).
const (
	fnReadCoils     = 0x01
	fnReadInputs    = 0x02
	fnReadHolding   = 0x03
	fnReadRegisters = 0x04
	fnWriteCoil     = 0x05
	fnWriteRegister = 0x06
	fnWriteCoils    = 0x0F

	exceptionBit = 0x80
)

// A coil at 0200 and over is that relay's flash: it is on for so long and then
// released by the board itself (Modbus-RTU: Waveshare, of memory there).
const (
	flashBase = 0x0200
	flashUnit = 100 * time.Millisecond
)

// frameMost is the longest Modbus-RTU frame (Modbus specification).
const frameMost = 256

// Exception is a board's refusal: 01 function, 02 address, 03 value, 04 failure.
type Exception struct{ Function, Code byte }

func (e Exception) Error() string {
	what := map[byte]string{1: "function", 2: "address", 3: "value", 4: "failure"}[e.Code]
	if what == "" {
		what = "unknown"
	}
	return fmt.Sprintf("board refuses function %02X with exception %02X (%s)", e.Function, e.Code, what)
}

// crcTable is the check value of each half byte: polynomial A001, reflected.
var crcTable = [16]uint16{0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401,
	0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400}

// crc16 is the check value of a frame, sent low byte first.
func crc16(b []byte) uint16 {
	c := uint16(0xFFFF)
	for _, x := range b {
		c ^= uint16(x)
		c = c>>4 ^ crcTable[c&15]
		c = c>>4 ^ crcTable[c&15]
	}
	return c
}

// appendCRC closes the frame that began at from.
func appendCRC(dst []byte, from int) []byte {
	return binary.LittleEndian.AppendUint16(dst, crc16(dst[from:]))
}

// appendRequest appends a request of two words, which is every one but 0F:
// an address, and a count or a value.
func appendRequest(dst []byte, unit, function byte, address, word uint16) []byte {
	from := len(dst)
	dst = append(dst, unit, function)
	dst = binary.BigEndian.AppendUint16(dst, address)
	return appendCRC(binary.BigEndian.AppendUint16(dst, word), from)
}

// coilWord is the value that switches a coil.
func coilWord(on bool) uint16 {
	if on {
		return 0xFF00
	}
	return 0x0000
}

// appendWriteCoils appends a request that sets count coils, 1 to 64, from
// address on; bit n of to is coil n.
func appendWriteCoils(dst []byte, unit byte, address uint16, count int, to levels) []byte {
	from := len(dst)
	dst = append(dst, unit, fnWriteCoils)
	dst = binary.BigEndian.AppendUint16(dst, address)
	dst = binary.BigEndian.AppendUint16(dst, uint16(count))
	size := (count + 7) / 8
	dst = append(dst, byte(size))
	var bits [8]byte
	binary.LittleEndian.PutUint64(bits[:], uint64(to))
	return appendCRC(append(dst, bits[:size]...), from)
}

// What a codec says of bytes that are to be skipped.
var (
	errStray   = errors.New("not an answer to the request")
	errDamaged = errors.New("check value is wrong")
)

// modbusAnswer looks for the answer to request at the front of b. It gives the
// data of a read, or nothing for a write. used 0 asks for more bytes; with
// errStray or errDamaged as many bytes are to be skipped and the search goes
// on: one after a damaged frame, since its start may be false.
func modbusAnswer(request, b []byte) (data []byte, used int, err error) {
	if len(b) < 2 {
		return nil, 0, nil
	}
	if b[0] != request[0] || b[1]&^exceptionBit != request[1] {
		return nil, 1, errStray
	}
	size := 8 // a write is echoed: address and value, or address and count
	switch {
	case b[1]&exceptionBit != 0:
		size = 5
	case isRead(b[1]):
		size = 5 + answerBytes(request)
		if len(b) > 2 && int(b[2]) != size-5 {
			return nil, 1, errStray
		}
	}
	if len(b) < size {
		return nil, 0, nil
	}
	if crc16(b[:size-2]) != binary.LittleEndian.Uint16(b[size-2:]) {
		return nil, 1, errDamaged
	}
	switch {
	case b[1]&exceptionBit != 0:
		return nil, size, Exception{Function: request[1], Code: b[2]}
	case isRead(b[1]):
		return b[3 : size-2], size, nil
	case string(b[2:6]) != string(request[2:6]):
		return nil, size, errStray // the late echo of an earlier write
	}
	return nil, size, nil
}

func isRead(function byte) bool { return function >= fnReadCoils && function <= fnReadRegisters }

// answerBytes is how many bytes of data answer a read.
func answerBytes(request []byte) int {
	count := int(binary.BigEndian.Uint16(request[4:]))
	if request[1] == fnReadHolding || request[1] == fnReadRegisters {
		return 2 * count
	}
	return (count + 7) / 8
}

// coilLevels reads the answer to a read of count coils or inputs. Padding bits
// are not looked at.
func coilLevels(data []byte, count int) levels {
	var l levels
	for i, x := range data {
		l |= levels(x) << (8 * i)
	}
	return l & first(count)
}

// registerLevels reads the answer to a read of registers: one a channel, and
// any value but zero is on.
func registerLevels(data []byte) levels {
	var l levels
	for i := 0; i+1 < len(data); i += 2 {
		l = l.with(i/2+1, data[i]|data[i+1] != 0)
	}
	return l
}

// silence is how long a line must be silent between two frames: 3.5 characters
// of 11 bits, and 1.75 ms above 19200 baud (Modbus-RTU, silent interval).
func silence(baud int) time.Duration {
	if baud > 19200 {
		return 1750 * time.Microsecond
	}
	return 35 * 11 * time.Second / time.Duration(10*baud)
}
