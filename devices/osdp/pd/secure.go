package pd

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
)

// channel is the reader's end of the secure channel.
type channel struct {
	begun, up       bool
	a, b            [8]byte
	enc, mac1, mac2 []byte
	heard, said     []byte // last MAC of the panel, and of the reader
	kind            byte
}

// cuid is the number under which the reader's key is derived.
var cuid = []byte{0x69, 0x7A, 0x00, 0x99, 0x01, 0x04, 0x03, 0x02}

// CUID is the number that the reader gives of itself in the handshake.
func CUID() [8]byte { return [8]byte(cuid) }

func ecb(key, in []byte) []byte {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // all keys here have 16 bytes
	}
	out := make([]byte, 16)
	c.Encrypt(out, in)
	return out
}

func cbc(key, iv, in []byte, encrypt bool) []byte {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // all keys here have 16 bytes
	}
	out := make([]byte, len(in))
	if encrypt {
		cipher.NewCBCEncrypter(c, iv).CryptBlocks(out, in)
	} else {
		cipher.NewCBCDecrypter(c, iv).CryptBlocks(out, in)
	}
	return out
}

func pad(b []byte) []byte {
	b = append(bytes.Clone(b), 0x80)
	for len(b)%16 != 0 {
		b = append(b, 0)
	}
	return b
}

func flip(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ 0xFF
	}
	return out
}

// mac is the last block of CBC under two keys.
func (c *channel) mac(iv, b []byte) []byte {
	if len(b)%16 != 0 {
		b = pad(b)
	}
	last := len(b) - 16
	if last > 0 {
		x := cbc(c.mac1, iv, b[:last], true)
		iv = x[last-16:]
	}
	return cbc(c.mac2, iv, b[last:], true)
}

// handshake answers CHLNG and SCRYPT.
func (d *Device) handshake(control byte, block, body []byte) []byte {
	code, data := body[0], body[1:]
	switch {
	case d.Key == [16]byte{}:
		return d.nak(control, 5)
	case code == 0x76 && block[0] == 0x11 && len(block) == 2 && len(data) == 8:
		key := d.Key
		if block[1] == 0 && key != DefaultKey {
			return d.nak(control, 6) // it has a key of its own
		}
		c := channel{begun: true, kind: block[1], a: [8]byte(data)}
		if _, err := rand.Read(c.b[:]); err != nil {
			panic(err) // never, says crypto/rand
		}
		derive := func(x, y byte) []byte {
			return ecb(key[:], append([]byte{x, y, c.a[0], c.a[1], c.a[2], c.a[3], c.a[4], c.a[5]}, make([]byte, 8)...))
		}
		c.enc, c.mac1, c.mac2 = derive(0x01, 0x82), derive(0x01, 0x01), derive(0x01, 0x02)
		d.channel = c
		proof := ecb(c.enc, append(bytes.Clone(c.a[:]), c.b[:]...))
		return d.wrap(control&7, []byte{0x12, c.kind}, 0x76, append(append(bytes.Clone(cuid), c.b[:]...), proof...))
	case code == 0x77 && block[0] == 0x13 && len(data) == 16 && d.channel.begun:
		c := &d.channel
		if !bytes.Equal(data, ecb(c.enc, append(bytes.Clone(c.b[:]), c.a[:]...))) {
			d.channel = channel{}
			return d.nak(control, 6)
		}
		c.said = ecb(c.mac2, ecb(c.mac1, data))
		c.up = true
		return d.wrap(control&7, []byte{0x14, 0x01}, 0x78, c.said)
	}
	return d.nak(control, 6)
}

// secured answers a command of the channel.
func (d *Device) secured(b []byte, kind byte, body []byte) []byte {
	c, control := &d.channel, b[4]
	end := len(b) - checkSize(b) - 4
	if !c.up || len(body) < 5 {
		return d.nak(control, 6)
	}
	mac := c.mac(c.said, b[:end])
	if !bytes.Equal(mac[:4], b[end:end+4]) {
		d.channel = channel{}
		return d.nak(control, 6)
	}
	code, data := body[0], body[1:len(body)-4]
	if kind == 0x17 {
		if len(data)%16 != 0 || len(data) == 0 {
			return d.nak(control, 2)
		}
		data = cbc(c.enc, flip(c.said), data, false)
		data = bytes.TrimRight(data, "\x00")
		data = data[:max(len(data)-1, 0)] // 80
	}
	c.heard = mac
	code, data = d.do(code, data, true)
	if d.ClearACK && body[0] == 0x75 && code == 0x40 {
		d.channel = channel{}
		return d.wrap(control&7, nil, code, nil)
	}
	block := []byte{0x16}
	if len(data) > 0 {
		block[0], data = 0x18, cbc(c.enc, flip(c.heard), pad(data), true)
	}
	out := d.wrap(control&7, block, code, data)
	if body[0] == 0x75 && code == 0x40 {
		d.channel = channel{} // the panel begins again with the new key
	}
	return out
}
