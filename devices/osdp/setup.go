package osdp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"
)

// setUp brings the reader from any state to being polled. Sequence 0 makes it
// drop whatever channel there was.
func (r *Reader) setUp(ctx context.Context) error {
	r.seq, r.channel, r.receive, r.mute = 0, nil, receiveLeast, false
	a, err := r.ask(ctx, cmdID, 0)
	if err != nil {
		return err
	}
	if r.identity, err = parseIdentity(a.data); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	a, err = r.ask(ctx, cmdCap, 0)
	if _, refused := refusal(err); err != nil && !refused { // refused: it takes the least
		return err
	}
	c, err := parseCapabilities(a.data)
	if err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	r.receive, r.points = c.receive, c.points()
	if !r.cfg.Clear {
		if err := r.secure(ctx); err != nil {
			return err
		}
	}
	return r.askStatus(ctx)
}

// secure brings up the channel under the reader's own key. Inside the install
// window a reader fresh from the factory is given that key first.
func (r *Reader) secure(ctx context.Context) error {
	err := r.handshake(ctx, 1)
	if (errors.Is(err, ErrWrongKey) || errors.Is(err, ErrInsecure)) && time.Now().Before(r.cfg.InstallUntil) {
		if e := r.install(ctx); e != nil {
			return errors.Join(err, e)
		}
		err = r.handshake(ctx, 1)
	}
	if err == nil && r.cfg.Pin != nil {
		r.cfg.Pin()
	}
	return err
}

// install sets the reader's own key in a channel under the default one, and
// gives up that channel.
func (r *Reader) install(ctx context.Context) error {
	if err := r.handshake(ctx, 0); err != nil {
		return fmt.Errorf("default key: %w", err)
	}
	key := r.own(r.cuid)
	_, err := r.ask(ctx, cmdKeySet, append([]byte{1, byte(len(key))}, key[:]...)...)
	r.channel, r.seq = nil, 0
	if err != nil {
		return fmt.Errorf("setting the reader's key: %w", err)
	}
	return nil
}

// own is the key of the reader that gives this number of itself.
func (r *Reader) own(cuid [8]byte) Key {
	if r.cfg.Master {
		return r.cfg.Key.Derive(cuid)
	}
	return r.cfg.Key
}

// handshake brings up a channel: kind 0 under the default key, 1 under the
// reader's own.
func (r *Reader) handshake(ctx context.Context, kind byte) error {
	var a8 [8]byte
	if _, err := rand.Read(a8[:]); err != nil {
		return fmt.Errorf("drawing a challenge: %w", err)
	}
	a, err := r.exchange(ctx, frame{scs: scsChallenge, block: []byte{kind}, code: cmdChallenge, data: a8[:]})
	if _, refused := refusal(err); refused {
		return fmt.Errorf("%w: %w", ErrInsecure, err)
	}
	switch {
	case err != nil:
		return err
	case len(a.data) != 32:
		return fmt.Errorf("handshake: %w", errFormat)
	case a.block[0] != kind:
		return fmt.Errorf("%w: it offers key %d, not %d", ErrWrongKey, a.block[0], kind)
	}
	r.cuid = [8]byte(a.data)
	b8, proof := [8]byte(a.data[8:]), [16]byte(a.data[16:])
	key := defaultKey
	if kind == 1 {
		key = r.own(r.cuid)
	}
	s := newSession(key, a8)
	if want := s.cryptogram(a8, b8); subtle.ConstantTimeCompare(want[:], proof[:]) != 1 {
		return ErrWrongKey
	}
	server := s.cryptogram(b8, a8)
	a, err = r.exchange(ctx, frame{scs: scsSCrypt, block: []byte{kind}, code: cmdSCrypt, data: server[:]})
	if _, refused := refusal(err); refused {
		return fmt.Errorf("%w: %w", ErrWrongKey, err)
	}
	if err != nil {
		return err
	}
	s.rmac = s.begin(server)
	if a.block[0] != 1 || subtle.ConstantTimeCompare(a.data, s.rmac[:]) != 1 {
		return fmt.Errorf("%w: first MAC differs", ErrWrongKey)
	}
	r.channel = s
	return nil
}

// askStatus asks for tamper and power; a reader that has none to tell is not
// asked again.
func (r *Reader) askStatus(ctx context.Context) error {
	r.asked = time.Now()
	a, err := r.ask(ctx, cmdStatus)
	if n, refused := refusal(err); refused && n.Code != nakCondition { // else it refuses everything, and is not there
		r.mute = true
		r.known.Status, r.known.Tamper, r.known.Power = false, false, false
		r.tell()
		return nil
	}
	if err != nil {
		return err
	}
	r.status(a.data)
	return nil
}

// askPoints asks for what the reader has said to have of inputs, outputs and
// readers that hang on it. What it refuses to tell it is not asked again.
func (r *Reader) askPoints(ctx context.Context) error {
	for _, cmd := range slices.Clone(r.points) {
		a, err := r.ask(ctx, cmd)
		if _, refused := refusal(err); refused {
			r.points = slices.DeleteFunc(r.points, func(c byte) bool { return c == cmd })
			continue
		}
		if err != nil {
			return err
		}
		r.state(a)
	}
	return nil
}

// state takes an answer or report of how the reader and what hangs on it is.
func (r *Reader) state(a answer) {
	switch a.code {
	case repStatus:
		r.status(a.data)
	case repReader:
		r.remotes(a.data)
	case repIn:
		r.take(&r.known.Inputs, a.data)
	case repOut:
		r.take(&r.known.Outputs, a.data)
	}
}

// status takes a report of tamper and power.
func (r *Reader) status(b []byte) {
	if len(b) != 2 {
		r.scan.count.CheckErrors++
		return
	}
	r.known.Status, r.known.Tamper, r.known.Power = true, b[0] != 0, b[1] != 0
	r.tell()
}

// take takes a report of inputs or outputs, a byte each.
func (r *Reader) take(into *Points, b []byte) {
	p, err := parsePoints(b)
	if err != nil {
		r.scan.count.CheckErrors++
		return
	}
	*into = p
	r.tell()
}

// remotes takes a report of the readers that hang on this one, a byte each: 0
// as it should be, 1 not connected, 2 tamper. It lasts until the next one. Others
// have no meaning given and are taken for tamper.
func (r *Reader) remotes(b []byte) {
	if len(b) == 0 {
		r.scan.count.CheckErrors++
		return
	}
	r.opened, r.known.Gone = false, false
	for _, s := range b {
		r.known.Gone = r.known.Gone || s == 1
		r.opened = r.opened || s > 1
	}
	r.tell()
}

// tell tells what is known, when it is something new.
func (r *Reader) tell() {
	h := r.known
	h.Secure, h.Tamper = r.channel != nil, h.Tamper || r.opened
	if r.told != nil && *r.told == h {
		return
	}
	r.told = &h
	if r.cfg.Health != nil {
		r.cfg.Health(h)
	}
}
