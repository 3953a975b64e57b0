package agent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/configs"
)

const (
	// bundleLimit leaves a command time to tell what became of it.
	bundleLimit = commandLimit - 2*time.Second
	// bundleMost bounds an archive, in bytes: at 1 Mbit/s it is there in time.
	bundleMost = 900 << 10
	// bundleEvents is how many of the newest events are looked at; what is about
	// the booth of them is 0.6 KB each, before it is packed.
	bundleEvents = 500
)

// bundler puts an archive for those who help from afar where the booth's own
// configuration says. A command cannot name the place, nor what is in it: the
// configuration without the places of secrets, how the booth is, and events that
// say nothing of a vehicle nor of a lookout (I3, I7).
//
// Source: mqtt contract, section 7.
type bundler struct {
	cfg      *configs.Config
	bulletin *bulletin
	outbox   *outbox
	client   *http.Client // shows the booth's certificate, follows nobody
}

// send makes the archive of a command and puts it there.
func (u *bundler) send(ctx context.Context, id string) (name string, size int, err error) {
	ctx, cancel := context.WithTimeout(ctx, bundleLimit)
	defer cancel()
	b, err := u.archive(ctx, time.Now())
	if err != nil {
		return "", 0, err
	}
	if len(b) > bundleMost {
		return "", 0, fmt.Errorf("the archive has %d bytes, %d are possible", len(b), bundleMost)
	}
	name = string(u.cfg.Booth.ID) + "-" + id + ".tar.gz"
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, string(u.cfg.Commands.Upload)+name, bytes.NewReader(b))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/gzip")
	resp, err := u.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // the status says enough
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		return name, len(b), nil
	}
	return "", 0, fmt.Errorf("the place answers %s", resp.Status)
}

// archive packs what there is.
func (u *bundler) archive(ctx context.Context, at time.Time) ([]byte, error) {
	config, err1 := u.cfg.Redacted().TOML()
	st := u.bulletin.state()
	info, err2 := contract.EncodeInfo(st.Info)
	health, err3 := contract.EncodeHealth(st.Health)
	lists, err4 := contract.EncodeLists(st.Lists)
	page, err5 := u.page()
	events, err6 := u.events(ctx)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, fmt.Errorf("making an archive: %w", err)
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for _, f := range []struct {
		name string
		body []byte
	}{{"config.toml", config}, {"info.json", info}, {"health.json", health}, {"lists.json", lists}, {"status.json", page}, {"events.ndjson", events}} {
		body := u.hide(f.body)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "bundle/" + f.name, Size: int64(len(body)), Mode: 0o600, ModTime: at}); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.name, err)
		}
		if _, err := w.Write(body); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.name, err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		return nil, fmt.Errorf("packing: %w", err)
	}
	return out.Bytes(), nil
}

// page is the picture that the page shows, if the lane has one.
func (u *bundler) page() ([]byte, error) {
	p := u.bulletin.lane.Load()
	if p == nil {
		return []byte("null"), nil
	}
	return json.Marshal(u.bulletin.picture(p))
}

// events are the newest that are about the booth alone, a line each and as stored.
func (u *bundler) events(ctx context.Context) ([]byte, error) {
	j := u.outbox.journal.Load()
	if j == nil {
		return nil, errNoJournal
	}
	last := j.Last()
	var out bytes.Buffer
	for row, err := range j.Range(ctx, last-min(last, bundleEvents)+1, max(last, 1)) {
		if err != nil {
			return nil, err
		}
		e, err := contract.Decode(row.Body)
		if err == nil && e.Type.AboutBooth() {
			out.Write(row.Body)
			out.WriteByte('\n')
		}
	}
	return out.Bytes(), nil
}

// hide takes out where secrets are, wherever it stands: a device's reason may
// name a file.
func (u *bundler) hide(b []byte) []byte {
	var pairs []string
	for _, ref := range u.cfg.Secrets() {
		pairs = append(pairs, string(ref), "(redacted)")
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(b)))
}
