package main

import (
	"encoding/binary"
	"fmt"
)

// The frames below are looked for whole and with their check value: a line at
// the wrong speed gives any bytes, and one in 65,536 of them passes by chance.
// They are read here and not by the drivers, which set a device up before they
// believe it.

// shifted is the check value of Mercury (initial FFFF) and Amtech (initial 0):
// polynomial 1021, the message shifted in at the low end (Mercury serial
// protocol, Amtech ASCII host protocol).
func shifted(c uint16, b []byte) uint16 {
	for _, x := range b {
		for bit := 7; bit >= 0; bit-- {
			out := c & 0x8000
			if c = c<<1 | uint16(x>>bit&1); out != 0 {
				c ^= 0x1021
			}
		}
	}
	return c
}

// osdpSum is the check value of OSDP: polynomial 1021, initial 1D0F.
func osdpSum(b []byte) uint16 {
	c := uint16(0x1D0F)
	for _, x := range b {
		c ^= uint16(x) << 8
		for range 8 {
			out := c & 0x8000
			if c <<= 1; out != 0 {
				c ^= 0x1021
			}
		}
	}
	return c
}

// reflected is the check value of Modbus-RTU (polynomial A001) and of the
// UHFReader18 family (8408): initial FFFF, sent low byte first.
func reflected(polynomial uint16, b []byte) uint16 {
	c := uint16(0xFFFF)
	for _, x := range b {
		c ^= uint16(x)
		for range 8 {
			out := c & 1
			if c >>= 1; out != 0 {
				c ^= polynomial
			}
		}
	}
	return c
}

func modbusSum(b []byte) uint16 { return reflected(0xA001, b) }

// mercuryFrames finds the reader's frames: FF, length, opcode, status, data,
// check value.
func mercuryFrames(b []byte) (frames [][]byte) {
	for i := 0; i+7 <= len(b); i++ {
		size := int(b[i+1]) + 7
		if b[i] != 0xFF || b[i+1] > 250 || i+size > len(b) {
			continue
		}
		f := b[i : i+size]
		if shifted(0xFFFF, f[1:size-2]) == binary.BigEndian.Uint16(f[size-2:]) {
			frames = append(frames, f)
			i += size - 1
		}
	}
	return frames
}

// osdpFrames finds frames of either side.
func osdpFrames(b []byte) (frames [][]byte) {
	for i := 0; i+7 <= len(b); i++ {
		if b[i] != 0x53 {
			continue
		}
		size := int(binary.LittleEndian.Uint16(b[i+2:]))
		if size < 7 || size > 512 || i+size > len(b) || b[i+4]&0xF0 != 0 {
			continue
		}
		f := b[i : i+size]
		good := false
		if f[4]&4 != 0 {
			good = size >= 8 && osdpSum(f[:size-2]) == binary.LittleEndian.Uint16(f[size-2:])
		} else {
			sum := byte(0)
			for _, x := range f {
				sum += x
			}
			good = sum == 0
		}
		if good {
			frames = append(frames, f)
			i += size - 1
		}
	}
	return frames
}

// nedapPacket is what never changes of the header of the same cameras' packets:
// its size, command 40000, and two zeros.
var nedapPacket = []byte{24, 0, 0, 0, 0x40, 0x9C, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// nedapFrames counts frames of the cameras' protocolled form, of either byte
// order.
func nedapFrames(b []byte) (n int) {
	for i := 0; i+17 <= len(b); i++ {
		var order binary.ByteOrder
		switch {
		case binary.BigEndian.Uint32(b[i:]) == 0x89ABCDEF:
			order = binary.BigEndian
		case binary.LittleEndian.Uint32(b[i:]) == 0x89ABCDEF:
			order = binary.LittleEndian
		default:
			continue
		}
		size := order.Uint32(b[i+8:])
		if size > 4096 || i+17+int(size) > len(b) {
			continue
		}
		f := b[i : i+17+int(size)]
		xor, end := byte(0), len(f)-5
		for _, x := range f[:end] {
			xor ^= x
		}
		if xor == f[end] && order.Uint32(f[end+1:]) == 0x12345678 {
			n++
			i += len(f) - 1
		}
	}
	return n
}

// amtechSum tells whether a text between # and CR LF ends in its ECP check
// value.
func amtechSum(text []byte) bool {
	if len(text) < 5 {
		return false
	}
	body := text[:len(text)-4]
	return fmt.Sprintf("%04X", shifted(0, body)) == string(text[len(body):])
}
