package relay

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestConfigIsChecked(t *testing.T) {
	for name, edit := range map[string]func(c *Config){
		"protocol":            func(c *Config) { c.Protocol = "profibus" },
		"no protocol":         func(c *Config) { c.Protocol = "" },
		"broadcast":           func(c *Config) { c.Address = 0 },
		"unit":                func(c *Config) { c.Address = 248 },
		"baud":                func(c *Config) { c.Baud = 110 },
		"baud above":          func(c *Config) { c.Baud = 921_601 },
		"nothing":             func(c *Config) { c.Out, c.In = nil, nil },
		"channel 0":           func(c *Config) { c.Out[0].Channel = 0 },
		"channel 65":          func(c *Config) { c.In[0].Channel = 65 },
		"channel twice":       func(c *Config) { c.Out[1].Channel = 1 },
		"input twice":         func(c *Config) { c.In[1].Channel = 1 },
		"name twice":          func(c *Config) { c.In[1].Point = "red" },
		"no name":             func(c *Config) { c.Out[1].Point = "" },
		"debounce":            func(c *Config) { c.In[0].Debounce = time.Minute },
		"negative debounce":   func(c *Config) { c.In[0].Debounce = -1 },
		"inputs of a LCUS":    func(c *Config) { c.Protocol = LCUS },
		"ninth relay of LCUS": func(c *Config) { c.Protocol, c.In, c.Out[0].Channel = LCUSAnswer, nil, 9 },
		"33rd of a Numato":    func(c *Config) { c.Protocol, c.Out[0].Channel = Numato, 33 },
	} {
		t.Run(name, func(t *testing.T) {
			c := config(Modbus)
			edit(&c)
			near, far := net.Pipe()
			if _, err := Open(t.Context(), pipe{near}, c); err == nil {
				t.Error("accepted")
			}
			if _, err := far.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("the port is still open: %v", err)
			}
		})
	}
	for _, p := range protocols {
		c := config(p)
		if full, err := c.complete(); err != nil || full.Baud != 9600 {
			t.Errorf("%s: %+v, %v", p, full, err)
		}
	}
}

func TestUnknownPoints(t *testing.T) {
	play(t, config(Modbus), &Sim{}, func(b *bench) {
		if _, err := b.board.Out("loop"); !errors.Is(err, errNoPoint) {
			b.Errorf("output loop: %v", err)
		}
		if _, err := b.board.In("red"); !errors.Is(err, errNoPoint) {
			b.Errorf("input red: %v", err)
		}
	})
}

// The simulated board answers as the page says, and is as strict: what it says
// to bytes that no driver of ours would send.
func TestSimAnswers(t *testing.T) {
	for _, tc := range []struct {
		name         string
		p            Protocol
		said, answer string
	}{
		{"relay 0 on", Modbus, "01 05 00 00 FF 00 8C 3A", "01 05 00 00 FF 00 8C 3A"},
		{"all on", Modbus, "01 05 00 FF FF 00 BC 0A", "01 05 00 FF FF 00 BC 0A"},
		{"coils", Modbus, "01 01 00 00 00 08 3D CC", "01 01 01 00 51 88"},
		{"inputs", Modbus, "01 02 00 00 00 08 79 CC", "01 02 01 00 A1 88"},
		{"wrong check value", Modbus, "01 05 00 00 FF 00 8C 3B", ""},
		{"another unit", Modbus, "11 03 00 6B 00 03 76 87", ""},
		{"flash, which it does not have", Modbus, "01 05 02 00 00 07 8D B0", "01 85 03 02 91"},
		{"register of a board of coils", Modbus, "01 06 00 00 00 01 48 0A", "01 86 01 83 A0"},
		{"register relay 0 on", ModbusRegisters, "01 06 00 00 00 01 48 0A", "01 06 00 00 00 01 48 0A"},
		{"register input", ModbusRegisters, "01 04 00 00 00 01 31 CA", "01 04 02 00 00 B9 30"},
		{"on without answer", LCUSAnswer, "A0 01 01 A2", ""},
		{"query (derived)", LCUSAnswer, "A0 01 05 A6", "A0 01 00 A1"},
		{"toggle (derived)", LCUSAnswer, "A0 01 04 A5", "A0 01 01 A2"},
		{"wrong sum", LCUSAnswer, "A0 01 05 A7", ""},
		{"query of all (memory)", LCUSText, "FF", hex.EncodeToString([]byte("CH1: OFF\r\nCH2: OFF\r\nCH3: OFF\r\nCH4: OFF\r\nCH5: OFF\r\nCH6: OFF\r\nCH7: OFF\r\nCH8: OFF\r\n"))},
		{"basic board asked for all", LCUS, "FF", ""},
		{"basic board asked", LCUS, "A0 01 05 A6", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				s := &Sim{Protocol: tc.p, Address: 1}
				served := make(chan error, 1)
				go func() { served <- s.Serve(far) }()
				got := make(chan []byte, 1)
				go func() { b, _ := io.ReadAll(near); got <- b }() // it ends with the pipe
				if _, err := near.Write(unhex(t, tc.said)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				_ = far.Close()
				if b := <-got; !bytes.Equal(b, unhex(t, tc.answer)) {
					t.Errorf("% X, want %s", b, tc.answer)
				}
				<-served
			})
		})
	}
}
