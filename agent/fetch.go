package agent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"boothd/agent/lists"
	"boothd/buffer/eligibility"
	"boothd/buffer/room"
)

const (
	// fetchEvery is how often headquarters' web server is asked for a heartbeat
	// of its own, so that lists stay young without a broker; a fifth of it is
	// left to chance.
	fetchEvery = 5 * time.Minute
	// fetchSoon is when a booth asks again that cannot judge yet.
	fetchSoon = 2 * time.Second
	// fetchMixed and fetchTries: a publication that is being written looks mixed
	// for a moment.
	fetchMixed = 5 * time.Second
	fetchTries = 4
	// fetchAgain is when what was refused is tried once more: a list may have
	// been spoilt on the way.
	fetchAgain = time.Hour
	// fetchStall ends a transfer of which nothing has come for so long.
	fetchStall = 30 * time.Second
	// fetchRoots bounds how many roots are asked for at once.
	fetchRoots = 64
	// fetchRoom is what has to be free on the disk for each byte of a list that
	// is fetched: the file itself, and its rows unpacked and sorted.
	fetchRoom = 8
)

// fetcher gets lists from web servers: the signed metadata every few minutes,
// and the list files that it names and the booth lacks. Files are resumed where
// a transfer broke off. Nothing here believes anything: the shelf's trust judges
// what has come, and every byte is bounded before it is read.
//
// Source: product design, section 4; mqtt contract, section 6.
type fetcher struct {
	log    *slog.Logger
	urls   []string // folders, each with a slash at its end
	dir    string   // what has come so far; kept over a restart
	spread time.Duration
	client *http.Client
	shelf  taker
	wanted chan struct{}          // holds one: metadata that came otherwise names what is lacking
	room   func(dir string) int64 // bytes free on the disk

	settled settled
	said    string // the last trouble told
}

// settled is what was judged last, and need not be judged again: the same
// metadata, at a booth that has the same.
type settled struct {
	sum [sha256.Size]byte
	has string
	at  time.Time
}

// has names the generations in force: a list that turned out damaged has to come
// anew, by metadata that was judged before.
func (f *fetcher) has() string {
	var names []string
	for _, g := range f.shelf.generations() {
		names = append(names, fmt.Sprintf("%s-%d", g.Kind, g.Generation))
	}
	return strings.Join(names, " ")
}

// settle notes that metadata was judged.
func (f *fetcher) settle(sum [sha256.Size]byte) {
	f.settled = settled{sum: sum, has: f.has(), at: time.Now()}
}

// taker is what judges what has come: the shelf.
type taker interface {
	take(ctx context.Context, src fs.FS, via string) (lists.Result, error)
	rootVersion() (int64, error)
	generations() []eligibility.Generation
}

func newFetcher(log *slog.Logger, urls []string, store string, spread time.Duration, client *http.Client, s taker) *fetcher {
	return &fetcher{log: log, urls: urls, dir: filepath.Join(store, "fetch"), spread: spread, client: client, shelf: s,
		wanted: make(chan struct{}, 1), room: free}
}

// run fetches until ctx ends.
func (f *fetcher) run(ctx context.Context) {
	if len(f.urls) == 0 {
		return
	}
	wait := time.Duration(0) // the booth may have no list at all
	for {
		select {
		case <-time.After(wait):
		case <-f.wanted:
			// Every booth hears of a publication in the same second.
			if !sleep(ctx, f.chance()) {
				return
			}
		case <-ctx.Done():
			return
		}
		if errors.Is(f.round(ctx), errWaiting) {
			wait = fetchSoon
			continue
		}
		wait = fetchEvery - fetchEvery/5 + rand.N(2*fetchEvery/5)
	}
}

// chance is how long a fetch waits so that booths do not come all at once. A
// booth without lists does not wait.
func (f *fetcher) chance() time.Duration {
	if len(f.shelf.generations()) == 0 || f.spread <= 0 {
		return 0
	}
	return rand.N(f.spread)
}

// round asks one server after the other until one has what is signed.
func (f *fetcher) round(ctx context.Context) error {
	var errs []error
	for _, url := range f.urls {
		err := f.from(ctx, url)
		if err == nil {
			if f.said != "" {
				f.log.Info("lists are fetched again", "url", url)
			}
			f.said = ""
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, errWaiting) {
			return err
		}
		errs = append(errs, err)
	}
	if said := errors.Join(errs...).Error(); said != f.said { // changes alone
		f.log.Warn("lists cannot be fetched", "err", errors.Join(errs...))
		f.said = said
	}
	return errors.Join(errs...)
}

