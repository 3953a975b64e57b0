package lists

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/buffer/eligibility"
)

// Limits of deltas.
const (
	// MaxChain is how many deltas may lead from the active generation to the one
	// that is signed.
	MaxChain = 48
	// MaxDelta bounds one delta's file, in bytes: it is judged whole in memory.
	MaxDelta = 32 << 20
	// MaxInline bounds a delta that is carried by the metadata itself, so that an
	// urgent denial needs nothing else to arrive.
	MaxInline = 8 << 10
)

// Delta is what leads from one generation to a later one, as signed.
type Delta struct {
	Kind             string
	Base, Generation uint64
	From, To         [sha256.Size]byte // content digests
	Rows             uint64            // of the result
	Sum              contract.ListSum  // of the result
	length           int64
	sum              []byte // SHA-256 of the file
	data             []byte // the file itself, if the metadata carries it
	parts            []contract.PartDigest
}

// DeltaName is the name of a delta in the targets metadata, and of its file in
// the folder targets.
func DeltaName(kind string, base, generation uint64) string {
	return fmt.Sprintf("%s-%d-%d.delta", kind, base, generation)
}

func (d Delta) name() string { return DeltaName(d.Kind, d.Base, d.Generation) }

// parseDelta reads what the metadata says of one delta.
func parseDelta(name string, file *metadata.TargetFiles) (Delta, error) {
	var c Custom
	if err := json.Unmarshal(*file.Custom, &c, json.RejectUnknownMembers(true)); err != nil {
		return Delta{}, fmt.Errorf("custom fields: %w", err)
	}
	d := Delta{Kind: c.Kind, Base: c.Base, Generation: c.Generation, Rows: c.Rows, length: file.Length, sum: file.Hashes["sha256"], data: c.Data}
	for _, f := range []struct {
		text string
		into *[sha256.Size]byte
	}{{c.BaseDigest, &d.From}, {c.Digest, &d.To}, {c.Sum, (*[sha256.Size]byte)(&d.Sum)}} {
		b, err := hex.DecodeString(f.text)
		if err != nil || len(b) != sha256.Size {
			return Delta{}, errors.New("a digest is not 64 hex digits")
		}
		*f.into = [sha256.Size]byte(b)
	}
	var err error
	if d.parts, err = parseParts(c.Parts, d.length); err != nil {
		return Delta{}, err
	}
	switch {
	case c.Format != contract.DeltaFormat:
		return Delta{}, fmt.Errorf("format %d, this program knows %d", c.Format, contract.DeltaFormat)
	case d.Base == 0 || d.Generation <= d.Base || d.Generation > eligibility.MaxGeneration:
		return Delta{}, fmt.Errorf("generations %d to %d are out of range", d.Base, d.Generation)
	case len(d.sum) != sha256.Size || d.length <= 0 || d.length > MaxDelta:
		return Delta{}, errors.New("no length, no sha256, or too long")
	case c.Data != nil && (int64(len(c.Data)) != d.length || len(c.Data) > MaxInline):
		return Delta{}, fmt.Errorf("it carries %d bytes of %d, at most %d", len(c.Data), d.length, MaxInline)
	case name != d.name():
		return Delta{}, errors.New("it is named otherwise")
	}
	return d, nil
}

// roadTo finds the deltas that lead from what is active to what is signed, in
// order; nil if they do not reach, or are longer than the list itself.
func roadTo(w Target, have eligibility.Generation, deltas []Delta) []Delta {
	var out []Delta
	if have.Key != w.Key {
		return nil // every token is another
	}
	at, digest, length := have.Generation, have.Digest, int64(0)
	for at > 0 && at < w.Generation && len(out) < MaxChain {
		// Of several that begin here, the one that leads furthest.
		var best *Delta
		for i, d := range deltas {
			if d.Kind == w.Kind && d.Base == at && d.From == digest && d.Generation <= w.Generation && (best == nil || d.Generation > best.Generation) {
				best = &deltas[i]
			}
		}
		if best == nil {
			return nil
		}
		out = append(out, *best)
		at, digest, length = best.Generation, best.To, length+best.length
	}
	if at != w.Generation || digest != w.Digest || length >= w.length {
		return nil
	}
	return out
}

// lack tells which deltas of a chain are not in a source.
func lack(src fs.FS, road []Delta) (missing error) {
	for _, d := range road {
		if d.data != nil {
			continue
		}
		if _, err := fs.Stat(src, "targets/"+d.name()); err != nil {
			missing = errors.Join(missing, &Refusal{Why: Unavailable, Kind: d.Kind, Generation: d.Generation, File: d.name(), Bytes: d.length, Parts: d.parts, Err: err})
		}
	}
	return missing
}

// errRoad says that a list cannot be had by its deltas, and may be had whole.
var errRoad = errors.New("deltas do not lead there")

