package authority

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/agent/lists"
)

const (
	deltaSuffix = ".delta"
	// mostTargets keeps targets.json well within what booths read (256 KiB).
	mostTargets = 200 << 10
)

// addDelta adds what leads from the list in force to a new one, and cuts the
// chain to what booths follow. A delta of half the list's size is none: whoever
// needs it takes the list whole.
func (o *Office) addDelta(targets *metadata.Metadata[metadata.TargetsType], had List, fresh lists.Custom, b []byte, files map[string][]byte) error {
	var delta []byte
	var custom lists.Custom
	var err error
	if had.Key == fresh.Key { // else every token is another
		if delta, custom, err = o.delta(had, fresh, b); err != nil {
			return err
		}
	}
	if delta == nil {
		for name := range targets.Signed.Targets {
			if strings.HasPrefix(name, had.Kind+"-") && strings.HasSuffix(name, deltaSuffix) {
				delete(targets.Signed.Targets, name) // they lead to where nothing goes on
			}
		}
		return nil
	}
	if len(delta) <= lists.MaxInline {
		custom.Data = delta
	} else {
		custom.Parts = parts(delta)
	}
	name := lists.DeltaName(custom.Kind, custom.Base, custom.Generation)
	if targets.Signed.Targets[name], err = describe(delta, custom); err != nil {
		return err
	}
	files[name] = delta
	return trim(targets)
}

// delta makes the file; nil if the list is better taken whole, or if the one in
// force is not to be had: a file that was lost here must not keep a denial from
// booths.
func (o *Office) delta(had List, fresh lists.Custom, b []byte) ([]byte, lists.Custom, error) {
	old, err := os.ReadFile(o.path("targets/" + lists.TargetName(had.Kind, had.Generation)))
	if err != nil {
		return nil, fresh, nil
	}
	from, err := contract.ReadList(bytes.NewReader(old))
	if err != nil {
		return nil, fresh, nil
	}
	to, err := contract.ReadList(bytes.NewReader(b))
	if err != nil {
		return nil, fresh, err
	}
	changes, sum, err := contract.DiffLists(from.Rows(), to.Rows(), contract.MaxDeltaChanges)
	if err != nil {
		return nil, fresh, nil // more than a delta holds, or the one in force is spoilt
	}
	h := contract.DeltaHeader{Kind: had.Kind, From: from.Digest, To: to.Digest, Rows: to.ListHeader.Rows, Sum: sum}
	var out bytes.Buffer
	if _, err := contract.WriteDelta(&out, h, changes); err != nil {
		return nil, fresh, err
	}
	if out.Len() > min(len(b)/2, lists.MaxDelta) {
		return nil, fresh, nil
	}
	c := lists.Custom{Kind: had.Kind, Base: had.Generation, Generation: fresh.Generation, Rows: fresh.Rows, Digest: fresh.Digest,
		BaseDigest: had.Digest, Sum: hex.EncodeToString(sum[:]), Format: contract.DeltaFormat}
	return out.Bytes(), c, nil
}

// named is one delta that the metadata names.
type named struct {
	name   string
	custom lists.Custom
}

// deltasOf lists the deltas of the metadata, the oldest first.
func deltasOf(targets *metadata.Metadata[metadata.TargetsType]) ([]named, error) {
	var out []named
	for name, file := range targets.Signed.Targets {
		if !strings.HasSuffix(name, deltaSuffix) {
			continue
		}
		d := named{name: name}
		if file.Custom == nil {
			return nil, fmt.Errorf("targets.json: %s has no custom fields", name)
		}
		if err := json.Unmarshal(*file.Custom, &d.custom); err != nil {
			return nil, fmt.Errorf("targets.json: %s: %w", name, err)
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b named) int {
		return cmp.Or(cmp.Compare(a.custom.Generation, b.custom.Generation), strings.Compare(a.name, b.name))
	})
	return out, nil
}

// trim drops deltas that are beyond a chain, and, where the metadata grows too
// large, first what old ones carry and then old ones themselves.
func trim(targets *metadata.Metadata[metadata.TargetsType]) error {
	all, err := deltasOf(targets)
	if err != nil {
		return err
	}
	count := map[string]int{}
	for _, d := range all {
		count[d.custom.Kind]++
	}
	drop := func(i int) {
		delete(targets.Signed.Targets, all[i].name)
		count[all[i].custom.Kind]--
		all = slices.Delete(all, i, i+1)
	}
	for i := 0; i < len(all); {
		if count[all[i].custom.Kind] > lists.MaxChain {
			drop(i)
		} else {
			i++
		}
	}
	for len(all) > 0 {
		b, err := json.Marshal(targets.Signed)
		if err != nil {
			return err
		}
		if len(b) <= mostTargets {
			return nil
		}
		if i := slices.IndexFunc(all, func(d named) bool { return d.custom.Data != nil }); i >= 0 {
			all[i].custom.Data = nil
			all[i].custom.Parts = targets.Signed.Targets[all[i].name].Hashes["sha256"] // it is one part
			raw, err := json.Marshal(all[i].custom)
			if err != nil {
				return err
			}
			custom := json.RawMessage(raw)
			targets.Signed.Targets[all[i].name].Custom = &custom
			continue
		}
		// Of the kind with the longest chain, the oldest.
		longest := 0
		for i := range all {
			if count[all[i].custom.Kind] > count[all[longest].custom.Kind] {
				longest = i
			}
		}
		drop(longest)
	}
	return nil
}
