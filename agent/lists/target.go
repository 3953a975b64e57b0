package lists

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/buffer/eligibility"
)

// Custom is what the targets metadata says of a list, or of a delta, beside
// length and hash.
type Custom struct {
	Kind       string `json:"kind"`
	Generation uint64 `json:"generation"`
	Rows       uint64 `json:"rows"`
	Digest     string `json:"digest"`           // content digest, 64 hex digits
	Format     int    `json:"format"`           // contract.ListFormat
	Force      bool   `json:"force,omitempty"`  // may shrink by more than 10 %, or be empty
	Forced     uint64 `json:"forced,omitempty"` // last generation that was signed with force, this one or before
	Key        string `json:"key,omitempty"`    // id of the key under which identifiers became tokens
	Parts      []byte `json:"parts,omitempty"`  // SHA-256 of each contract.PartSize of the file, base64, if it travels over MQTT

	// Of a delta alone. Rows and Digest are those of the list that results.
	Base       uint64 `json:"base,omitempty"`        // generation that it changes
	BaseDigest string `json:"base_digest,omitempty"` // its content digest, 64 hex digits
	Sum        string `json:"sum,omitempty"`         // contract.ListSum of the result, 64 hex digits
	Data       []byte `json:"data,omitempty"`        // the file itself, base64, if it is small
}

// Target is one list as signed.
type Target struct {
	Kind       string
	Generation uint64
	Rows       uint64
	Digest     [sha256.Size]byte
	Force      bool
	forced     uint64 // last generation signed with force; 0: none
	Key        string // id of the token key; "" if headquarters does not say
	length     int64
	sum        []byte // SHA-256 of the file
	parts      []contract.PartDigest
}

// TargetName is the name of a list in the targets metadata, and of its file in
// the folder targets.
func TargetName(kind string, generation uint64) string {
	return fmt.Sprintf("%s-%d.list", kind, generation)
}

// parseTargets reads every list that the metadata names. Kinds that this
// program does not know are left out; a kind named twice is refused.
func parseTargets(md *metadata.Metadata[metadata.TargetsType]) (out []Target, deltas []Delta, err error) {
	if md.Signed.Delegations != nil {
		return nil, nil, &Refusal{Why: Malformed, Err: errors.New("targets.json: delegations are not used here")}
	}
	seen := map[string]bool{}
	for name, file := range md.Signed.Targets {
		if strings.HasSuffix(name, ".delta") && file != nil && file.Custom != nil {
			d, err := parseDelta(name, file)
			if err != nil {
				return nil, nil, &Refusal{Why: Malformed, Err: fmt.Errorf("targets.json: %q: %w", name, err)}
			}
			deltas = append(deltas, d)
			continue
		}
		w, err := parseTarget(name, file)
		if err != nil {
			return nil, nil, &Refusal{Why: Malformed, Err: fmt.Errorf("targets.json: %q: %w", name, err)}
		}
		if seen[w.Kind] {
			return nil, nil, &Refusal{Why: Malformed, Kind: w.Kind, Generation: w.Generation, Err: errors.New("named twice")}
		}
		seen[w.Kind] = true
		if TargetName(w.Kind, w.Generation) != name {
			return nil, nil, &Refusal{Why: Relabelled, Kind: w.Kind, Generation: w.Generation, Err: fmt.Errorf("it is named %q", name)}
		}
		out = append(out, w)
	}
	return out, deltas, nil
}

