package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxPicture bounds an answer, in bytes; a full picture has some 30 KB.
const maxPicture = 1 << 20

// ErrStale comes with a picture that is too old to be believed: the daemon
// answers, and its lane loop does not.
var ErrStale = errors.New("the lane has not been heard of for more than 3 s")

// Client asks a running daemon. Make one with Dial.
type Client struct {
	address string
	http    *http.Client
}

// Dial makes a client for an address as Serve takes it. Nothing is opened
// before the first question, and no connection is kept after an answer.
func Dial(address string) *Client {
	network, to := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, to = "unix", path
	}
	var d net.Dialer
	return &Client{address: address, http: &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{ // without Proxy: the booth is this machine
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, network, to)
			},
		},
	}}
}

// Get asks for the latest picture. A stale one comes with ErrStale.
func (c *Client) Get(ctx context.Context) (Picture, error) {
	p, age, err := c.get(ctx)
	if err != nil {
		return Picture{}, fmt.Errorf("asking boothd at %s: %w", c.address, err)
	}
	if age > staleAfter {
		return p, fmt.Errorf("asking boothd at %s: %w (%s)", c.address, ErrStale, age.Round(time.Second))
	}
	return p, nil
}

func (c *Client) get(ctx context.Context) (p Picture, age time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/state.json", nil)
	if err != nil {
		return p, 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return p, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPicture+1))
	switch {
	case err != nil:
		return p, 0, err
	case len(body) > maxPicture:
		return p, 0, fmt.Errorf("answer is over %d bytes", maxPicture)
	case resp.StatusCode != http.StatusOK:
		return p, 0, fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body[:min(len(body), maxText)])))
	}
	ms, err := strconv.ParseInt(resp.Header.Get(ageHeader), 10, 64)
	if err != nil {
		return p, 0, fmt.Errorf("age of the picture: %w", err)
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return Picture{}, 0, fmt.Errorf("picture: %w", err)
	}
	return p, time.Duration(ms) * time.Millisecond, nil
}
