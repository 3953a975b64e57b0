package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent"
	"boothd/agent/status"
	"boothd/buffer/journal"
	"boothd/configs"
)

// bundleCmd makes an archive for those who help from afar. It holds no secret,
// nor where one is kept, no identifier (I7), and nothing that tells of a lookout
// (I3): of the events those that tell how the booth is, and not of its vehicles.
// What cannot be had is named in it and on the way; the rest is of use.
type bundleCmd struct {
	File      string `arg:"" help:"The archive, such as /root/booth.tar.gz; it must not be there yet."`
	Events    int    `help:"How many of the newest events are looked at." default:"500" placeholder:"N"`
	Crossings bool   `help:"Also crossings, plates and what the watch desk was sent. It tells of lookouts: for headquarters alone."`
}

// Bounds of an archive.
const (
	bundleEvents = 5000    // to look at
	bundlePart   = 4 << 20 // bytes of one file in it
	bundleFact   = 4 << 10 // bytes of one file of the kernel
	bundleLimit  = 30 * time.Second
)

// redacted stands where the place of a secret would.
const redacted = "(redacted)"

// bundled says of an archive what it is; it is its last file.
type bundled struct {
	Tool      string            `json:"tool"` // this program's version
	At        time.Time         `json:"at"`
	Booth     string            `json:"booth,omitempty"`
	Config    string            `json:"config,omitempty"` // digest
	Crossings bool              `json:"tells_of_lookouts"`
	Files     []string          `json:"files"`
	Missing   map[string]string `json:"missing,omitempty"` // what could not be had, and why
}

// Run writes the archive; it exits 0 though some of it could not be had.
func (c *bundleCmd) Run(t *tool) (err error) {
	if c.Events < 0 || c.Events > bundleEvents {
		return &failure{fmt.Errorf("%d events", c.Events), fmt.Sprintf("0 to %d are possible", bundleEvents), exitUsage}
	}
	out, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return &failure{err, "name a file that is not there yet, in a folder that is", exitFix}
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(err, os.Remove(c.File))
		}
	}()
	if err := out.Chmod(0o600); err != nil { // whatever the umask
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), bundleLimit)
	defer cancel()
	b := newBundle(c, t.place)
	if err := b.write(ctx, out); err != nil {
		return fmt.Errorf("writing %s: %w", c.File, err)
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if t.json {
		return t.print(b.about)
	}
	for _, name := range b.about.Files {
		fmt.Fprintf(t.stdout, "✓ %s\n", name)
	}
	for _, p := range b.parts() {
		if why, ok := b.about.Missing[p.name]; ok {
			fmt.Fprintf(t.stdout, "! %s: %s\n", p.name, why)
		}
	}
	_, err = fmt.Fprintf(t.stdout, "written: %s\n", c.File)
	return err
}

// bundle is an archive in the making.
type bundle struct {
	ask   *bundleCmd
	place place
	cfg   *configs.Config // nil: it cannot be read
	bad   error           // why
	hide  *strings.Replacer
	about bundled
}

func newBundle(c *bundleCmd, p place) *bundle {
	b := &bundle{ask: c, place: p, hide: strings.NewReplacer(), about: bundled{Tool: built(), At: time.Now().UTC(), Crossings: c.Crossings,
		Files: []string{}, Missing: map[string]string{}}}
	if b.cfg, b.bad = agent.Drivers.Load(p.Config); b.bad != nil {
		return b
	}
	b.about.Booth, b.about.Config = string(b.cfg.Booth.ID), b.cfg.Digest()
	var pairs []string
	for _, ref := range b.cfg.Secrets() {
		if path, _ := whereIs(ref); path != "" {
			pairs = append(pairs, path, redacted)
		}
		pairs = append(pairs, string(ref), redacted)
	}
	b.hide = strings.NewReplacer(pairs...)
	return b
}

// built names this program.
func built() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	words := []string{info.Main.Version, info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" || s.Key == "GOARCH" {
			words = append(words, s.Value)
		}
	}
	return strings.Join(words, " ")
}

// part is one file of the archive and where it comes from.
type part struct {
	name string
	make func(context.Context) ([]byte, error)
}

func (b *bundle) parts() []part {
	return []part{
		{"config.toml", b.config}, {"check.json", b.check}, {"status.json", b.status}, {"metrics.txt", b.metrics},
		{"lists.json", b.lists}, {"outbox.json", b.outbox}, {"events.ndjson", b.events}, {"ports.json", b.ports}, {"machine.txt", b.machine},
	}
}

// write writes every part that can be had, with the places of secrets hidden
// wherever they stand.
func (b *bundle) write(ctx context.Context, out io.Writer) error {
	zip := gzip.NewWriter(out)
	w := tar.NewWriter(zip)
	for _, p := range b.parts() {
		body, err := p.make(ctx)
		if err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			b.about.Missing[p.name] = b.hide.Replace(first)
			continue
		}
		if err := b.add(w, p.name, []byte(b.hide.Replace(string(body)))); err != nil {
			return err
		}
		b.about.Files = append(b.about.Files, p.name)
	}
	about, err := asJSON(b.about)
	if err == nil {
		err = b.add(w, "bundle.json", about)
	}
	return errors.Join(err, w.Close(), zip.Close())
}

