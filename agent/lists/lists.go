// Package lists takes lists from headquarters: it verifies the chain of signed
// metadata (The Update Framework), reads the list files that it names, and has
// them built and made active. Where the bytes come from does not matter; a
// source is a file system laid out as
//
//	root/N.root.json   each root after the one this booth trusts
//	timestamp.json     the heartbeat: short-lived, names the snapshot
//	snapshot.json      names the targets metadata: no mix and match
//	targets.json       names every list with length, hash and custom fields
//	targets/<kind>-<generation>.list
//	targets/<kind>-<base>-<generation>.delta   what leads from one to another
//
// whether that is a folder, a stick or what retained messages filled in. A
// source may lack what has not changed: a heartbeat is timestamp.json alone.
//
// Everything is bounded before it is read. Any refusal leaves the old lists in
// force and says why (Refusal); lists named by one targets metadata become
// active together or not at all, because cards point into members. A panic in
// a parser is a refusal. A Trust belongs to one goroutine.
//
// Source: product design, section 4; domain reference 7.5; reliability
// reference, section 3, "List distribution".
package lists

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/buffer/eligibility"
)

// Config says whom a booth trusts and what it takes.
type Config struct {
	// Dir keeps the newest metadata verified, so that nothing older is
	// believed after a restart. It is made if missing.
	Dir string
	// Root is the root metadata that the technician installed. Another one
	// than at the last Open replaces the root this booth has arrived at.
	Root []byte
	// Kinds are the lists this booth wants; others in the metadata are left.
	Kinds []string
	Store *eligibility.Store
	// MaxBytes bounds one list file as it travels; 0 means MaxListBytes.
	MaxBytes int64
	// MaxRows bounds one list; 0 means contract.MaxListRows.
	MaxRows uint64
	Pace    eligibility.Pace // of building; zero is the gentle default
	// TokenKeys names the token keys that this booth has now. A list under
	// another one is refused: nothing could be found in it. nil or none: not
	// asked, since without a key nothing is found in any list.
	TokenKeys func() []string
}

// MaxListBytes bounds one list file as it travels, where Config says nothing else.
const MaxListBytes = 1 << 30

// Limits that are not configured.
const (
	// maxShrinkPercent is the part by which a list may shrink from one generation
	// to the next without headquarters' force (domain reference 7.5). A booth that
	// was away for some generations grants it for each of them, up to
	// maxShrinkSteps, since headquarters has kept to it each time.
	maxShrinkPercent = 10
	maxShrinkSteps   = MaxChain
	// maxJump bounds how far a generation may leap. A stolen key could else
	// spend all numbers in one publication; after the root has replaced the
	// key, headquarters simply goes on above.
	maxJump = 1 << 20
)

// Trust is what a booth believes of headquarters' lists.
type Trust struct {
	cfg  Config
	root []byte // newest verified root metadata
	// verifiedAt is when a newer timestamp was verified that could not be
	// counted yet, because what it names had not arrived.
	verifiedAt time.Time
}

// State is what a booth has of one kind.
type State struct {
	Kind       string
	Generation uint64
	Digest     [sha256.Size]byte
	VerifiedAt time.Time // of the last verified heartbeat that named it, or of the list itself
}

// Result says what a source changed.
type Result struct {
	// Fresh: a timestamp newer than all before was verified (a heartbeat).
	Fresh bool
	// Timestamp is the version of the newest timestamp trusted.
	Timestamp int64
	// Applied are the generations that became active just now, by kind. Each
	// is to be announced (list.applied), then marked in the store.
	Applied []eligibility.Generation
	// Verified are the kinds whose age starts anew.
	Verified []string
	// States are all kinds of the booth that have a list, by kind.
	States []State
}

// Open reads what was trusted before. It fails if Root is no valid root
// metadata, or the folder cannot be used.
func Open(cfg Config) (*Trust, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = MaxListBytes
	}
	if cfg.MaxRows == 0 {
		cfg.MaxRows = contract.MaxListRows
	}
	if cfg.Store == nil || len(cfg.Kinds) == 0 {
		return nil, errors.New("opening list trust: no store or no kinds")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening list trust: %w", err)
	}
	t := &Trust{cfg: cfg}
	if err := t.anchor(); err != nil {
		return nil, fmt.Errorf("opening list trust: %w", err)
	}
	return t, nil
}

// Take verifies a source as of ref, the trusted wall clock, and makes its lists
// active. The error holds a *Refusal for each thing refused, or is ctx's own; the
// Result is good in either case, since a heartbeat may count for some lists
// while another is refused.
func (t *Trust) Take(ctx context.Context, src fs.FS, ref time.Time) (res Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Refusal{Why: Internal, Err: fmt.Errorf("panic: %v", p)}
		}
		res.States = t.States()
	}()
	if ref.IsZero() {
		return res, &Refusal{Why: Internal, Err: errors.New("no reference time")}
	}
	c := &chain{dir: t.cfg.Dir, src: src, ref: ref, root: t.root}
	targets, deltas, err := c.verify()
	t.root = c.root
	res.Fresh, res.Timestamp = c.fresh, c.version
	if c.fresh {
		t.verifiedAt = ref
	}
	if err != nil {
		return res, err
	}
	return res, t.apply(ctx, src, ref, targets, deltas, &res)
}

