package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"boothd/agent"
)

// bytesRule is said before bytes are shown.
const bytesRule = `the bytes hold every card number and plate in clear (I7). They are shown on this terminal and kept nowhere;
boothctl: keep it so, and look away from what is not yours to see.`

// onTerminal refuses to show identifiers to anything but a person: a file or a
// pipe would keep them.
func onTerminal(out io.Writer) error {
	if f, ok := out.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			return nil
		}
	}
	return &failure{errors.New("--raw shows card numbers and plates in clear, and only on a terminal"),
		"leave --raw out, or do not send it to a file or another program; boothctl capture --raw is for test cards", exitUsage}
}

// frames calls f with each frame of a device, until the stream or ctx ends or f
// fails.
func frames(ctx context.Context, socket, device string, raw bool, f func(agent.Frame) error) error {
	var d net.Dialer
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }}}
	at := "http://localhost/frames/" + url.PathEscape(device)
	if raw {
		at += "?raw=1"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return unreached(socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // the status says enough
		hint := ""
		if resp.StatusCode == http.StatusUnprocessableEntity {
			hint = "boothctl status lists the devices"
		}
		return &failure{fmt.Errorf("boothd answers: %s", strings.TrimSpace(string(text))), hint, exitUsage}
	}
	for in := json.NewDecoder(io.LimitReader(resp.Body, 1<<30)); ; {
		var x agent.Frame
		switch err := in.Decode(&x); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
		if err := f(x); err != nil {
			return err
		}
	}
}