// errWaiting says that nothing can be judged yet, for want of trust or store.
var errWaiting = errors.New("lists cannot be taken yet")

// from gets the metadata of one server, and then what it names and we lack.
func (f *fetcher) from(ctx context.Context, url string) error {
	sum, err := f.metadata(ctx, url)
	if err != nil {
		return err
	}
	if sum == f.settled.sum && f.has() == f.settled.has && time.Since(f.settled.at) < fetchAgain {
		return nil // judged before, and told
	}
	res, err := f.take(ctx)
	if res.final {
		f.settle(sum)
	}
	if err != nil {
		return err
	}
	lacking := res.lacking
	if len(lacking) > 0 && !res.empty && !sleep(ctx, f.chance()) {
		return ctx.Err()
	}
	if len(lacking) > 0 {
		if err := f.sweep(ctx, lacking); err != nil {
			return err
		}
	}
	for _, l := range lacking {
		if err := f.list(ctx, url, l); err != nil {
			return err
		}
	}
	if len(lacking) == 0 {
		return f.clear(ctx)
	}
	res, err = f.take(ctx)
	if res.final {
		f.settle(sum)
	}
	if err != nil || len(res.lacking) > 0 {
		return err // published anew meanwhile: the next round
	}
	return f.clear(ctx)
}

// verdictOf is what the trust made of what has come.
type verdictOf struct {
	lacking []*lists.Refusal // lists that are signed and not there
	empty   bool             // the booth has no list at all
	final   bool             // judging the same again would give the same
}

func (f *fetcher) take(ctx context.Context) (v verdictOf, err error) {
	v.empty = len(f.shelf.generations()) == 0
	res, err := f.shelf.take(ctx, os.DirFS(f.dir), "https")
	switch {
	case errors.Is(err, errShelfClosed) || errors.Is(err, errNoTrust):
		return v, fmt.Errorf("%w: %w", errWaiting, err)
	case ctx.Err() != nil:
		return v, ctx.Err()
	case res.Fresh:
		f.log.Info("lists vouched for", "timestamp", res.Timestamp, "lists", len(res.Verified))
	}
	var others []error
	v.final = true
	for _, r := range refusals(err) {
		v.final = v.final && r.Rejected()
		switch {
		case r.Why == lists.Unavailable && r.File != "":
			v.lacking = append(v.lacking, r)
		case r.File != "": // what lies here is not what is signed: it is fetched anew
			others = append(others, r, room.Remove(ctx, filepath.Join(f.dir, "targets", r.File)))
		default:
			others = append(others, r)
		}
	}
	return v, errors.Join(others...)
}

// clear removes list files once they are in force, or named no more.
func (f *fetcher) clear(ctx context.Context) error {
	return room.Remove(ctx, filepath.Join(f.dir, "targets"))
}

