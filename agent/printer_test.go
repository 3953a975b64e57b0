package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"boothd/configs"
	"boothd/devices/port"
	"boothd/devices/printer"
)

// pipePort is a port in memory.
type pipePort struct{ net.Conn }

func (p pipePort) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
}

func (pipePort) SetBaud(int) error { return nil }

// A printer that is out of paper, that is switched off and that is back is told
// before a traveller needs it.
func TestPrinterIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &printer.Sim{}
		var on atomic.Bool
		on.Store(true)
		fars := make(chan net.Conn, 8) // the printer's ends of the line, one a life
		b := &booth{log: discard(), cfg: &configs.Config{}, inbox: newInbox(), receipts: make(chan receipt, receiptsMost)}
		b.world.OpenPort = func(context.Context, port.Spec) (port.Port, error) {
			if !on.Load() {
				return nil, port.ErrGone
			}
			near, far := net.Pipe()
			go func() { _ = s.Serve(far) }() // ends with the line
			fars <- far
			return pipePort{near}, nil
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			b.printer(ctx, configs.Device{Name: "slip"}, &printer.Settings{Language: printer.ESCPOS, Answers: true})
		}()
		var last deviceNews
		within := func(d time.Duration, what string, is func() bool) {
			t.Helper()
			for until := time.Now().Add(d); ; {
				select {
				case last = <-b.inbox.news:
					if is() {
						return
					}
				case <-time.After(time.Until(until)):
					t.Errorf("not told within %v that it is %s; last %t, %v", d, what, last.online, last.reason)
					return
				}
			}
		}
		within(time.Second, "there", func() bool { return last.online && last.reason == nil })
		time.Sleep(time.Hour)
		if err := s.Set(printer.PaperOut); err != nil {
			t.Fatal(err)
		}
		within(3*time.Second, "out of paper", func() bool { return last.online && last.reason != nil })
		if err := s.Set(0); err != nil {
			t.Fatal(err)
		}
		within(3*time.Second, "ready", func() bool { return last.online && last.reason == nil })
		on.Store(false)
		_ = (<-fars).Close()
		within(3*time.Second, "gone", func() bool { return !last.online })
		synctest.Wait()
		if err := s.Set(printer.PaperOut); err != nil {
			t.Fatal(err)
		}
		on.Store(true)
		within(3*time.Second, "back", func() bool { return last.online })
		time.Sleep(time.Minute)
		synctest.Wait()
		for len(b.inbox.news) > 0 {
			last = <-b.inbox.news
		}
		if !last.online || last.reason == nil {
			t.Errorf("switched on without paper it is told as sound: %t, %v", last.online, last.reason)
		}
		cancel()
		<-over
		_ = (<-fars).Close()
		synctest.Wait()
	})
}
