package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/buffer/eligibility"
	"boothd/configs"
)

// listStatusCmd tells what lists are in force, from the store's files: also
// while boothd is stopped, and what boothctl status has no room for.
type listStatusCmd struct{}

// listReport is one kind as JSON.
type listReport struct {
	Kind       string           `json:"kind"`
	Generation uint64           `json:"generation"` // 0: none
	Base       uint64           `json:"base"`       // what it is a delta on; 0: it is whole
	Digest     string           `json:"digest,omitempty"`
	Rows       uint64           `json:"rows"`
	AgeMS      int64            `json:"age_ms"` // since headquarters last vouched for it; -1: never
	State      status.Freshness `json:"state"`
	KeyID      string           `json:"key_id,omitempty"` // of its tokens
	Needed     bool             `json:"needed"`           // the lane expedites nobody without it
	Damaged    string           `json:"damaged,omitempty"`
}

// listDamaged is the state of a list whose file cannot be read.
const listDamaged status.Freshness = "damaged"

// Run exits 1 if a list that the lane needs cannot be used.
func (c *listStatusCmd) Run(t *tool) error {
	cfg, v, err := t.lists()
	if err != nil {
		return err
	}
	defer v.Release()
	reports := reportLists(cfg, v, time.Now())
	if t.json {
		err = t.print(reports)
	} else {
		err = tellLists(t, cfg, reports)
	}
	if err != nil {
		return err
	}
	return unusable(reports)
}

// lists gives the configuration and its store's lists; release them.
func (t *tool) lists() (*configs.Config, *eligibility.View, error) {
	cfg, err := t.place.load("")
	if err != nil {
		return nil, nil, err
	}
	v, err := lookAtLists(context.Background(), cfg)
	return cfg, v, err
}

// lookAtLists opens the store's lists for reading alone.
func lookAtLists(ctx context.Context, cfg *configs.Config) (*eligibility.View, error) {
	v, err := eligibility.Look(ctx, filepath.Join(string(cfg.Store.Dir), "lists"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &failure{err, "no list was ever taken here: start boothd, then boothctl list import DIR", exitFix}
	case errors.Is(err, fs.ErrPermission) || os.Geteuid() != 0 && err != nil:
		return nil, &failure{err, "run it as root: the lists are for boothd alone", exitFix}
	case err != nil:
		return nil, &failure{err, "boothd sets aside what is damaged at its next start, and gets it anew", exitFix}
	}
	return v, nil
}

// needs are the kinds without which the lane expedites nobody.
func needs(cfg *configs.Config) []string {
	pol := passage.Policy{Lane: passage.LaneType(cfg.Lane.Type)}
	pol.Documents = slices.ContainsFunc(cfg.Devices, func(d configs.Device) bool { return d.Role == configs.RoleDocument })
	return passage.RequiredLists(pol)
}

// reportLists says what is there, in the contract's order, and what is missing
// of what the lane needs. Ages are by this box's clock, which the running
// boothd trusts less.
func reportLists(cfg *configs.Config, v *eligibility.View, now time.Time) []listReport {
	out := []listReport{}
	needed, have := needs(cfg), v.Generations()
	for _, kind := range contract.ListKinds() {
		need := slices.Contains(needed, kind)
		i := slices.IndexFunc(have, func(g eligibility.Generation) bool { return g.Kind == kind })
		switch {
		case i >= 0:
			r := reportList(cfg, have[i], now)
			r.Needed = need
			if _, _, err := v.Lookup(kind, eligibility.Token{}); err != nil {
				r.State, r.Damaged = listDamaged, err.Error()
			}
			out = append(out, r)
		case need:
			out = append(out, listReport{Kind: kind, AgeMS: -1, State: status.Missing, Needed: true})
		}
	}
	return out
}

func reportList(cfg *configs.Config, g eligibility.Generation, now time.Time) listReport {
	r := listReport{Kind: g.Kind, Generation: g.Generation, Base: g.Base, Digest: "sha256:" + hex.EncodeToString(g.Digest[:]), Rows: g.Rows,
		KeyID: g.Key, AgeMS: -1, State: status.Stale}
	age := now.Sub(g.VerifiedAt)
	if g.VerifiedAt.IsZero() || age < -time.Second { // vouched for in the future: by no clock of ours
		return r
	}
	r.AgeMS = max(age, 0).Milliseconds()
	switch {
	case age <= cfg.Lists.SoftAge.Duration:
		r.State = status.Fresh
	case age <= cfg.Lists.HardAge.Duration:
		r.State = status.Aging
	}
	return r
}

// tellLists prints for people.
func tellLists(t *tool, cfg *configs.Config, reports []listReport) error {
	w := tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LIST\tGENERATION\tROWS\tAGE\tSTATE\tKEY\tDIGEST")
	for _, r := range reports {
		gen, rows, age, key, digest := "-", "-", "never vouched for", "-", "-"
		if r.Generation > 0 {
			gen, rows, digest = fmt.Sprint(r.Generation), fmt.Sprint(r.Rows), r.Digest[:len("sha256:")+12]
			if r.Base > 0 {
				gen += fmt.Sprintf(" on %d", r.Base)
			}
		} else {
			age = "-"
		}
		if r.KeyID != "" {
			key = r.KeyID
		}
		if r.AgeMS >= 0 {
			age = span(ms(r.AgeMS))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Kind, gen, rows, age, verdictOn(cfg, r), key, digest)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing lists: %w", err)
	}
	return nil
}

// verdictOn says what a list's age means to the lane.
func verdictOn(cfg *configs.Config, r listReport) string {
	soft, hard := cfg.Lists.SoftAge.Duration, cfg.Lists.HardAge.Duration
	switch r.State {
	case status.Aging:
		return fmt.Sprintf("aging: over %s (211)", span(soft))
	case status.Stale:
		return fmt.Sprintf("✗ stale: over %s, expedites nobody (204)", span(hard))
	case status.Missing:
		return "✗ missing (203)"
	case listDamaged:
		return "✗ damaged (206)"
	}
	return string(r.State)
}

// unusable is the failure of lists that the lane needs and cannot use.
func unusable(reports []listReport) error {
	bad := ""
	for _, r := range reports {
		if r.Needed && r.State != status.Fresh && r.State != status.Aging {
			bad += " " + r.Kind
		}
	}
	if bad == "" {
		return nil
	}
	return &failure{fmt.Errorf("the lane expedites nobody for want of:%s", bad),
		"get them by the link, or from a stick: boothctl list import DIR", exitFix}
}
