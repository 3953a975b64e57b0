package authority

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
)

// retainedDeltas is how many deltas of a kind brokers keep for booths that were
// away (mqtt contract, section 1).
const retainedDeltas = 8

// Part is one part of a published list or delta, as it travels over MQTT.
type Part struct {
	Kind   string
	Digest contract.PartDigest
	// Retained: brokers are to keep it.
	Retained bool

	file   string
	offset int64
}

// Bytes reads the part, and refuses to give what is not of its digest.
func (p Part) Bytes() ([]byte, error) {
	f, err := os.Open(p.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, contract.PartSize)
	n, err := f.ReadAt(b, p.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", p.file, err)
	}
	if sha256.Sum256(b[:n]) != p.Digest {
		return nil, fmt.Errorf("%s is not what was signed", p.file)
	}
	return b[:n], nil
}

// Parts gives every part that the publication in dir names. Files that are too
// large for MQTT have none, deltas that the metadata itself carries need none.
func Parts(dir string) ([]Part, error) {
	b, err := os.ReadFile(filepath.Join(dir, "repository", "targets.json"))
	if err != nil {
		return nil, err
	}
	var targets metadata.Metadata[metadata.TargetsType]
	if _, err := targets.FromBytes(b); err != nil {
		return nil, fmt.Errorf("reading targets.json: %w", err)
	}
	var all []named
	for name, file := range targets.Signed.Targets {
		n := named{name: name}
		if file.Custom == nil {
			return nil, fmt.Errorf("targets.json: %s has no custom fields", name)
		}
		if err := json.Unmarshal(*file.Custom, &n.custom); err != nil {
			return nil, fmt.Errorf("targets.json: %s: %w", name, err)
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b named) int { // the newest first
		return bytes.Compare(fmt.Appendf(nil, "%020d%s", b.custom.Generation, b.name), fmt.Appendf(nil, "%020d%s", a.custom.Generation, a.name))
	})
	deltas := map[string]int{}
	var out []Part
	for _, n := range all {
		retained := false
		if strings.HasSuffix(n.name, deltaSuffix) {
			deltas[n.custom.Kind]++
			retained = deltas[n.custom.Kind] <= retainedDeltas
		}
		for i, d := range slices.Collect(slices.Chunk(n.custom.Parts, sha256.Size)) {
			if len(d) != sha256.Size || i >= contract.MaxParts {
				return nil, fmt.Errorf("targets.json: %s: its parts are not named", n.name)
			}
			out = append(out, Part{Kind: n.custom.Kind, Digest: contract.PartDigest(d), Retained: retained,
				file: filepath.Join(dir, "repository", "targets", filepath.Base(n.name)), offset: int64(i) * contract.PartSize})
		}
	}
	return out, nil
}