// RootVersion is that of the newest root this booth has verified; 0 if it
// cannot be read.
func (t *Trust) RootVersion() int64 {
	var root metadata.Metadata[metadata.RootType]
	if _, err := root.FromBytes(t.root); err != nil {
		return 0
	}
	return root.Signed.Version
}

// States gives what the booth has, by kind.
func (t *Trust) States() []State {
	var out []State
	for _, g := range t.active() {
		if slices.Contains(t.cfg.Kinds, g.Kind) {
			out = append(out, State{g.Kind, g.Generation, g.Digest, g.VerifiedAt})
		}
	}
	return out
}

func (t *Trust) active() []eligibility.Generation {
	v := t.cfg.Store.View()
	defer v.Release()
	return v.Generations()
}

// apply compares what is signed with what is active, builds what is new and
// counts the heartbeat for what is current.
func (t *Trust) apply(ctx context.Context, src fs.FS, ref time.Time, targets []Target, deltas []Delta, res *Result) error {
	if err := oneKey(targets); err != nil {
		return err
	}
	todo, current, refused := t.plan(targets)
	if refused == nil && len(todo) > 0 {
		applied, err := t.build(ctx, src, ref, todo, deltas)
		if err != nil {
			refused = err
		}
		res.Applied = applied
	}
	if !t.verifiedAt.IsZero() && len(current) > 0 {
		if err := t.cfg.Store.Verified(ctx, t.verifiedAt, current...); err != nil {
			return errors.Join(refused, &Refusal{Why: Store, Err: err})
		}
		res.Verified = current
	}
	if refused == nil || !unavailable(refused) && ctx.Err() == nil {
		t.verifiedAt = time.Time{}
	}
	for _, g := range res.Applied {
		res.Verified = append(res.Verified, g.Kind)
	}
	slices.Sort(res.Verified)
	return refused
}

// oneKey refuses a publication whose lists are under different token keys: rows
// of one list name tokens of another.
func oneKey(targets []Target) error {
	for _, w := range targets {
		if w.Key != targets[0].Key {
			return &Refusal{Why: Mixed, Kind: w.Kind, Generation: w.Generation,
				Err: fmt.Errorf("its tokens are under key %q, those of %s under %q", w.Key, targets[0].Kind, targets[0].Key)}
		}
	}
	return nil
}

// plan says which targets are new, which kinds are current, and whether
// anything in them is against the rules. A refusal stops all that is new.
func (t *Trust) plan(targets []Target) (todo []Target, current []string, refused error) {
	active := t.active()
	for _, kind := range t.cfg.Kinds {
		i := slices.IndexFunc(targets, func(w Target) bool { return w.Kind == kind })
		j := slices.IndexFunc(active, func(g eligibility.Generation) bool { return g.Kind == kind })
		switch {
		case i < 0 && j < 0: // headquarters has no such list: reason 203 says so
			continue
		case i < 0:
			refused = errors.Join(refused, &Refusal{Why: Missing, Kind: kind, Err: errors.New("the metadata names no list of a kind in force")})
			continue
		}
		var have eligibility.Generation
		if j >= 0 {
			have = active[j]
		}
		is, err := t.judge(targets[i], have)
		switch {
		case err != nil:
			refused = errors.Join(refused, err)
		case is:
			current = append(current, kind)
		default:
			todo = append(todo, targets[i])
		}
	}
	return todo, current, refused
}

// opens tells whether this booth can find anything in a list under a key.
func (t *Trust) opens(key string) bool {
	if key == "" || t.cfg.TokenKeys == nil {
		return true
	}
	has := t.cfg.TokenKeys()
	return len(has) == 0 || slices.Contains(has, key)
}

// judge says whether a target is the active generation already, or may follow
// it. The zero generation stands for none.
func (t *Trust) judge(w Target, have eligibility.Generation) (current bool, err error) {
	refuse := func(why Why, format string, args ...any) (bool, error) {
		return false, &Refusal{Why: why, Kind: w.Kind, Generation: w.Generation, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case w.Generation == have.Generation && w.Digest == have.Digest:
		return true, nil
	case w.Generation == have.Generation:
		return refuse(Mixed, "the active generation has another digest")
	case w.Generation < have.Generation:
		return refuse(Rollback, "generation %d is active", have.Generation)
	case have.Generation > 0 && w.Generation-have.Generation > maxJump:
		return refuse(Rollback, "generation leaps from %d, at most %d at once", have.Generation, maxJump)
	case !t.opens(w.Key):
		return refuse(NoKey, "its tokens are under key %s, which this booth does not have", w.Key)
	case w.Rows > t.cfg.MaxRows || w.length > t.cfg.MaxBytes:
		return refuse(Oversize, "%d rows in %d bytes, this booth takes %d in %d", w.Rows, w.length, t.cfg.MaxRows, t.cfg.MaxBytes)
	case w.Force:
		return false, nil
	case w.Rows == 0:
		return refuse(Shrunk, "an empty list needs headquarters' force")
	case have.Generation < w.forced: // headquarters' force was for those who have what is before it
		return false, nil
	case w.Rows < leastRows(have.Rows, w.Generation-have.Generation):
		return refuse(Shrunk, "%d rows after %d; over %d %% less in one generation needs headquarters' force", w.Rows, have.Rows, maxShrinkPercent)
	}
	return false, nil
}

// leastRows is how few rows a list may have some generations later.
func leastRows(rows, generations uint64) uint64 {
	for range min(generations, maxShrinkSteps) {
		rows -= rows * maxShrinkPercent / 100
	}
	return rows
}
