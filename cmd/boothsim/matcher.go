package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"boothd/agent/verdict"
)

// matcher plays the face matcher of a kiosk: it says of each traveller what the
// scenario says.
type matcher struct {
	mu    sync.Mutex // the scenario sets, the socket's goroutine asks
	next  string
	asked chan struct{} // one for each challenge that was answered
}

// expect tells what the next traveller's face will be found to be.
func (m *matcher) expect(acts []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = "nobody"
	for _, word := range []string{"match", "nomatch"} {
		if slices.Contains(acts, word) {
			m.next = word
		}
	}
	select {
	case <-m.asked:
	default:
	}
}

// answered waits until the matcher has spoken, at most so long.
func (m *matcher) answered(ctx context.Context, most time.Duration) {
	m.mu.Lock()
	silent := m.next == "nobody"
	m.mu.Unlock()
	if silent {
		return
	}
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-m.asked:
	case <-t.C:
	case <-ctx.Done():
	}
}

func (m *matcher) judge(context.Context, verdict.Challenge) (verdict.Result, bool) {
	m.mu.Lock()
	next := m.next
	m.mu.Unlock()
	defer func() {
		select {
		case m.asked <- struct{}{}:
		default:
		}
	}()
	switch next {
	case "match":
		return verdict.Match, true
	case "nomatch":
		return verdict.NoMatch, true
	}
	return verdict.Unavailable, false
}

// faces plays the matcher at the booth's socket until ctx ends, connecting
// again as a real one would. The key file is made here, for both.
func (h *hardware) faces(ctx context.Context, socket, keyFile string) error {
	raw := make([]byte, verdict.KeySize)
	if _, err := crand.Read(raw); err != nil {
		return err
	}
	text := fmt.Sprintf("%x\n", raw)
	if err := os.WriteFile(keyFile, []byte(text), 0o600); err != nil {
		return err
	}
	key, err := verdict.ParseKey([]byte(text))
	if err != nil {
		return err
	}
	h.matcher = &matcher{asked: make(chan struct{}, 1)}
	m := verdict.Matcher{Key: key, ID: "boothsim", Judge: h.matcher.judge}
	h.served.Go(func() {
		for ctx.Err() == nil {
			c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
			if err == nil {
				err = m.Serve(ctx, c)
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				wait(ctx, 100*time.Millisecond) // boothd is not there yet, or has gone
			}
		}
	})
	return nil
}

// wait waits for d or for ctx; it tells whether d has passed.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