func parseTarget(name string, file *metadata.TargetFiles) (Target, error) {
	if file == nil || file.Custom == nil {
		return Target{}, errors.New("no custom fields")
	}
	var c Custom
	if err := json.Unmarshal(*file.Custom, &c, json.RejectUnknownMembers(true)); err != nil {
		return Target{}, fmt.Errorf("custom fields: %w", err)
	}
	w := Target{Kind: c.Kind, Generation: c.Generation, Rows: c.Rows, Force: c.Force, forced: c.Forced, Key: c.Key, length: file.Length, sum: file.Hashes["sha256"]}
	digest, err := hex.DecodeString(c.Digest)
	switch {
	case err != nil || len(digest) != sha256.Size:
		return Target{}, errors.New("digest is not 64 hex digits")
	case c.Format != contract.ListFormat:
		return Target{}, fmt.Errorf("format %d, this program knows %d", c.Format, contract.ListFormat)
	case c.Generation == 0 || c.Generation > eligibility.MaxGeneration || c.Forced > c.Generation:
		return Target{}, fmt.Errorf("generation %d is out of range", c.Generation)
	case len(w.sum) != sha256.Size || w.length <= 0:
		return Target{}, errors.New("no length or no sha256")
	case len(name) > 64 || len(c.Key) > 16:
		return Target{}, errors.New("name too long")
	case c.Base != 0 || c.BaseDigest != "" || c.Sum != "" || c.Data != nil:
		return Target{}, errors.New("a list has fields of a delta")
	}
	w.Digest = [sha256.Size]byte(digest)
	w.parts, err = parseParts(c.Parts, w.length)
	return w, err
}

// parseParts takes the names of a file's parts apart; none is right for a file
// that does not travel so.
func parseParts(names []byte, length int64) (out []contract.PartDigest, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	want := (length + contract.PartSize - 1) / contract.PartSize
	if want > contract.MaxParts || int64(len(names)) != want*sha256.Size {
		return nil, fmt.Errorf("%d bytes of part digests for a file of %d", len(names), length)
	}
	for d := range slices.Chunk(names, sha256.Size) {
		out = append(out, contract.PartDigest(d))
	}
	return out, nil
}

// build makes every target of todo active, or none.
func (t *Trust) build(ctx context.Context, src fs.FS, ref time.Time, todo []Target, deltas []Delta) (applied []eligibility.Generation, err error) {
	var built []*eligibility.Built
	defer func() {
		if err != nil {
			for _, b := range built {
				err = errors.Join(err, b.Remove())
			}
		}
	}()
	roads, err := t.roads(src, todo, deltas)
	if err != nil {
		return nil, err
	}
	for i, w := range todo {
		b, err := t.buildOne(ctx, src, ref, w, roads[i])
		if err != nil {
			return nil, err
		}
		built = append(built, b)
	}
	if err := t.cfg.Store.Activate(ctx, built...); err != nil {
		return nil, &Refusal{Why: Store, Err: err}
	}
	for _, g := range t.active() {
		for _, w := range todo {
			if g.Kind == w.Kind {
				applied = append(applied, g)
			}
		}
	}
	return applied, nil
}

// roads says by which deltas each list is had; none: whole. What is not there is
// told of every list at once: building takes minutes, and whoever fetches wants
// to know all of it before. A source that has a list whole needs no delta.
func (t *Trust) roads(src fs.FS, todo []Target, deltas []Delta) (roads [][]Delta, missing error) {
	active := t.active()
	for _, w := range todo {
		var have eligibility.Generation
		if i := slices.IndexFunc(active, func(g eligibility.Generation) bool { return g.Kind == w.Kind }); i >= 0 {
			have = active[i]
		}
		road := roadTo(w, have, deltas)
		lacking := lack(src, road)
		if road == nil || lacking != nil {
			if whole := w.absent(src); whole == nil {
				road, lacking = nil, nil
			} else if road == nil {
				lacking = whole
			}
		}
		roads, missing = append(roads, road), errors.Join(missing, lacking)
	}
	return roads, missing
}

// absent says that a source does not have the list whole.
func (w Target) absent(src fs.FS) error {
	name := TargetName(w.Kind, w.Generation)
	if _, err := fs.Stat(src, "targets/"+name); err != nil {
		return &Refusal{Why: Unavailable, Kind: w.Kind, Generation: w.Generation, File: name, Bytes: w.length, Parts: w.parts, Err: err}
	}
	return nil
}

