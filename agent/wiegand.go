package agent

import (
	"context"
	"errors"
	"fmt"
	"io"

	"boothd/configs"
	"boothd/devices"
	"boothd/devices/gpio"
	"boothd/devices/wiegand"
)

// openWiegand claims a card reader's two lines. It opens the chip for itself, so
// that it lives and ends without the loops and lamps that may hang there too.
func openWiegand(ctx context.Context, w World, d configs.Device, own *wiegand.Settings, at Place) (Reader, error) {
	c := wiegand.Config{Name: d.Name, Role: devices.Role(d.Role), Formats: own.Formats, Silence: own.Silence, Heard: at.Heard}
	chip, err := w.OpenChip(ctx, at.Chip)
	if err != nil {
		return nil, fmt.Errorf("wiegand %s: %w", d.Name, err)
	}
	pair, err := chip.Pair(gpio.PairConfig{Point: d.Name, Lines: [2]string{d.Data0, d.Data1}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wiegand %s: %w", d.Name, err), chip.Close())
	}
	return wiegand.Open(ctx, struct {
		*gpio.Pair
		io.Closer
	}{pair, chip}, c)
}
