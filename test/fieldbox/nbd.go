package fieldbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Numbers of the NBD protocol, newstyle negotiation (NetworkBlockDevice/nbd,
// doc/proto.md).
const (
	nbdMagic       = 0x4e42444d41474943
	nbdOption      = 0x49484156454f5054
	nbdOptionReply = 0x3e889045565a9
	nbdRequest     = 0x25609513
	nbdReply       = 0x67446698

	nbdFixedNewstyle = 1 << 0
	nbdNoZeroes      = 1 << 1

	optExportName = 1
	optAbort      = 2
	optInfo       = 6
	optGo         = 7

	replyAck         = 1
	replyInfo        = 3
	replyUnsupported = 1<<31 | 1
	infoExport       = 0

	// has flags, flush, force unit access, trim, write zeroes
	nbdTransmission = 1<<0 | 1<<2 | 1<<3 | 1<<5 | 1<<6

	cmdRead   = 0
	cmdWrite  = 1
	cmdLeave  = 2
	cmdFlush  = 3
	cmdTrim   = 4
	cmdZeroes = 6
	flagFUA   = 1 << 0

	optionMost  = 1 << 16  // bytes of an option's data
	requestMost = 32 << 20 // bytes of one read or write; what QEMU asks for at most
)

// speak serves one machine until it leaves.
func (d *Disk) speak(c net.Conn) error {
	leave, err := d.negotiate(c)
	if err != nil || leave {
		return err
	}
	for {
		var h struct {
			Magic      uint32
			Flags, Cmd uint16
			Handle     uint64
			Off        uint64
			Len        uint32
		}
		if err := binary.Read(c, binary.BigEndian, &h); err != nil {
			return err
		}
		if h.Magic != nbdRequest || (h.Cmd == cmdRead || h.Cmd == cmdWrite) && h.Len > requestMost {
			return fmt.Errorf("nbd: request %d of %d bytes", h.Cmd, h.Len)
		}
		if h.Cmd == cmdLeave {
			return nil
		}
		var data []byte
		if h.Cmd == cmdRead || h.Cmd == cmdWrite {
			data = make([]byte, h.Len)
		}
		if h.Cmd == cmdWrite {
			if _, err := io.ReadFull(c, data); err != nil {
				return err
			}
		}
		var failed uint32
		err := d.do(h.Cmd, h.Flags, data, int64(h.Off), int64(h.Len))
		if errors.Is(err, errOff) {
			return err // a disk without power does not answer
		} else if err != nil {
			failed = uint32(syscall.EIO)
		}
		b := binary.BigEndian.AppendUint32(nil, nbdReply)
		b = binary.BigEndian.AppendUint32(b, failed)
		b = binary.BigEndian.AppendUint64(b, h.Handle)
		if h.Cmd == cmdRead && failed == 0 {
			b = append(b, data...)
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

// do carries out one request.
func (d *Disk) do(cmd, flags uint16, data []byte, off, n int64) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.off:
		return errOff
	case cmd != cmdFlush && (off < 0 || n > d.size || off > d.size-n):
		return io.ErrUnexpectedEOF
	}
	switch cmd {
	case cmdRead:
		return d.read(data, off)
	case cmdWrite:
		err = d.write(data, off)
	case cmdFlush:
		return d.flush()
	case cmdTrim: // only a hint
		return nil
	case cmdZeroes:
		var zeroes [1 << 16]byte
		for ; n > 0 && err == nil; off, n = off+int64(len(zeroes)), n-int64(len(zeroes)) {
			err = d.write(zeroes[:min(n, int64(len(zeroes)))], off)
		}
	default:
		return fmt.Errorf("nbd: command %d", cmd)
	}
	if err == nil && flags&flagFUA != 0 {
		err = d.flush() // more than is asked for, which is allowed
	}
	return err
}

// negotiate greets and settles the options; leave tells that the other side
// has enough.
func (d *Disk) negotiate(c net.Conn) (leave bool, err error) {
	send := func(parts ...any) {
		for _, p := range parts {
			if err == nil {
				err = binary.Write(c, binary.BigEndian, p)
			}
		}
	}
	send(uint64(nbdMagic), uint64(nbdOption), uint16(nbdFixedNewstyle|nbdNoZeroes))
	var client uint32
	if err == nil {
		err = binary.Read(c, binary.BigEndian, &client)
	}
	for err == nil {
		var h struct {
			Magic    uint64
			Opt, Len uint32
		}
		if err := binary.Read(c, binary.BigEndian, &h); err != nil {
			return false, err
		}
		if h.Magic != nbdOption || h.Len > optionMost {
			return false, fmt.Errorf("nbd: option %d of %d bytes", h.Opt, h.Len)
		}
		if _, err := io.CopyN(io.Discard, c, int64(h.Len)); err != nil {
			return false, err
		}
		switch h.Opt {
		case optExportName:
			send(uint64(d.size), uint16(nbdTransmission))
			if client&nbdNoZeroes == 0 {
				send([124]byte{})
			}
			return false, err
		case optAbort:
			send(uint64(nbdOptionReply), h.Opt, uint32(replyAck), uint32(0))
			return true, err
		case optInfo, optGo:
			send(uint64(nbdOptionReply), h.Opt, uint32(replyInfo), uint32(12), uint16(infoExport), uint64(d.size), uint16(nbdTransmission))
			send(uint64(nbdOptionReply), h.Opt, uint32(replyAck), uint32(0))
			if h.Opt == optGo {
				return false, err
			}
		default:
			send(uint64(nbdOptionReply), h.Opt, uint32(replyUnsupported), uint32(0))
		}
	}
	return false, err
}