// buildOne builds a list by its deltas, or whole: also where the deltas do not
// fit what this booth has.
func (t *Trust) buildOne(ctx context.Context, src fs.FS, ref time.Time, w Target, road []Delta) (*eligibility.Built, error) {
	if road != nil {
		b, err := t.follow(ctx, src, w, road, eligibility.DeltaSpec{VerifiedAt: ref, Pace: t.cfg.Pace})
		if !errors.Is(err, errRoad) {
			return b, err
		}
	}
	return t.buildWhole(ctx, src, ref, w)
}

func (t *Trust) buildWhole(ctx context.Context, src fs.FS, ref time.Time, w Target) (*eligibility.Built, error) {
	no := func(why Why, err error) error {
		return &Refusal{Why: why, Kind: w.Kind, Generation: w.Generation, File: TargetName(w.Kind, w.Generation), Bytes: w.length, Err: err}
	}
	f, err := src.Open("targets/" + TargetName(w.Kind, w.Generation))
	if err != nil {
		return nil, no(Unavailable, err)
	}
	defer f.Close()
	in := &measured{src: io.LimitReader(f, w.length+1), sum: sha256.New()}
	list, err := contract.ReadList(in)
	if err != nil {
		return nil, no(in.blame(w, Tampered), err)
	}
	if list.Kind != w.Kind || list.ListHeader.Rows != w.Rows || list.Digest != w.Digest {
		return nil, no(Relabelled, fmt.Errorf("the file is a list of %d %s with another digest or number", list.ListHeader.Rows, list.Kind))
	}
	spec := eligibility.Spec{Kind: w.Kind, Generation: w.Generation, Rows: w.Rows, Digest: w.Digest, Key: w.Key, VerifiedAt: ref, Pace: t.cfg.Pace}
	b, err := t.cfg.Store.Build(ctx, spec, checked(w.Kind, list))
	switch {
	case ctx.Err() != nil:
		return nil, errors.Join(ctx.Err(), discard(b))
	case isList(err):
		return nil, no(in.blame(w, Tampered), err)
	case err != nil:
		return nil, no(in.blame(w, Store), err)
	}
	// The rows were read from bytes not yet judged; nothing was used of them.
	if _, err := io.Copy(io.Discard, in); err != nil || in.n != w.length || string(in.sum.Sum(nil)) != string(w.sum) {
		return nil, errors.Join(no(in.blame(w, Tampered), errors.New("the file is not the one that was signed")), discard(b))
	}
	return b, nil
}

func discard(b *eligibility.Built) error {
	if b == nil {
		return nil
	}
	return b.Remove()
}

func isList(err error) bool {
	return errors.Is(err, contract.ErrListFile) || errors.Is(err, contract.ErrListRow) || errors.Is(err, eligibility.ErrMismatch)
}

// checked gives the rows of a list as the store takes them, each judged by its
// kind: a row that the lane could not read must not become active.
func checked(kind string, list *contract.ListReader) iter.Seq2[eligibility.Row, error] {
	return func(yield func(eligibility.Row, error) bool) {
		for r, err := range list.Rows() {
			if err == nil {
				err = contract.CheckListRow(kind, r.Value)
			}
			if !yield(eligibility.Row{Token: r.Token, Value: r.Value}, err) || err != nil {
				return
			}
		}
	}
}

// measured counts and sums what is read, and remembers a source that failed.
type measured struct {
	src io.Reader
	sum hash.Hash
	n   int64
	err error
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.src.Read(p)
	m.n += int64(n)
	m.sum.Write(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// blame says why a list failed: the source, its length, or else.
func (m *measured) blame(w Target, otherwise Why) Why {
	switch {
	case m.err != nil:
		return Unavailable
	case m.n > w.length:
		return Oversize
	}
	return otherwise
}
