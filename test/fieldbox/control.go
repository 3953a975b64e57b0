package fieldbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

// What host and guest agree on.
const (
	ControlPorts = 2 // commands that can run at once
	Chip         = "booth-gpio"
	Shared       = "/mnt/shared"        // the host's folder, read-only
	Lines        = "/run/fieldbox/gpio" // a folder a line: value, pull
	UARTs        = "/dev/fieldbox"      // uart0, uart1, ...
)

// Exit codes of commands that have none.
const (
	CodeTimeout  = 124
	CodeNoAnswer = 125
)

// Request is a shell command for the guest; one line of JSON.
type Request struct {
	ID      string        `json:"id"`
	Command string        `json:"command"`
	Limit   time.Duration `json:"limit"`
}

// Answer is what it came to; one line of JSON.
type Answer struct {
	ID   string `json:"id"`
	Code int    `json:"code"`
	Out  []byte `json:"out,omitempty"`
	Err  []byte `json:"err,omitempty"`
}

// Failed is a command that ended with another exit code than 0.
type Failed struct {
	Command, Out, Err string
	Code              int
}

func (f *Failed) Error() string {
	return fmt.Sprintf("in the box: exit %d\n%s\n%s%s", f.Code, f.Command, f.Out, f.Err)
}

// commandLimit is how long a command may take: emulated on a busy machine, the
// whole of docs/install.md took more than a minute.
const commandLimit = 5 * time.Minute

var requests atomic.Uint64 // an answer that comes late is of an older one

// port is one control port. It is held open, since a port that nobody holds
// reads as ended and keeps the guest's processor busy.
type port struct {
	n    int
	conn net.Conn // nil: not open
	in   *bufio.Reader
}

// hang closes it.
func (p *port) hang() {
	if p.conn != nil {
		_ = p.conn.Close() // nothing is lost with it
		p.conn = nil
	}
}

// Run runs a shell command in the box, as root, and returns its output; with
// an exit code other than 0, and then with the output too, it is a *Failed.
func (b *Box) Run(ctx context.Context, command string) (string, error) {
	select {
	case p := <-b.ports:
		defer func() { b.ports <- p }()
		out, err := b.ask(ctx, p, command)
		if failed := (*Failed)(nil); err != nil && !errors.As(err, &failed) {
			p.hang()
			err = errors.Join(ctx.Err(), fmt.Errorf("asking the box: %q: %w", command, err))
		}
		return out, err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (b *Box) ask(ctx context.Context, p *port, command string) (string, error) {
	if p.conn == nil {
		c, err := net.Dial("unix", b.path(fmt.Sprintf("ctl%d", p.n)))
		if err != nil {
			return "", err
		}
		p.conn, p.in = c, bufio.NewReader(c)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	q := Request{ID: strconv.FormatUint(requests.Add(1), 10), Command: command, Limit: commandLimit}
	line, err := json.Marshal(q)
	if err != nil {
		return "", err
	}
	if err := p.conn.SetDeadline(time.Now().Add(commandLimit + 5*time.Second)); err != nil {
		return "", err
	}
	// The first newline ends what an asker that was cut off has left there.
	if _, err := p.conn.Write(append(append([]byte{'\n'}, line...), '\n')); err != nil {
		return "", err
	}
	for {
		line, err := p.in.ReadBytes('\n')
		if err != nil {
			return "", err
		}
		var a Answer
		if json.Unmarshal(line, &a) != nil || a.ID != q.ID {
			continue
		}
		if a.Code != 0 {
			return string(a.Out), &Failed{Command: command, Out: string(a.Out), Err: string(a.Err), Code: a.Code}
		}
		return string(a.Out), nil
	}
}
