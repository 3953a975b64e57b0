package pd

// crc divides bit by bit, so that it is another hand's than the driver's.
func crc(b []byte) uint16 {
	c := uint32(0x1D0F)
	for _, x := range b {
		for i := 7; i >= 0; i-- {
			top := c>>15&1 ^ uint32(x)>>i&1
			c = c << 1 & 0xFFFF
			if top == 1 {
				c ^= 0x1021
			}
		}
	}
	return uint16(c)
}

func sum(b []byte) byte {
	s := 0
	for _, x := range b {
		s += int(x)
	}
	return byte(256 - s%256)
}

func checkSize(b []byte) int {
	if b[4]&4 != 0 {
		return 2
	}
	return 1
}

// most is the largest command taken, as the capabilities say.
const most = 256

// cut cuts the first whole command off b; replies, its own echo among them, are
// nothing to a reader.
func cut(b []byte) (command, rest []byte) {
	for len(b) > 0 {
		if b[0] != 0x53 {
			b = b[1:]
			continue
		}
		if len(b) < 5 {
			return nil, b
		}
		size := int(b[2]) | int(b[3])<<8
		if size > most || size < 6+checkSize(b) || b[1]&0x80 != 0 {
			b = b[1:]
			continue
		}
		if len(b) < size {
			return nil, b
		}
		body := b[:size-checkSize(b)]
		good := b[size-1] == sum(body)
		if checkSize(b) == 2 {
			got := crc(body)
			good = b[size-2] == byte(got) && b[size-1] == byte(got>>8)
		}
		if !good {
			b = b[1:]
			continue
		}
		return b[:size], b[size:]
	}
	return nil, nil
}

// wrap puts a reply on the wire. Control is the sequence and the kind of check;
// block the type and data of the security block. From type 15 a MAC is made.
func (d *Device) wrap(control byte, block []byte, code byte, data []byte) []byte {
	b := []byte{0x53, d.Address | 0x80, 0, 0, control & 7}
	if block != nil {
		b[4] |= 8
		b = append(append(b, byte(len(block)+1)), block...)
	}
	b = append(append(b, code), data...)
	secured := block != nil && block[0] >= 0x15
	size := len(b) + checkSize(b)
	if secured {
		size += 4
	}
	b[2], b[3] = byte(size), byte(size>>8)
	if secured {
		d.channel.said = d.channel.mac(d.channel.heard, b)
		b = append(b, d.channel.said[:4]...)
	}
	if checkSize(b) == 1 {
		return append(b, sum(b))
	}
	c := crc(b)
	return append(b, byte(c), byte(c>>8))
}
