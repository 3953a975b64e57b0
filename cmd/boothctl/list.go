package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"
)

type listCmd struct {
	Status listStatusCmd `cmd:"" help:"Tell which lists are in force, how old they are and under which token key, from the store's files."`
	Lookup listLookupCmd `cmd:"" help:"Tell whether a card, a member, a document or one of a trader's numbers would be found."`
	Import listImportCmd `cmd:"" help:"Hand a folder or stick with lists to the running boothd."`
}

// listImportCmd hands a publication to boothd through its socket, because the
// daemon may not see the folder. What is believed is for the signatures alone
// to say: nothing is judged here.
type listImportCmd struct {
	Dir string `arg:"" help:"Folder with a publication: timestamp.json, targets/ and the rest."`
}

// Bounds of an import, as the daemon has them.
const (
	importMost  = 2 << 30 // bytes
	importFiles = 256
	importLimit = 31 * time.Minute // the daemon's own, and a little to hear its answer
	answerMost  = 1 << 20
)

// known are the files of a publication (package lists, layout of a source).
var known = regexp.MustCompile(`^(root/[1-9][0-9]{0,8}\.root\.json|(timestamp|snapshot|targets)\.json|targets/[a-z]{1,16}-[1-9][0-9]{0,15}(\.list|-[1-9][0-9]{0,15}\.delta))$`)

// imported is the daemon's answer.
type imported struct {
	Heartbeat bool     `json:"heartbeat"`
	Applied   []string `json:"applied"`
	Refused   []string `json:"refused"`
}

// Run exits 0 if nothing was refused, also if nothing was new.
func (c *listImportCmd) Run(t *tool) error {
	socket, err := t.place.socket()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(c.Dir) // a link on a stick must not reach out of it
	if err != nil {
		return &failure{fmt.Errorf("reading lists: %w", err), "name the folder that holds timestamp.json", exitFix}
	}
	defer root.Close()
	files, err := publication(root.FS())
	if err != nil {
		return &failure{fmt.Errorf("reading lists in %s: %w", c.Dir, err), "name the folder that holds timestamp.json, as headquarters wrote it", exitFix}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, importLimit)
	defer cancel()
	answer, err := hand(ctx, socket, root.FS(), files)
	if err != nil {
		return unreached(socket, fmt.Errorf("importing %s: %w", c.Dir, err))
	}
	return answer.tell(t)
}

// file is one file to be sent.
type file struct {
	name string
	size int64
}

// publication finds the known files. Lists that an older publication left
// behind are not sent: targets.json names those that count.
func publication(dir fs.FS) ([]file, error) {
	var files []file
	var total int64
	named := targetNames(dir)
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && name != "root" && name != "targets":
			return fs.SkipDir
		case d.IsDir() || !known.MatchString(name):
			return nil
		case path.Dir(name) == "targets" && named != nil && !named[path.Base(name)]:
			return nil
		}
		info, err := fs.Stat(dir, name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no file", name)
		}
		files = append(files, file{name, info.Size()})
		total += info.Size()
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(files) == 0:
		return nil, errors.New("no publication there")
	case len(files) > importFiles:
		return nil, fmt.Errorf("%d files, a booth takes %d at once", len(files), importFiles)
	case total > importMost:
		return nil, fmt.Errorf("%d MiB, a booth takes %d at once", total>>20, importMost>>20)
	}
	return files, nil
}

// targetNames reads which lists targets.json names; nil if it cannot be told,
// and then all are sent for the daemon to judge.
func targetNames(dir fs.FS) map[string]bool {
	f, err := dir.Open("targets.json")
	if err != nil {
		return nil
	}
	defer f.Close()
	var md struct {
		Signed struct {
			Targets map[string]json.RawMessage `json:"targets"`
		} `json:"signed"`
	}
	if err := json.NewDecoder(io.LimitReader(f, maxRead)).Decode(&md); err != nil {
		return nil
	}
	names := make(map[string]bool, len(md.Signed.Targets))
	for name := range md.Signed.Targets {
		names[name] = true
	}
	return names
}

// hand streams the files to the daemon and returns its answer.
func hand(ctx context.Context, socket string, dir fs.FS, files []file) (imported, error) {
	var d net.Dialer
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }}}
	r, w := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		w.CloseWithError(send(w, dir, files))
	}()
	defer func() { r.Close(); <-sent }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://localhost/lists", r)
	if err != nil {
		return imported{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return imported{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMost))
	if err != nil {
		return imported{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return imported{}, fmt.Errorf("boothd answers %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	var answer imported
	if err := json.Unmarshal(body, &answer); err != nil {
		return imported{}, fmt.Errorf("boothd's answer: %w", err)
	}
	return answer, nil
}

// send writes the files as a tar stream.
func send(w io.Writer, dir fs.FS, files []file) error {
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: f.size, Mode: 0o600}); err != nil {
			return err
		}
		in, err := dir.Open(f.name)
		if err != nil {
			return err
		}
		_, err = io.Copy(tw, in)
		if err := errors.Join(err, in.Close()); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return tw.Close()
}

// tell prints what became of the lists.
func (a imported) tell(t *tool) error {
	if t.json {
		if err := t.print(a); err != nil {
			return err
		}
	} else {
		for _, l := range a.Applied {
			fmt.Fprintf(t.stdout, "✓ %s is in force\n", l)
		}
		for _, l := range a.Refused {
			fmt.Fprintf(t.stdout, "✗ %s\n", l)
		}
		switch {
		case len(a.Refused) > 0:
		case a.Heartbeat:
			fmt.Fprintln(t.stdout, "✓ signed and newer than what was here; the lists' ages start anew")
		case len(a.Applied) == 0:
			fmt.Fprintln(t.stdout, "✓ nothing new: the booth has all of this")
		}
	}
	switch n := len(a.Refused); {
	case n == 1:
		return &failure{errors.New("1 thing was refused; the lists before it stay in force"), "get a fresh publication from headquarters' list office", exitFix}
	case n > 1:
		return &failure{fmt.Errorf("%d things were refused; the lists before them stay in force", n), "get a fresh publication from headquarters' list office", exitFix}
	}
	return nil
}
