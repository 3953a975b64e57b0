package fleet

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
	"boothd/test/long"
)

// open lets everybody in, and tells when a booth has said the last of what it
// says after a connect. A line that is cut in the middle of it holds the client
// library up for its write time-out, which is 10 s.
type open struct {
	mqtt.HookBase
	up chan struct{}
}

// ID names the hook.
func (*open) ID() string { return "open" }

// Provides tells what the hook answers.
func (*open) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck || b == mqtt.OnPublished
}

// OnPublished is after the PUBACK.
func (o *open) OnPublished(_ *mqtt.Client, pk packets.Packet) {
	if pk.TopicName == contract.HealthTopic(away) {
		o.up <- struct{}{}
	}
}

// OnConnectAuthenticate says yes.
func (*open) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnACLCheck says yes.
func (*open) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// tcpBroker is a broker in this process behind real sockets.
func tcpBroker(t *testing.T, hook *open) (s *mqtt.Server, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := errors.Join(s.AddHook(hook, nil), s.AddListener(listeners.NewNet("tcp", l)), s.Serve()); err != nil {
		t.Fatal(err)
	}
	return s, l.Addr().String()
}

// heap is what is in use once all that can go has gone.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A thousand connections (in short 300), each cut by the road or by the broker, leave no
// goroutine, no descriptor and no memory behind.
func TestThousandReconnectsLeaveNothing(t *testing.T) {
	const warm, most = 100, 2 << 20 // bytes; 2 KiB a connection would be found
	connections := 1000 * long.Times()
	if connections == 0 {
		connections = 300
	}
	before := goleak.IgnoreCurrent()
	files := openFiles()
	up := make(chan struct{})
	broker, addr := tcpBroker(t, &open{up: up})
	var n bytesOf
	r := newRoad(&n.up, &n.down, &n.lost)
	u, err := uplink.New(uplink.Config{
		Booth: away, Brokers: []string{"tcp://" + addr}, Dial: r.dial, Log: slog.New(slog.DiscardHandler), Conn: uplink.ConnFile(filepath.Join(t.TempDir(), "conn")),
		State:        func() contract.State { return contract.State{} },
		BackoffFirst: time.Millisecond, BackoffMost: time.Millisecond, TwinPause: time.Millisecond,
	}, uplinktest.NewMemory("01931e00-0000-7000-8000-000000000001"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = u.Run(ctx) })
	var held, goroutines, descriptors int64
	for i := range connections {
		<-up
		switch {
		case i == warm:
			held, goroutines, descriptors = heap(), int64(runtime.NumGoroutine()), int64(openFiles())
		case i == connections-1:
			grown := heap() - held
			t.Logf("from connection %d to %d: %d bytes, %d to %d goroutines, %d to %d files", warm, connections, grown, goroutines, runtime.NumGoroutine(),
				descriptors, openFiles())
			if grown > most {
				t.Errorf("%d connections hold %d bytes more, at most %d are allowed", connections-warm, grown, most)
			}
		}
		if i%2 == 0 {
			r.become(Closed)
			r.become("")
			continue
		}
		for _, cl := range broker.Clients.GetAll() {
			cl.Stop(errors.New("cut by the test"))
		}
	}
	<-up // it has come back from the last cut too
	if c := u.Status().Conn; c <= uint64(connections) {
		t.Errorf("%d connections were made, want more than %d", c, connections)
	}
	cancel()
	running.Wait()
	if err := broker.Close(); err != nil {
		t.Error(err)
	}
	if err := goleak.Find(before); err != nil { // waits for those on their way out
		t.Error(err)
	}
	if now := openFiles(); now != files {
		t.Errorf("%d files are open, %d before", now, files)
	}
	if len(r.conns) > 0 {
		t.Errorf("the road holds %d connections", len(r.conns))
	}
}
