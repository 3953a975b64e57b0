package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/agent/uplink"
	"boothd/buffer/room"
)

const (
	// partFilter is where parts of list files come down (mqtt contract, section 6).
	partFilter = "list/v1/+/part/+"
	// partsFirst is when parts of which none has come are asked for again; each
	// further time it takes twice as long, up to partsMost.
	partsFirst = 3 * time.Second
	partsMost  = time.Minute
	// partsPatience is when they are had another way, if there is one.
	partsPatience = 15 * time.Second
	// partsAtOnce is up to how many bytes a booth does not leave to chance when
	// it asks: deltas are retained, and every booth takes the same ones.
	partsAtOnce = 1 << 20
)

// parts gathers list files that come over MQTT in parts. A part is known by its
// digest, which is signed: whatever else comes is dropped. Parts outlive a
// restart, so that a transfer goes on where it ended. Arrival's goroutine owns
// it.
type parts struct {
	log   *slog.Logger
	booth string
	dir   string // of the source that files are put together for
	calls chan uplink.Call
	room  func(dir string) int64

	files  []*file // wanted, in order
	topics []string
	tries  int       // since a part came
	since  time.Time // of the last part that came, or of the wish
}

// file is one list file, or delta, that is wanted.
type file struct {
	lists.Refusal
	missing []contract.PartDigest
}

// whole tells a list from a delta: no broker keeps the parts of lists.
func (f *file) whole() bool { return strings.HasSuffix(f.File, ".list") }

func newParts(log *slog.Logger, booth, dir string) *parts {
	return &parts{log: log, booth: booth, dir: dir, calls: make(chan uplink.Call, contract.MaxWant+1), room: free}
}

func (p *parts) place(d contract.PartDigest) string {
	return filepath.Join(p.dir, "parts", d.String())
}

// errNoParts says that not all that is lacking comes in parts. Lists become
// active together, so that some of them are of no use.
var errNoParts = errors.New("a list does not come in parts")

// want sets what is wanted; nothing is, after an error. It tells whether that is
// other than before.
func (p *parts) want(ctx context.Context, lacking []*lists.Refusal) (other bool, err error) {
	if len(lacking) > 0 && slices.EqualFunc(lacking, p.files, func(r *lists.Refusal, f *file) bool { return r.File == f.File }) {
		return false, nil
	}
	p.files, p.tries, p.since = nil, 0, time.Now()
	needed, keep := int64(0), map[string]bool{}
	for _, r := range lacking {
		if len(r.Parts) == 0 {
			p.files = nil
			return true, errNoParts
		}
		needed += r.Bytes
		f := &file{Refusal: *r}
		for _, d := range r.Parts {
			keep[d.String()] = true
			b, err := os.ReadFile(p.place(d))
			if err != nil || sha256.Sum256(b) != d {
				f.missing = append(f.missing, d)
			}
		}
		p.files = append(p.files, f)
	}
	err = p.sweep(ctx, keep)
	if free := p.room(p.dir); len(p.files) > 0 && needed > free/fetchRoom {
		p.files = nil
		return true, errors.Join(err, fmt.Errorf("lists of %d bytes need %d free on the disk, there are %d", needed, needed*fetchRoom, free))
	}
	return true, err
}

// sweep removes parts that are not in keep, and files put together of former ones.
func (p *parts) sweep(ctx context.Context, keep map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(p.dir, "parts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old := []string{filepath.Join(p.dir, "targets")}
	for _, e := range entries {
		if !keep[e.Name()] {
			old = append(old, filepath.Join(p.dir, "parts", e.Name()))
		}
	}
	return room.Remove(ctx, old...)
}

// bytes is how much is still to come.
func (p *parts) bytes() (n int64) {
	for _, f := range p.files {
		n += min(int64(len(f.missing))*contract.PartSize, f.Bytes)
	}
	return n
}

// take keeps one part if it is wanted; it tells whether everything has come.
func (p *parts) take(m uplink.Message) (complete bool, err error) {
	d := contract.PartDigest(sha256.Sum256(m.Payload))
	kind, named, err := contract.PartSource(m.Topic)
	if err != nil || named != d || len(m.Payload) > contract.PartSize {
		return false, fmt.Errorf("part dropped: %w", errors.Join(err, errors.New("it is not what its topic says")))
	}
	i := slices.IndexFunc(p.files, func(f *file) bool { return f.Kind == kind && slices.Contains(f.missing, d) })
	if i < 0 {
		return false, nil // for others, or twice
	}
	if err := os.MkdirAll(filepath.Join(p.dir, "parts"), 0o700); err != nil {
		return false, err
	}
	if err := os.WriteFile(p.place(d), m.Payload, 0o600); err != nil {
		return false, err
	}
	f := p.files[i]
	f.missing = slices.DeleteFunc(f.missing, func(o contract.PartDigest) bool { return o == d })
	p.tries, p.since = 0, time.Now()
	return p.bytes() == 0, nil
}

// assemble puts the files together of their parts.
func (p *parts) assemble() error {
	folder := filepath.Join(p.dir, "targets")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, f := range p.files {
		var whole []byte // at most 8 MiB
		for _, d := range f.Parts {
			b, err := os.ReadFile(p.place(d))
			if err != nil {
				return err
			}
			whole = append(whole, b...)
		}
		if err := os.WriteFile(filepath.Join(folder, f.File), whole, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// drop gives up files of generations that came another way meanwhile.
func (p *parts) drop(in func(kind string, generation uint64) bool) {
	p.files = slices.DeleteFunc(p.files, func(f *file) bool { return in(f.Kind, f.Generation) })
}

// ask asks for the next parts and tells when to ask again; 0 is not at all. The
// broker has parts of deltas retained. If they do not come, and for whole lists,
// headquarters is asked to send them.
func (p *parts) ask() (again time.Duration) {
	var topics []string
	var wants []contract.Want
	for _, f := range p.files {
		next := f.missing[:min(len(f.missing), contract.MaxWant-len(topics))]
		for _, d := range next {
			topics = append(topics, contract.PartTopic(f.Kind, d))
		}
		if len(next) > 0 && (p.tries > 0 || f.whole()) {
			wants = append(wants, contract.Want{List: f.Kind, Parts: next, At: time.Now().UTC()})
		}
	}
	c := uplink.Call{Subscribe: topics}
	for _, t := range p.topics {
		if !slices.Contains(topics, t) {
			c.Unsubscribe = append(c.Unsubscribe, t)
		}
	}
	p.topics = topics
	if len(c.Subscribe)+len(c.Unsubscribe) > 0 {
		p.call(c)
	}
	for _, w := range wants {
		body, err := contract.EncodeWant(w)
		if err != nil {
			p.log.Error("parts of a list cannot be asked for", "err", err)
			continue
		}
		p.call(uplink.Call{Topic: contract.WantListTopic(p.booth), Body: body})
	}
	if len(topics) == 0 {
		return 0
	}
	again = min(partsFirst<<min(p.tries, 10), partsMost)
	p.tries++
	return again
}

// call hands a call to the link; without a link it is lost, and made again later.
func (p *parts) call(c uplink.Call) {
	select {
	case p.calls <- c:
	default:
	}
}

// due tells whether nothing has come for so long that another way is better.
func (p *parts) due() bool { return len(p.files) > 0 && time.Since(p.since) >= partsPatience }

// window tells whether every part that was asked for last has come.
func (p *parts) window() bool {
	for _, f := range p.files {
		for _, d := range f.missing {
			if slices.Contains(p.topics, contract.PartTopic(f.Kind, d)) {
				return false
			}
		}
	}
	return true
}
