package osdp

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Timings of the line.
const (
	replyWait = 200 * time.Millisecond
	tries     = 4                      // once and three times again
	byteGap   = 100 * time.Millisecond // silence inside a frame that drops it
	frameMost = 550 * time.Millisecond // the longest frame at 9600 baud takes 533 ms
	busyPause = 100 * time.Millisecond // ours
	busyMost  = 8 * time.Second        // without a valid reply a reader is offline
)

// errLost is a link out of step: it is set up again from sequence 0.
var errLost = errors.New("link out of step")

// answer is the reply to a command, its data in clear and valid until the next
// command.
type answer struct {
	code  byte
	block []byte // of a handshake
	data  []byte
}

// ask sends a command and waits for its answer; a refusal is an error NAK.
func (r *Reader) ask(ctx context.Context, code byte, data ...byte) (answer, error) {
	return r.exchange(ctx, frame{code: code, data: data})
}

// exchange is one command and its answer, repeated with the very same bytes: a
// new MAC would break the chain.
func (r *Reader) exchange(ctx context.Context, f frame) (answer, error) {
	f.addr, f.seq, f.crc = r.cfg.Address, r.seq, !r.cfg.Checksum
	r.out = append(r.out[:0], mark)
	if r.channel != nil {
		r.out = r.channel.command(r.out, f)
	} else {
		r.out = appendFrame(r.out, f, nil)
	}
	if size := len(r.out) - 1; size > r.receive {
		return answer{}, fmt.Errorf("command %02X of %d bytes to a reader that takes %d", f.code, size, r.receive)
	}
	begun := time.Now()
	for try := 0; try < r.cfg.Seat.tries(); {
		a, v, err := r.try(ctx, f.code)
		switch {
		case err != nil:
			return answer{}, err
		case v == busy && time.Since(begun) < busyMost:
			if err := pause(ctx, busyPause); err != nil {
				return answer{}, err
			}
		case v == ours && a.code == repNAK && a.data[0] == nakCheck:
			try++ // it was damaged on the way; the reader has not taken it
		case v == ours:
			r.seq = r.seq%3 + 1
			if a.code == repNAK {
				return answer{}, NAK{f.code, a.data[0]}
			}
			return a, nil
		case v == busy:
			return answer{}, fmt.Errorf("%w: busy for %v", ErrSilent, busyMost)
		default:
			try++
			r.scan.count.Timeouts++
		}
	}
	return answer{}, fmt.Errorf("%w to command %02X", ErrSilent, f.code)
}

// try sends the command in flight once and waits for what comes back. On a
// shared line that is the reader's turn.
func (r *Reader) try(ctx context.Context, code byte) (answer, verdict, error) {
	if err := r.cfg.Seat.take(ctx); err != nil {
		return answer{}, none, err
	}
	defer r.cfg.Seat.give()
	if _, err := r.port.Write(r.out); err != nil {
		return answer{}, none, err
	}
	a, v, err := r.await(ctx, code)
	if v != none {
		r.cfg.Seat.heard()
	}
	return a, v, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// verdict is what a frame is to the command in flight.
type verdict byte

const (
	none verdict = iota
	ours
	busy
)

// await reads until the answer to a command, a BUSY or the end of patience.
func (r *Reader) await(ctx context.Context, code byte) (answer, verdict, error) {
	sent := time.Now()
	for {
		for f, ok := r.scan.next(); ok; f, ok = r.scan.next() {
			a, v, err := r.judge(code, f)
			if err != nil || v != none {
				return a, v, err
			}
		}
		if len(r.pending) > 0 {
			if !r.scan.partial() {
				r.at = r.lastAt
			}
			r.pending = r.pending[r.scan.feed(r.pending):]
			continue
		}
		now := time.Now()
		switch late := now.Sub(sent); {
		case late < replyWait:
		case !r.scan.partial(), late >= replyWait+frameMost: // also a line that is never silent
			return answer{}, none, nil
		}
		if r.scan.partial() && now.Sub(r.lastAt) >= byteGap {
			r.scan.stale() // a whole frame may stand behind the false start
			continue
		}
		n, err := r.port.Read(r.in[:])
		r.publish()
		switch {
		case ctx.Err() != nil:
			return answer{}, none, ctx.Err()
		case err != nil:
			return answer{}, none, err
		case n > 0:
			r.pending, r.lastAt = r.in[:n], time.Now()
		}
	}
}

func (r *Reader) publish() {
	c := r.scan.count
	r.count.Store(&c)
}

// judge tells whether a frame answers the command in flight, and opens it.
// What does not is counted and passed over.
func (r *Reader) judge(cmd byte, f frame) (answer, verdict, error) {
	switch {
	case !f.reply || f.addr != r.cfg.Address:
		return answer{}, none, nil // our own echo, or another reader's
	case f.crc == r.cfg.Checksum:
		return r.discard()
	case f.code == repBusy && f.scs == 0 && (f.seq == 0 || f.seq == r.seq):
		return answer{}, busy, nil
	case f.seq != r.seq:
		return r.discard()
	}
	a := answer{code: f.code, block: f.block, data: f.data}
	if a.code == repNAK && f.scs == 0 && len(a.data) > 0 {
		if r.channel != nil && a.data[0] != nakCheck || a.data[0] == nakSequence {
			return answer{}, none, fmt.Errorf("%w: %w", errLost, NAK{cmd, a.data[0]})
		}
		return a, ours, nil
	}
	if want := handshakeOf(cmd); r.channel == nil && f.scs != want {
		return r.discard()
	}
	if clearACK := cmd == cmdKeySet && f.scs == 0 && a.code == repACK; r.channel != nil && !clearACK {
		var err error
		switch a.data, err = r.channel.reply(f); {
		case errors.Is(err, errClear):
			return r.discard()
		case err != nil:
			return answer{}, none, fmt.Errorf("%w: %w", errLost, err)
		case f.scs == scsReplyEnc && len(f.data) == 0:
			r.scan.count.CheckErrors++ // nothing, encrypted: its MAC is right, and some readers send it
		}
	}
	switch {
	case a.code == repNAK && len(a.data) > 0:
		if a.data[0] == nakSequence {
			return answer{}, none, fmt.Errorf("%w: %w", errLost, NAK{cmd, nakSequence})
		}
		return a, ours, nil
	case !answers(cmd, a.code):
		if r.channel != nil { // the chain has moved
			return answer{}, none, fmt.Errorf("%w: reply %02X to command %02X", errLost, a.code, cmd)
		}
		return r.discard()
	}
	return a, ours, nil
}

func (r *Reader) discard() (answer, verdict, error) {
	r.scan.count.CheckErrors++
	return answer{}, none, nil
}

// handshakeOf gives the security block type in which a command is answered
// before there is a channel.
func handshakeOf(cmd byte) byte {
	switch cmd {
	case cmdChallenge:
		return scsCCrypt
	case cmdSCrypt:
		return scsRMACI
	}
	return 0
}
