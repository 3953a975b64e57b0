package osdp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// bauds are the speeds of a line that the protocol has.
var bauds = []int{9600, 19200, 38400, 57600, 115200, 230400}

// ErrUnknown says that a reader was told to move and it is not known whether it
// did: it is to be looked for at both places.
var ErrUnknown = errors.New("reader was told to move and did not answer")

// Spot is where a reader is found on its line.
type Spot struct {
	Address byte // 00 to 7E
	Baud    int
}

// Move gives the reader another address or speed (COMSET) and tells what it took,
// which may be another than it was given. It keeps that over a loss of power. The
// Reader is of no use afterwards: close it, and open one at the new place. Move is
// called instead of Reads, never beside it; and not on a line that others share, on
// which a reader that has got another speed disturbs them.
func (r *Reader) Move(ctx context.Context, to Spot) (took Spot, err error) {
	switch {
	case to.Address > 0x7E:
		err = fmt.Errorf("address %02X is not 00 to 7E", to.Address)
	case !slices.Contains(bauds, to.Baud):
		err = fmt.Errorf("%d baud is no speed of OSDP (%v)", to.Baud, bauds)
	case r.cfg.Seat != nil:
		err = errors.New("its line is shared")
	}
	if err != nil {
		return Spot{}, fmt.Errorf("osdp %s: %w", r.cfg.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = r.port.Close() }) // releases a blocked read
	defer stop()
	a, err := r.ask(ctx, cmdSettings, binary.LittleEndian.AppendUint32([]byte{to.Address}, uint32(to.Baud))...)
	_, refused := refusal(err)
	switch {
	case refused:
	case err != nil: // it may have moved before its answer was heard
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	default:
		took, err = parseSettings(a.data)
	}
	if err != nil {
		return Spot{}, fmt.Errorf("osdp %s: %w", r.cfg.Name, err)
	}
	return took, nil
}

func parseSettings(b []byte) (Spot, error) {
	if len(b) != 5 || b[0] > 0x7E {
		return Spot{}, fmt.Errorf("%w: %w", ErrUnknown, errFormat)
	}
	return Spot{b[0], int(binary.LittleEndian.Uint32(b[1:]))}, nil
}
