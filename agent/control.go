package agent

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"boothd/agent/lists"
	"boothd/agent/passage"
	"boothd/buffer/room"
)

// Bounds of an import by the control socket.
const (
	importMost  = 2 << 30 // bytes of all files
	importFiles = 256
	importLimit = 30 * time.Minute
	importDir   = "import-" // what a folder's name begins with
)

// importName is what a folder of lists may hold; everything else is refused
// before a byte of it is written (package lists, layout of a source).
var importName = regexp.MustCompile(`^(root/[1-9][0-9]{0,8}\.root\.json|(timestamp|snapshot|targets)\.json|targets/[a-z]{1,16}-[1-9][0-9]{0,15}(\.list|-[1-9][0-9]{0,15}\.delta))$`)

// Imported is the answer to an import: what it changed, and what was refused.
type Imported struct {
	Heartbeat bool     `json:"heartbeat"` // something newer than all before was verified
	Applied   []string `json:"applied"`   // "cards 7"
	Refused   []string `json:"refused"`   // why, in words
}

// imports answers a PUT of a tar stream with the files of a publication. The
// stream comes through the socket, since the daemon may not see the
// technician's folder or stick. Who may open the socket may offer lists; whether
// they are taken is for their signatures alone to say.
func (b *booth) imports() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deadline := time.Now().Add(importLimit)
		rc := http.NewResponseController(w)
		if err := errors.Join(rc.SetReadDeadline(deadline), rc.SetWriteDeadline(deadline)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		defer cancel()
		dir, err := os.MkdirTemp(string(b.cfg.Store.Dir), importDir)
		if err != nil {
			http.Error(w, fmt.Sprintf("importing lists: %v", err), http.StatusUnprocessableEntity)
			return
		}
		defer func() { // behind the answer, and also when nobody waits for that any more
			if err := room.Remove(context.WithoutCancel(ctx), dir); err != nil {
				b.log.Warn("import not cleared away", "err", err)
			}
		}()
		body, err := b.importFrom(ctx, dir, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		} else {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, err = w.Write(body)
		}
		if err = errors.Join(err, rc.Flush()); err != nil {
			b.log.Warn("lists not imported, or nobody told", "err", err)
		}
	})
}

// retype answers a PUT of /lane/TYPE: the lane becomes of that type before the
// next vehicle, as if the officer had pressed the button. The answer comes when
// the lane has been told; whether it is of that type already, its picture says.
func (b *booth) retype(w http.ResponseWriter, r *http.Request) {
	to := r.PathValue("type")
	if _, ok := b.lane.types.may[passage.LaneType(to)]; !ok {
		http.Error(w, fmt.Sprintf("the lane cannot become of type %q: lane.others has to name it", to), http.StatusUnprocessableEntity)
		return
	}
	if err := b.inbox.press(r.Context(), press{point: lanePrefix + to, active: true, at: time.Now()}); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// importFrom unpacks into a folder, has the lists judged and gives the answer, as
// JSON.
func (b *booth) importFrom(ctx context.Context, dir string, r io.Reader) ([]byte, error) {
	if err := unpack(r, dir, min(importMost, free(dir)/fetchRoom)); err != nil {
		return nil, fmt.Errorf("importing lists: %w", err)
	}
	return json.Marshal(imported(b.shelf.take(ctx, os.DirFS(dir), "directory")))
}

func imported(res lists.Result, err error) Imported {
	out := Imported{Heartbeat: res.Fresh, Applied: []string{}, Refused: []string{}}
	for _, g := range res.Applied {
		out.Applied = append(out.Applied, fmt.Sprintf("%s %d", g.Kind, g.Generation))
	}
	for _, r := range refusals(err) {
		out.Refused = append(out.Refused, r.Error())
	}
	if err != nil && len(out.Refused) == 0 {
		out.Refused = append(out.Refused, err.Error())
	}
	return out
}

// cutImports are the folders of imports that were cut off, before one begins.
func cutImports(store string) []string {
	left, _ := filepath.Glob(filepath.Join(store, importDir+"*")) // the pattern is a good one
	return left
}

// forget removes what imports left behind.
func (b *booth) forget(ctx context.Context, imports []string) {
	if err := room.Remove(ctx, imports...); err != nil {
		b.log.Warn("what imports left behind is not cleared away", "err", err)
	}
}

// unpack writes the files of a tar stream below dir, within bounds and at most
// so many bytes: the journal is on the same disk.
func unpack(r io.Reader, dir string, most int64) error {
	left := most
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch {
		case err != nil:
			return err
		case n == importFiles:
			return fmt.Errorf("more than %d files", importFiles)
		case h.Typeflag == tar.TypeDir:
			continue // folders are made as files need them
		case h.Typeflag != tar.TypeReg || !importName.MatchString(h.Name):
			return fmt.Errorf("%.80q is no file of a publication", h.Name)
		case h.Size > left:
			return fmt.Errorf("more than %d bytes, which is what there is room for", most)
		}
		left -= h.Size
		if err := unpackOne(tr, filepath.Join(dir, filepath.FromSlash(h.Name))); err != nil {
			return err
		}
	}
}

func unpackOne(r io.Reader, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, r)
	return err
}
