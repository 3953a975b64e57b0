package osdp

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"boothd/devices/osdp/pd"
)

// moved opens a reader, has it move and opens it again where it says it is.
func moved(t *testing.T, d *pd.Device, cfg Config, to Spot) (took Spot, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Address = d.At()
		r := opened(t, d, cfg)
		took, err = r.Move(t.Context(), to)
		_ = r.Close()
		synctest.Wait()
		if err != nil {
			return
		}
		cfg.Address = took.Address
		if r = opened(t, d, cfg); r != nil {
			_ = r.Close()
		}
		synctest.Wait()
	})
	return took, err
}

func opened(t *testing.T, d *pd.Device, cfg Config) *Reader {
	t.Helper()
	near, far := newLine(nil)
	go func() { _ = d.Serve(far) }() // ends with the line
	r, err := Open(t.Context(), near, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A reader moves, keeps its key, and is found where it says.
func TestMove(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		d := &pd.Device{Address: 3, Key: cfg.Key}
		to := Spot{0x7E, 38400}
		if took, err := moved(t, d, cfg, to); err != nil || took != to || d.At() != to.Address || d.Speed() != to.Baud {
			t.Errorf("took %+v, %v; it is at %02X, %d baud", took, err, d.At(), d.Speed())
		}
		d = &pd.Device{Key: cfg.Key, Slow: true} // it has 9600 baud alone
		if took, err := moved(t, d, cfg, Spot{1, 115200}); err != nil || took != (Spot{1, 9600}) {
			t.Errorf("took %+v, %v", took, err)
		}
	})
}

// What cannot be is refused before the reader is told; an answer that is lost, or
// that makes no sense, leaves it unknown where it is.
func TestMoveFails(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		d := &pd.Device{Key: cfg.Key}
		for _, to := range []Spot{{0x7F, 9600}, {1, 0}, {1, 14400}} {
			if took, err := moved(t, d, cfg, to); err == nil || errors.Is(err, ErrUnknown) || took != (Spot{}) || d.At() != 0 {
				t.Errorf("%+v: took %+v, %v", to, took, err)
			}
		}
		d = &pd.Device{Key: cfg.Key, Fixed: true}
		if _, err := moved(t, d, cfg, Spot{1, 9600}); !errors.Is(err, NAK{cmdSettings, 3}) || errors.Is(err, ErrUnknown) {
			t.Errorf("one that cannot: %v", err)
		}
		d = &pd.Device{Key: cfg.Key}
		d.Wire = func(b []byte, _ bool) []byte {
			if d.At() == 1 {
				return nil // it has moved
			}
			return b
		}
		if _, err := moved(t, d, cfg, Spot{1, 9600}); !errors.Is(err, ErrUnknown) || !errors.Is(err, ErrSilent) {
			t.Errorf("its answer is lost: %v", err)
		}
	})
	shared := Config{Clear: true, Seat: NewBus(nil).Seat()}
	if _, err := (&Reader{cfg: shared}).Move(context.Background(), Spot{1, 9600}); err == nil {
		t.Error("moved on a shared line")
	}
	for _, text := range []string{"", "01 80 25 00", "7F 80 25 00 00", "01 80 25 00 00 00"} {
		if s, err := parseSettings(unhex(t, text)); !errors.Is(err, ErrUnknown) || s != (Spot{}) {
			t.Errorf("parseSettings(%s) = %+v, %v", text, s, err)
		}
	}
}
