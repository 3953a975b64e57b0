package opinions

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"boothd/devices/port"
	"boothd/devices/relay"
	"boothd/devices/sim"
)

// wired gives both ends of a line.
func wired(t *testing.T) (far *sim.PTY, path string) {
	t.Helper()
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() }) // nothing is left to be written
	return far, path
}

// simulated runs our simulated board of eight channels on a line.
func simulated(t *testing.T) (board *relay.Sim, path string) {
	t.Helper()
	far, path := wired(t)
	board = &relay.Sim{Protocol: relay.Modbus, Address: 1, Channels: 8}
	go func() { _ = board.Serve(far) }() // ends with the line
	return board, path
}

// Two other masters find in our simulated board what they find in any: coils,
// inputs, writes of one and of several, and exceptions.
func TestModbusMasters(t *testing.T) {
	t.Run("modbus-serial", func(t *testing.T) {
		board, path := simulated(t)
		board.SetInput(3, true)
		master := ask(t, "node", "opinions.mjs", "modbus", path)
		for _, q := range []struct {
			call string
			args []any
			want []bool // of what is read
			code int    // of an exception
		}{
			{call: "readCoils", args: []any{0, 8}, want: make([]bool, 8)},
			{call: "writeCoil", args: []any{1, true}},
			{call: "writeCoils", args: []any{4, []bool{true, false, true}}},
			{call: "readCoils", args: []any{0, 8}, want: []bool{false, true, false, false, true, false, true, false}},
			{call: "readDiscreteInputs", args: []any{0, 8}, want: []bool{false, false, true, false, false, false, false, false}},
			{call: "readCoils", args: []any{7, 2}, code: 2},
			{call: "readHoldingRegisters", args: []any{0, 1}, code: 1},
		} {
			var a struct {
				Data      any
				Exception any
			}
			master.tell(map[string]any{"unit": 1, "call": q.call, "args": q.args})
			master.hear(&a)
			if q.code != 0 {
				if a.Exception != float64(q.code) {
					t.Errorf("%s %v: %v, want exception %d", q.call, q.args, a, q.code)
				}
				continue
			}
			bits, _ := a.Data.([]any)
			if a.Exception != nil || q.want != nil && len(bits) < len(q.want) {
				t.Errorf("%s %v: %v", q.call, q.args, a)
				continue
			}
			for i, want := range q.want {
				if bits[i] != want {
					t.Errorf("%s %v: bit %d is %v", q.call, q.args, i, bits[i])
				}
			}
		}
		if !board.Relay(2) || board.Relay(1) || !board.Relay(5) || board.Relay(6) || !board.Relay(7) {
			t.Error("the relays are not what was written")
		}
	})
	t.Run("mbpoll", func(t *testing.T) {
		board, path := simulated(t)
		board.SetInput(5, true)
		poll := func(args ...string) string {
			out, err := exec.CommandContext(t.Context(), "mbpoll", append([]string{"-m", "rtu", "-a", "1", "-b", "9600", "-P", "none", "-1", "-q"}, args...)...).CombinedOutput()
			if err != nil {
				t.Errorf("mbpoll %v: %v\n%s", args, err, out)
			}
			return string(out)
		}
		poll("-t", "0", "-r", "4", path, "1")
		if !board.Relay(4) || board.Relay(3) {
			t.Error("mbpoll has not written relay 4")
		}
		if out := poll("-t", "0", "-r", "1", "-c", "8", path); !bits(out, "00010000") {
			t.Errorf("mbpoll reads coils:\n%s", out)
		}
		if out := poll("-t", "1", "-r", "1", "-c", "8", path); !bits(out, "00001000") {
			t.Errorf("mbpoll reads inputs:\n%s", out)
		}
	})
}

// bits tells whether mbpoll's lines "[n]: bit" are these.
func bits(out, want string) bool {
	got := ""
	for line := range strings.Lines(out) {
		if _, bit, ok := strings.Cut(line, "]:"); ok {
			got += strings.TrimSpace(bit)
		}
	}
	return got == want
}

// Our driver finds in another's board what it finds in ours: the safe state
// first, then what is told, and inputs with their edges.
func TestModbusBoard(t *testing.T) {
	// The board's end is a line of its own, crossed with ours.
	ours, near := wired(t)
	theirs, far := wired(t)
	cross := func(to, from *sim.PTY) {
		b := make([]byte, 512)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go cross(theirs, ours)
	go cross(ours, theirs)
	board := ask(t, "node", "opinions.mjs", "board", far)
	var said struct {
		Ready bool
		Coil  int
		On    bool
		Input *int
	}
	if board.hear(&said); !said.Ready {
		t.Fatalf("%+v", said)
	}
	p, err := port.Open(t.Context(), port.Spec{Path: near, Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	b, err := relay.Open(t.Context(), p, relay.Config{Name: "lamps", Protocol: relay.Modbus, Address: 1,
		Out: []relay.OutConfig{{Point: "red", Channel: 1, Safe: true}, {Point: "green", Channel: 2}},
		In:  []relay.InConfig{{Point: "loop", Channel: 3, Debounce: 20 * time.Millisecond}}})
	if err != nil {
		t.Fatal(err)
	}
	coils := map[int]bool{}
	hear := func(coil int, on bool) {
		t.Helper()
		for {
			said.Coil, said.Input = -1, nil
			if board.hear(&said); said.Coil < 0 {
				continue
			}
			if coils[said.Coil] = said.On; said.Coil == coil && said.On == on {
				return
			}
		}
	}
	hear(0, true) // red, on claim
	if coils[1] {
		t.Error("green was on at claim")
	}
	green, err := b.Out("green")
	if err != nil {
		t.Fatal(err)
	}
	if err := green.Set(true); err != nil {
		t.Fatal(err)
	}
	hear(1, true)
	loop, err := b.In("loop")
	if err != nil {
		t.Fatal(err)
	}
	board.tell([]any{2, true})
	for e := range loop.Edges(t.Context()) {
		if e.Active {
			break
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	hear(1, false)
}
