package line

import (
	"bufio"
	"fmt"
	"net"

	"boothd/agent/contract"
)

// boundedConn refuses packets over the contract's limit before the client
// allocates for them: a fixed header may announce 256 MiB.
//
// It follows the packets of the stream it passes on. The client's one reading
// goroutine is its only reader, so it needs no lock. It reads ahead, because the
// client asks for each PUBACK in three pieces.
type boundedConn struct {
	net.Conn
	in     *bufio.Reader
	rest   int // bytes of the present packet still to come
	length int // remaining length so far, while its bytes come in
	shift  int // 7 bits for each of them; -1 before the first byte of a packet
}

func newBoundedConn(c net.Conn) *boundedConn {
	return &boundedConn{Conn: c, in: bufio.NewReader(c), shift: -1}
}

// Read passes bytes on up to the end of the last packet within the limit.
func (c *boundedConn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	for i := 0; i < n; {
		switch {
		case c.rest > 0:
			step := min(c.rest, n-i)
			c.rest -= step
			i += step
			continue
		case c.shift < 0:
			c.shift, c.length = 0, 0
		default:
			c.length |= int(p[i]&0x7f) << c.shift
			c.shift += 7
			if c.length > contract.MaxPacket || c.shift == 28 && p[i]&0x80 != 0 { // four bytes at most (MQTT 3.1.1, 2.2.3)
				return 0, fmt.Errorf("packet over %d bytes", contract.MaxPacket)
			}
			if p[i]&0x80 == 0 {
				c.rest, c.shift = c.length, -1
			}
		}
		i++
	}
	return n, err
}