// sweep removes what has come of files that were replaced since: on a slow line
// there would be one more with every publication, and the disk is the journal's
// too. Deltas that are whole stay, they may be of the chain that is fetched.
func (f *fetcher) sweep(ctx context.Context, lacking []*lists.Refusal) error {
	entries, err := os.ReadDir(filepath.Join(f.dir, "targets"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var old []string
	for _, e := range entries {
		name, begun := strings.CutSuffix(e.Name(), ".part")
		wanted, replaced := false, false
		for _, l := range lacking {
			wanted = wanted || l.File == name
			replaced = replaced || strings.HasSuffix(l.File, ".list") && strings.HasPrefix(name, l.Kind+"-")
		}
		if !wanted && (begun || replaced) {
			old = append(old, filepath.Join(f.dir, "targets", e.Name()))
		}
	}
	return room.Remove(ctx, old...)
}

// metadata gets everything signed, and its sum. A timestamp that is not of the snapshot
// beside it is a publication under way: it is asked for again before anything
// is judged.
func (f *fetcher) metadata(ctx context.Context, url string) (sum [sha256.Size]byte, err error) {
	if err := os.MkdirAll(filepath.Join(f.dir, "root"), 0o700); err != nil {
		return sum, err
	}
	if err := f.roots(ctx, url); err != nil {
		return sum, err
	}
	for try := 1; ; try++ {
		all := sha256.New()
		var versions [2]int64
		for i, name := range []string{"timestamp.json", "snapshot.json", "targets.json"} {
			b, err := f.small(ctx, url, name)
			if err != nil {
				return sum, err
			}
			if err := os.WriteFile(filepath.Join(f.dir, name), b, 0o600); err != nil {
				return sum, err
			}
			all.Write(b)
			if i < len(versions) {
				versions[i] = snapshotVersion(b)
			}
		}
		if versions[0] == versions[1] || try == fetchTries {
			return [sha256.Size]byte(all.Sum(nil)), nil
		}
		if !sleep(ctx, fetchMixed) {
			return sum, ctx.Err()
		}
	}
}

// snapshotVersion is the version of the snapshot that a piece of metadata names,
// or is. It is not verified and decides only whether to ask again.
func snapshotVersion(b []byte) int64 {
	var md struct {
		Signed struct {
			Type    string `json:"_type"`
			Version int64  `json:"version"`
			Meta    map[string]struct {
				Version int64 `json:"version"`
			} `json:"meta"`
		} `json:"signed"`
	}
	if json.Unmarshal(b, &md) != nil {
		return 0
	}
	if md.Signed.Type == "timestamp" {
		return md.Signed.Meta["snapshot.json"].Version
	}
	return md.Signed.Version
}

// roots gets every root after the one that the booth trusts.
func (f *fetcher) roots(ctx context.Context, url string) error {
	at, err := f.shelf.rootVersion()
	if err != nil {
		return fmt.Errorf("%w: %w", errWaiting, err)
	}
	for n := at + 1; n <= at+fetchRoots; n++ {
		name := fmt.Sprintf("root/%d.root.json", n)
		b, err := f.small(ctx, url, name)
		if errors.Is(err, errNotThere) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(f.dir, filepath.FromSlash(name)), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// errNotThere is a file that the server does not have.
var errNotThere = errors.New("not there")

// small gets one piece of metadata.
func (f *fetcher) small(ctx context.Context, url, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchStall)
	defer cancel()
	resp, err := f.ask(ctx, url+name, 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, metaMost+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetching %s: %w", name, err)
	case len(b) > metaMost:
		return nil, fmt.Errorf("fetching %s: more than %d bytes", name, metaMost)
	}
	return b, nil
}

// ask sends one question, for the bytes from an offset on.
func (f *fetcher) ask(ctx context.Context, url string, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", url, err)
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching: %w", err) // it names the address
	}
	if resp.StatusCode == http.StatusOK || from > 0 && resp.StatusCode == http.StatusPartialContent {
		return resp, nil
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("fetching %s: %w", url, errNotThere)
	}
	return nil, fmt.Errorf("fetching %s: the server answers %s", url, resp.Status)
}

// list gets one list file whole, going on where the last try ended.
func (f *fetcher) list(ctx context.Context, url string, l *lists.Refusal) error {
	name := l.File // as the trust made it of what is signed
	folder := filepath.Join(f.dir, "targets")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if free := f.room(folder); l.Bytes > free/fetchRoom {
		return fmt.Errorf("fetching %s: %d bytes need %d free on the disk, there are %d", name, l.Bytes, l.Bytes*fetchRoom, free)
	}
	part, err := os.OpenFile(filepath.Join(folder, name+".part"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = f.fill(ctx, url+"targets/"+name, part, l.Bytes)
	if err = errors.Join(err, part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), filepath.Join(folder, name))
}

// fill appends to a file what it lacks of size bytes.
func (f *fetcher) fill(ctx context.Context, url string, part *os.File, size int64) error {
	at, err := part.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if at > size {
		at = 0 // of something else
	}
	if at == size {
		return nil
	}
	// A stall ends the transfer, its length does not.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(fetchStall, func() { cancel(fmt.Errorf("nothing has come for %s", fetchStall)) })
	defer stall.Stop()
	resp, err := f.ask(ctx, url, at)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(at, 10)+"-") {
		at = 0 // the server gives it whole, or another part than was asked for
		if resp.StatusCode == http.StatusPartialContent {
			return errors.Join(fmt.Errorf("fetching %s: the server gives another part than was asked for", url), part.Truncate(0))
		}
	}
	if err := part.Truncate(at); err != nil {
		return err
	}
	if _, err := part.Seek(at, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(part, io.LimitReader(&lively{resp.Body, stall}, size-at))
	if err == nil && at+n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("fetching %s: %d of %d bytes have come: %w", url, at+n, size, errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// lively puts a stall off with everything that comes.
type lively struct {
	io.Reader
	stall *time.Timer
}

func (l *lively) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.stall.Reset(fetchStall)
	}
	return n, err
}
