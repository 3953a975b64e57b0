package status

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// sendLimit is how long a viewer may take for one message before it is dropped;
// its place is wanted, and EventSource comes back by itself.
const sendLimit = 5 * time.Second

// events is GET /events: the latest picture at once and after each change, at
// most ten a second, and a beat every second with the picture's age. A viewer
// that falls behind skips pictures; it never gets an old one late.
//
//	event: picture    data: the Picture
//	event: beat       data: {"age_ms":N,"stale":BOOL,"now":"RFC 3339"}
func (b *Board) events(w http.ResponseWriter, r *http.Request) {
	select {
	case b.viewers <- struct{}{}:
		defer func() { <-b.viewers }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("%d viewers watch already", MaxViewers), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	s := stream{w: w, out: http.NewResponseController(w)}
	if r.Method == http.MethodHead || s.send("retry: 2000\n\n") != nil {
		return
	}
	// The viewer's connection or the daemon has ended: nobody is left to tell.
	_ = b.follow(r.Context(), &s)
}

// follow is the whole life of one viewer.
func (b *Board) follow(ctx context.Context, s *stream) error {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	pause := time.NewTimer(0) // a picture may be sent when it has fired
	defer pause.Stop()
	var sent *frame
	for {
		f := b.now.Load()
		newer, ready := f.over, (<-chan time.Time)(nil)
		if f != sent && !f.empty {
			newer, ready = nil, pause.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-newer: // look again
		case <-beat.C:
			if err := s.beat(b.now.Load()); err != nil {
				return err
			}
		case <-ready:
			sent = b.now.Load() // the latest, not the one that waited
			if err := s.show(sent); err != nil {
				return err
			}
			pause.Reset(sendEvery)
		}
	}
}

// stream writes one viewer's messages, each within the limit.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
}

func (s *stream) show(f *frame) error {
	text, err := f.json()
	if err != nil {
		return err
	}
	if err := s.send("event: picture\ndata: " + string(text) + "\n\n"); err != nil {
		return err
	}
	return s.beat(f)
}

func (s *stream) beat(f *frame) error {
	return s.send("event: beat\ndata: {\"age_ms\":" + strconv.FormatInt(f.age().Milliseconds(), 10) +
		",\"stale\":" + strconv.FormatBool(f.stale()) +
		",\"now\":\"" + time.Now().UTC().Format(time.RFC3339Nano) + "\"}\n\n")
}

func (s *stream) send(msg string) error {
	if err := s.out.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(msg)); err != nil {
		return err
	}
	return s.out.Flush()
}
