package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"boothd/configs"
)

// installCmd opens the window in which an OSDP reader fresh from the factory is
// given its own key. Outside of it such a reader is refused: whoever swaps one
// at night would else have a booth that believes it.
type installCmd struct {
	Device string `arg:"" help:"The reader's name in the configuration."`
}

// Run exits 0 when the window is open.
func (c *installCmd) Run(t *tool) error {
	socket, err := t.place.socket()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	code, body, err := put(ctx, socket, "install/"+url.PathEscape(c.Device))
	switch {
	case err != nil:
		return unreached(socket, err)
	case code == http.StatusUnprocessableEntity:
		return &failure{errors.New(body), "boothctl status lists the devices", exitFix}
	case code != http.StatusNoContent:
		return fmt.Errorf("boothd answers %d: %s", code, body)
	}
	_, err = fmt.Fprintf(t.stdout, "for 10 minutes %s may be given its key: connect and power it now; boothctl status tells when it is online\n", c.Device)
	return err
}

// put sends an empty PUT to the daemon.
func put(ctx context.Context, socket, path string) (code int, body string, err error) {
	var d net.Dialer
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://localhost/"+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerMost))
	return resp.StatusCode, strings.TrimSpace(string(b)), err
}

// credential reads a secret as the daemon does.
func credential(ref configs.Ref) ([]byte, error) {
	path, err := ref.File(os.Getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
