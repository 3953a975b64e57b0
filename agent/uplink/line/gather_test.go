package line

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

var disconnect = []byte{packets.Disconnect << 4, 0}

// Every packet arrives whole and once, those of one goroutine in order, however
// many write and however little the far end takes at once.
func TestGatheringConnKeepsPacketsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, each, size = 4, 500, 100
		near, far := net.Pipe()
		g := newGatheringConn(near)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range each {
					p := append([]byte{packets.Publish << 4, byte(w), 0, 0}, bytes.Repeat([]byte{byte(w)}, size-4)...)
					binary.BigEndian.PutUint16(p[2:], uint16(i))
					if n, err := g.Write(p); n != size || err != nil {
						t.Errorf("Write = %d, %v", n, err)
					}
					clear(p) // the caller's again
				}
			})
		}
		var next [writers]int
		for range writers * each {
			var p [size]byte
			if _, err := io.ReadFull(io.MultiReader(io.LimitReader(far, 7), far), p[:]); err != nil {
				t.Fatal(err)
			}
			w, i := int(p[1]), int(binary.BigEndian.Uint16(p[2:]))
			if w >= writers || i != next[w] || !bytes.Equal(p[4:], bytes.Repeat([]byte{byte(w)}, size-4)) {
				t.Fatalf("packet % x..., want the %dth of its writer", p[:8], next[w])
			}
			next[w]++
		}
		all.Wait()
		g.Close()
	})
}

// What is written while a write is under way goes out with the next.
func TestGatheringConnGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		g := newGatheringConn(near)
		writes := [][]byte{{packets.Publish << 4, 1}, {packets.Publish << 4, 2}, {packets.Pingreq << 4, 0}, {packets.Publish << 4, 3}}
		for i, p := range writes {
			if _, err := g.Write(p); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				synctest.Wait() // under way: nobody reads
			}
		}
		synctest.Wait()
		var b [64]byte
		for _, want := range [][]byte{writes[0], bytes.Join(writes[1:], nil)} {
			if n, err := far.Read(b[:]); err != nil || !bytes.Equal(b[:n], want) {
				t.Errorf("one write brings % x, %v, want % x", b[:n], err, want)
			}
		}
		g.Close()
	})
}

// The client closes right behind DISCONNECT, which with what was written before
// must be out: else the broker speaks the will.
func TestDisconnectIsOutBeforeClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		g := newGatheringConn(near)
		got := make(chan []byte)
		go func() {
			time.Sleep(time.Second)
			b, _ := io.ReadAll(far) // ends with Close
			got <- b
		}()
		before := []byte{packets.Publish << 4, 0}
		for _, p := range [][]byte{before, before, disconnect} {
			if n, err := g.Write(p); n != len(p) || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
		}
		g.Close()
		if b, want := <-got, bytes.Join([][]byte{before, before, disconnect}, nil); !bytes.Equal(b, want) {
			t.Errorf("% x went out, want % x", b, want)
		}
		if _, err := g.Write(before); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a packet behind DISCONNECT: %v, want %v", err, net.ErrClosed)
		}
	})
}

// While the far end takes nothing, no more waits than has a bound; who writes
// behind DISCONNECT meanwhile is told that it is over, and nothing of it goes out.
func TestGatheringConnIsBoundedAndEndsWithDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		g := newGatheringConn(near)
		p := append([]byte{packets.Publish << 4}, make([]byte, 1023)...)
		sent, parted, behind := 0, make(chan error, 1), make(chan error, 1)
		go func() {
			for range 1000 {
				if _, err := g.Write(p); err != nil {
					t.Error(err)
				}
				sent++
			}
			_, err := g.Write(disconnect)
			parted <- err
		}()
		synctest.Wait()
		if most := 2*gatherMost/len(p) + 1; sent == 0 || sent > most {
			t.Errorf("%d packets are taken, %d may be", sent, most)
		}
		in := make([]byte, 1000*len(p))
		if _, err := io.ReadFull(far, in); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		go func() {
			_, err := g.Write(p)
			behind <- err
		}()
		synctest.Wait()
		if _, err := io.ReadFull(far, in[:len(disconnect)]); err != nil || !bytes.Equal(in[:len(disconnect)], disconnect) {
			t.Errorf("% x went out behind the packets, %v", in[:len(disconnect)], err)
		}
		if a, b := <-parted, <-behind; a != nil || !errors.Is(b, net.ErrClosed) {
			t.Errorf("DISCONNECT ends with %v, what is behind it with %v", a, b)
		}
		g.Close()
		if rest, err := io.ReadAll(far); len(rest) > 0 || err != nil {
			t.Errorf("% x went out behind DISCONNECT, %v", rest, err)
		}
	})
}

// A far end that takes nothing ends the connection for the reader too, and Close
// does not wait for it.
func TestAWriteThatHangsEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := net.Pipe()
		g := newGatheringConn(near)
		began := time.Now()
		if _, err := g.Write([]byte{packets.Publish << 4, 0}); err != nil {
			t.Fatal(err)
		}
		_, err := g.Read(make([]byte, 1))
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took != writeTimeout {
			t.Errorf("Read ends with %v after %v, want a write's deadline after %v", err, took, writeTimeout)
		}
		if _, err = g.Write(disconnect); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write after the end: %v", err)
		}

		near, _ = net.Pipe()
		g = newGatheringConn(near)
		if _, err := g.Write([]byte{packets.Publish << 4, 0}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began = time.Now()
		g.Close()
		if _, err := g.Write(disconnect); err == nil {
			t.Error("DISCONNECT is out of a closed connection")
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Close waits %v for a write that hangs", took)
		}
	})
}
