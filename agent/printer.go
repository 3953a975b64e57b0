package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"boothd/configs"
	"boothd/devices/port"
	"boothd/devices/printer"
)

// receiptsMost is how many receipts may wait for the printer. A traveller does
// not wait for more than one.
const receiptsMost = 2

// receiptLife is how old a receipt may get before it is not printed any more:
// the traveller has gone, and the next must not find it.
const receiptLife = 10 * time.Second

// printerLook is how often a printer is asked how it is: paper that is out, and one
// that is off, are known before a traveller waits for it.
const printerLook = 2 * time.Second

// hand gives a receipt to the printer, or drops it: the light has told the
// traveller already.
func (b *booth) hand(r receipt) {
	select {
	case b.receipts <- r:
	default:
		b.log.Warn("receipt dropped, the printer is behind", "passage", r.Passage)
	}
}

// printer keeps one printer at work until ctx ends.
func (b *booth) printer(ctx context.Context, d configs.Device, own *printer.Settings) {
	tell := func(online bool, reason error) {
		b.inbox.tell(ctx, deviceNews{device: d.Name, online: online, reason: reason, at: time.Now()})
	}
	supervise(ctx, b.log.With("device", d.Name), func(ctx context.Context, up func()) error {
		var wrong error // told by Health, before it is open too
		p, err := b.world.OpenPort(ctx, port.Spec{Path: string(d.Path), Baud: d.Baud, LockDir: filepath.Dir(string(b.cfg.Socket))})
		if err != nil {
			return err
		}
		pr, err := printer.Open(ctx, p, printer.Config{Name: d.Name, Language: own.Language, Columns: own.Columns,
			Cut: own.Language == printer.ESCPOS, Answers: own.Answers, Health: func(f printer.Faults) {
				if wrong = nil; f != 0 {
					wrong = printer.NotReady{Faults: f}
				}
				tell(true, wrong)
			}})
		if err != nil {
			return err
		}
		defer pr.Close()
		up()
		if wrong != nil {
			tell(true, wrong)
		}
		look := time.NewTicker(printerLook)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-look.C:
				if _, err := pr.Status(ctx); err != nil { // what is wrong with it is told by Health
					return err
				}
			case r := <-b.receipts:
				if time.Since(r.At) > receiptLife {
					b.log.Warn("receipt too old to be printed", "passage", r.Passage)
					continue
				}
				err := pr.Print(ctx, r.lines(string(b.cfg.Booth.ID)))
				if _, paper := errors.AsType[printer.NotReady](err); paper {
					b.log.Warn("receipt not printed", "passage", r.Passage, "err", err) // and told by Health
				} else if err != nil {
					return fmt.Errorf("printing a receipt: %w", err)
				}
			}
		}
	}, tell)
}
