package fieldbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// blockSize is what a power cut leaves whole: a block is written or it is not.
const blockSize = 4096

// errOff says that the disk has lost its power.
var errOff = errors.New("the disk has no power")

// Disk is a disk with a volatile write cache: a write stays in memory until
// the guest flushes, and only then reaches the image. It is served over NBD.
type Disk struct {
	image *os.File
	size  int64
	ln    net.Listener
	serve sync.WaitGroup

	mu    sync.Mutex // the one that serves and the one that cuts
	cache map[int64]*[blockSize]byte
	off   bool
}

// ServeDisk serves an image at a unix socket, to one machine at a time.
func ServeDisk(socket, image string) (*Disk, error) {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the disk: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the disk: %w", err), f.Close())
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serving the disk: %w", err), f.Close())
	}
	d := &Disk{image: f, size: info.Size(), ln: ln, cache: map[int64]*[blockSize]byte{}}
	d.serve.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = d.speak(c) // the machine went away, or sees its disk fail
			_ = c.Close()
		}
	})
	return d, nil
}

// Cut takes the power away. Of the blocks that were not flushed those that
// survive says survive; it tells how many did and how many are lost.
func (d *Disk) Cut(survives func() bool) (kept, lost int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return 0, 0, errOff
	}
	d.off = true
	for at, block := range d.cache {
		if !survives() {
			lost++
			continue
		}
		kept++
		err = errors.Join(err, d.burn(at, block))
	}
	return kept, lost, err
}

// Close ends the serving, whose machine must have ended, and writes out what
// is in the cache, unless the power was cut.
func (d *Disk) Close() error {
	err := d.ln.Close()
	d.serve.Wait()
	if !d.off {
		err = errors.Join(err, d.flush())
	}
	return errors.Join(err, d.image.Close())
}

func (d *Disk) read(p []byte, off int64) error {
	for len(p) > 0 {
		at, in := off/blockSize, off%blockSize
		n := min(blockSize-in, int64(len(p)))
		if block := d.cache[at]; block != nil {
			copy(p[:n], block[in:])
		} else if _, err := d.image.ReadAt(p[:n], off); err != nil && err != io.EOF {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

func (d *Disk) write(p []byte, off int64) error {
	for len(p) > 0 {
		at, in := off/blockSize, off%blockSize
		n := min(blockSize-in, int64(len(p)))
		block := d.cache[at]
		if block == nil {
			block = new([blockSize]byte)
			if _, err := d.image.ReadAt(block[:], at*blockSize); err != nil && err != io.EOF {
				return err
			}
			d.cache[at] = block
		}
		copy(block[in:], p[:n])
		p, off = p[n:], off+n
	}
	return nil
}

func (d *Disk) flush() error {
	for at, block := range d.cache {
		if err := d.burn(at, block); err != nil {
			return err
		}
	}
	clear(d.cache)
	return nil
}

// burn writes a block for good.
func (d *Disk) burn(at int64, block *[blockSize]byte) error {
	_, err := d.image.WriteAt(block[:min(blockSize, d.size-at*blockSize)], at*blockSize)
	return err
}
