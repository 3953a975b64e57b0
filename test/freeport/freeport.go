// Package freeport gives ports of loopback that nobody has, to who must name one
// before somebody listens there: tests, and the simulated booth.
package freeport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// The ports lie below those that the kernel gives away by itself, or somebody else
// would have one before its server is up.
const (
	firstPort = 20_000
	ports     = 12_000
	perTest   = 64 // ports to one process, before it comes to another's
)

// taken counts the ports given: two tests of a process must not get the same.
var taken atomic.Uint32

// Take gives one; it fails if there is none.
func Take() (int, error) {
	for range ports {
		at := uint32(os.Getpid())*perTest + taken.Add(1)
		port := firstPort + int(at%ports)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port is free")
}