// follow builds a generation from what is active and a chain of deltas.
func (t *Trust) follow(ctx context.Context, src fs.FS, w Target, road []Delta, spec eligibility.DeltaSpec) (*eligibility.Built, error) {
	var all []contract.ListChange
	for _, d := range road {
		changes, err := d.changes(src)
		if err != nil {
			return nil, err
		}
		if all, err = compose(all, changes); err != nil {
			return nil, fmt.Errorf("%w: %w", errRoad, err)
		}
	}
	last := road[len(road)-1]
	spec.Kind, spec.Base, spec.Generation, spec.Rows, spec.Digest, spec.Sum = w.Kind, road[0].Base, w.Generation, w.Rows, w.Digest, eligibility.Sum(last.Sum)
	spec.Key = w.Key
	if last.Rows != w.Rows {
		return nil, fmt.Errorf("%w: %d rows after the last of them, %d are signed", errRoad, last.Rows, w.Rows)
	}
	b, err := t.cfg.Store.Apply(ctx, spec, storeChanges(all))
	switch {
	case ctx.Err() != nil:
		return nil, errors.Join(ctx.Err(), discard(b))
	case errors.Is(err, eligibility.ErrWhole) || errors.Is(err, eligibility.ErrMismatch) || errors.Is(err, eligibility.ErrCorrupt):
		return nil, fmt.Errorf("%w: %w", errRoad, err)
	case err != nil:
		return nil, &Refusal{Why: Store, Kind: w.Kind, Generation: w.Generation, Err: err}
	}
	return b, nil
}

// changes reads one delta. Its bytes are those that were signed before anything
// looks into them.
func (d Delta) changes(src fs.FS) ([]contract.ListChange, error) {
	no := func(why Why, err error) ([]contract.ListChange, error) {
		return nil, &Refusal{Why: why, Kind: d.Kind, Generation: d.Generation, File: d.name(), Bytes: d.length, Err: err}
	}
	b := d.data
	if b == nil {
		f, err := src.Open("targets/" + d.name())
		if err != nil {
			return no(Unavailable, err)
		}
		defer f.Close()
		if b, err = io.ReadAll(io.LimitReader(f, d.length+1)); err != nil {
			return no(Unavailable, err)
		}
	}
	if sum := sha256.Sum256(b); int64(len(b)) != d.length || !bytes.Equal(sum[:], d.sum) {
		return no(Tampered, errors.New("the file is not the one that was signed"))
	}
	r, err := contract.ReadDelta(bytes.NewReader(b))
	if err != nil {
		return no(Tampered, err)
	}
	if r.Kind != d.Kind || r.From != d.From || r.To != d.To || r.DeltaHeader.Rows != d.Rows || r.Sum != d.Sum {
		return no(Relabelled, errors.New("the file leads elsewhere than the metadata says"))
	}
	var out []contract.ListChange
	for c, err := range r.Changes() {
		if err == nil && c.Op != contract.Remove {
			err = contract.CheckListRow(d.Kind, c.Value)
		}
		if err != nil {
			return no(Tampered, err)
		}
		c.Value = bytes.Clone(c.Value)
		out = append(out, c)
	}
	return out, nil
}

// compose makes one list of changes of two that follow each other.
func compose(first, then []contract.ListChange) ([]contract.ListChange, error) {
	if len(first) == 0 {
		return then, nil
	}
	out := make([]contract.ListChange, 0, len(first)+len(then))
	for len(first) > 0 && len(then) > 0 {
		switch c := bytes.Compare(first[0].Token[:], then[0].Token[:]); {
		case c < 0:
			out, first = append(out, first[0]), first[1:]
			continue
		case c > 0:
			out, then = append(out, then[0]), then[1:]
			continue
		}
		was, is := first[0].Op, then[0]
		switch {
		case was == contract.Add && is.Op == contract.Remove: // never there
		case was == contract.Add && is.Op == contract.Replace:
			is.Op = contract.Add
			out = append(out, is)
		case was == contract.Replace && is.Op != contract.Add:
			out = append(out, is)
		case was == contract.Remove && is.Op == contract.Add:
			is.Op = contract.Replace
			out = append(out, is)
		default:
			return nil, fmt.Errorf("one delta does %q what the one before did %q to", byte(is.Op), byte(was))
		}
		first, then = first[1:], then[1:]
	}
	out = append(append(out, first...), then...)
	if len(out) > contract.MaxDeltaChanges {
		return nil, fmt.Errorf("%d changes, at most %d", len(out), contract.MaxDeltaChanges)
	}
	return slices.Clip(out), nil
}

// storeChanges gives changes as the store takes them.
func storeChanges(all []contract.ListChange) iter.Seq2[eligibility.Change, error] {
	return func(yield func(eligibility.Change, error) bool) {
		for _, c := range all {
			if !yield(eligibility.Change{Op: eligibility.Op(c.Op), Token: c.Token, Value: c.Value}, nil) {
				return
			}
		}
	}
}