func (b *bundle) add(w *tar.Writer, name string, body []byte) error {
	body = body[:min(len(body), bundlePart)]
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "bundle/" + name, Size: int64(len(body)), Mode: 0o600, ModTime: b.about.At}); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

func asJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	err := (&tool{stdout: &out}).print(v)
	return out.Bytes(), err
}

// config is what the technician wrote, redacted. One that is wrong is not in it:
// what it would hide cannot be told.
func (b *bundle) config(context.Context) ([]byte, error) {
	if b.bad != nil {
		return nil, b.bad
	}
	return b.cfg.Redacted().TOML()
}

// check is what boothctl check finds, or the configuration's faults.
func (b *bundle) check(context.Context) ([]byte, error) {
	if problems, ok := errors.AsType[configs.Problems](b.bad); ok {
		return asJSON(report{File: b.place.Config, State: "bad-config", Problems: problems})
	} else if b.bad != nil {
		return nil, b.bad
	}
	k := &check{cfg: b.cfg, now: b.about.At, who: daemonUser()}
	k.configuration(b.place.Config)
	k.files()
	k.hardware()
	return asJSON(k.found)
}

func (b *bundle) status(ctx context.Context) ([]byte, error) {
	socket, err := b.place.socket()
	if err != nil {
		return nil, err
	}
	p, err := status.Dial("unix:" + socket).Get(ctx)
	if err != nil && !errors.Is(err, status.ErrStale) {
		return nil, err
	}
	return asJSON(p)
}

func (b *bundle) metrics(ctx context.Context) ([]byte, error) {
	socket, err := b.place.socket()
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("boothd answers %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, bundlePart))
}

func (b *bundle) lists(ctx context.Context) ([]byte, error) {
	if b.bad != nil {
		return nil, b.bad
	}
	v, err := lookAtLists(ctx, b.cfg)
	if err != nil {
		return nil, err
	}
	defer v.Release()
	return asJSON(reportLists(b.cfg, v, b.about.At))
}

// outbox is what waits, without the alerts: their number tells of a hit.
func (b *bundle) outbox(ctx context.Context) ([]byte, error) {
	r, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close() // it was only read
	room, err := b.place.room()
	if err != nil {
		return nil, err
	}
	o, err := outboxOf(ctx, r, room)
	if err != nil {
		return nil, err
	}
	if !b.ask.Crossings {
		o.Alerts = nil
	}
	return asJSON(o)
}

// open opens the journal, where its file is given or configured.
func (b *bundle) open(ctx context.Context) (*journal.Reader, error) {
	path, err := b.place.journal()
	if err != nil {
		return nil, err
	}
	if err := readable(path); err != nil {
		return nil, err
	}
	return journal.OpenReader(ctx, path)
}

// events are the newest that there is room for, a line each and exactly as stored.
func (b *bundle) events(ctx context.Context) ([]byte, error) {
	r, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close() // it was only read
	n, err := r.Count(ctx)
	if err != nil {
		return nil, err
	}
	var lines [][]byte
	size := 0
	for row, err := range entries(ctx, r, n.Last-min(uint64(b.ask.Events), n.Last)+1, max(n.Last, 1)) {
		if err != nil {
			return nil, err
		}
		if !b.ask.Crossings && !row.event.Type.AboutBooth() {
			continue
		}
		lines = append(lines, row.Body)
		for size += len(row.Body) + 1; size > bundlePart; lines = lines[1:] {
			size -= len(lines[0]) + 1
		}
	}
	var out bytes.Buffer
	for _, line := range lines {
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

func (b *bundle) ports(context.Context) ([]byte, error) {
	all, err := serialPorts("/")
	if err != nil {
		return nil, err
	}
	if b.cfg != nil {
		assign("/", all, b.cfg.Devices)
	}
	return asJSON(all)
}

// machine is what the kernel says of itself and the board.
func (b *bundle) machine(context.Context) ([]byte, error) {
	var out strings.Builder
	for _, path := range []string{"/proc/version", "/etc/os-release", "/proc/device-tree/model", "/sys/class/dmi/id/product_name", "/proc/uptime",
		"/proc/loadavg", "/proc/meminfo", "/sys/class/rtc/rtc0/name"} {
		text, err := fact(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			text = err.Error()
		}
		fmt.Fprintf(&out, "== %s\n%s\n\n", path, strings.Trim(text, "\x00\n "))
	}
	if b.cfg != nil {
		var st unix.Statfs_t
		if err := unix.Statfs(filepath.Clean(string(b.cfg.Store.Dir)), &st); err == nil {
			fmt.Fprintf(&out, "== disk of %s\n%d of %d bytes free, %d of %d inodes\n", b.cfg.Store.Dir, int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize, st.Ffree, st.Files)
		}
	}
	return []byte(out.String()), nil
}

func fact(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, bundleFact))
	return string(b), err
}
