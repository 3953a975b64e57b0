package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boothd/devices/sim"
)

// boothOf serves what a booth would of its pictures and of one device, and tells
// which frames were asked for.
func boothOf(t *testing.T, asked chan<- string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /frames/front", func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.RequestURI()
		for _, line := range []string{
			`{"at":"2026-11-23T07:15:00.25Z","kind":"<","text":"7 bytes 41 42 43"}`,
			`{"at":"2026-11-23T07:15:00.251Z","kind":"read","text":"plate  #1 (6 characters)"}`,
		} {
			fmt.Fprintln(w, line)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	})
	srv := &http.Server{Handler: mux}
	go func() { _ = srv.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = srv.Close() })
	return socket
}

func TestWatchShowsFrames(t *testing.T) {
	asked := make(chan string, 1)
	var out, errs bytes.Buffer
	if code := run([]string{"watch", "--socket", boothOf(t, asked), "--device", "front", "--for", "1s"}, &out, &errs); code != 0 {
		t.Errorf("exit %d: %s", code, &errs)
	}
	want := "07:15:00.250  frame    front < 7 bytes 41 42 43\n07:15:00.251  read     front  plate  #1 (6 characters)\n"
	if out.String() != want || <-asked != "/frames/front" {
		t.Errorf("watch wrote\n%swant\n%s", &out, want)
	}
}

// Bytes are shown on a terminal, with what they are; a file or a pipe gets none.
func TestI7_BytesAreShownOnATerminalOnly(t *testing.T) {
	asked := make(chan string, 1)
	socket := boothOf(t, asked)
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var errs bytes.Buffer
	for _, json := range []string{"", "--json"} {
		args := strings.Fields("watch --device front --raw " + json + " --socket " + socket)
		for _, out := range []interface {
			Write([]byte) (int, error)
		}{file, &bytes.Buffer{}} {
			if code := run(args, out, &errs); code != exitUsage {
				t.Errorf("%v to a %T: exit %d", args, out, code)
			}
		}
	}
	if info, err := file.Stat(); err != nil || info.Size() > 0 || len(asked) > 0 {
		t.Errorf("%v %v: bytes were asked for", info, err)
	}
	far, tty, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	terminal, err := os.OpenFile(tty, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	errs.Reset()
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(far).ReadString('\n')
		lines <- line
	}()
	run([]string{"watch", "--socket", socket, "--device", "front", "--raw", "--for", "1s"}, terminal, &errs)
	if line := <-lines; !strings.Contains(line, "front < 7 bytes 41 42 43") || <-asked != "/frames/front?raw=1" {
		t.Errorf("the terminal shows %q", line)
	}
	if !strings.Contains(errs.String(), "in clear (I7)") {
		t.Errorf("it is not told what it looks at: %s", &errs)
	}
}
