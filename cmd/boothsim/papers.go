package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"boothd/configs"
)

// Traders of every scenario. The codes are made up; the business numbers have
// right check digits (domain reference, section 3).
const (
	carrierBad      = "XIM2" // on file, in no programme that counts
	carrierUnknown  = "XIM9"
	importerGood    = "123456782RM0001"
	importerBad     = "100000009RM0001"
	importerMisread = "123456789RM0001"
)

// load is what a truck carries, and what is said of it beforehand.
type load struct {
	carrier, trip, cargo, second, container, seal, rear string
}

// loadOf makes the load of the truck with number n; every number gives another.
func loadOf(k kind, n int) load {
	// A carrier of its own each: a scanner that is shown the same code within two
	// seconds takes it for one, and simulated trucks come faster than real ones.
	carrier := "S" + strings.ToUpper(strconv.FormatInt(int64(36*36+n%(35*36*36)), 36))
	l := load{carrier: carrier, trip: fmt.Sprintf("%sT%06d", carrier, n), cargo: fmt.Sprintf("%sPARS%06d", carrier, n),
		second: fmt.Sprintf("%sPARS%06dB", carrier, n), container: iso("SIMU", n), seal: fmt.Sprintf("H%07d", n)}
	if slices.Contains(k.officer, "trailer") {
		l.rear = fmt.Sprintf("TR%05d", n)
	}
	return l
}

// iso writes a container's number with its check digit (ISO 6346).
func iso(owner string, serial int) string {
	number := fmt.Sprintf("%s%06d", owner, serial)
	sum := 0
	for i, c := range number {
		v := int(c - '0')
		if c >= 'A' {
			v = int(c-'A') + 10
			v += (v - 1) / 10 // 11, 22 and 33 are left out
		}
		sum += v << i
	}
	return fmt.Sprintf("%s%d", number, sum%11%10)
}

// papers are what a driver hands over, by the scenario's words.
var papers = map[string]func(load) string{
	"carrier": func(l load) string { return l.carrier }, "carrier-unapproved": func(load) string { return carrierBad },
	"carrier-unknown": func(load) string { return carrierUnknown },
	"importer":        func(load) string { return importerGood }, "importer-unapproved": func(load) string { return importerBad },
	"importer-misread": func(load) string { return importerMisread },
	"cargo":            func(l load) string { return l.cargo }, "cargo-fli": func(l load) string { return l.second },
	"cargo-unknown": func(l load) string { return l.carrier + "PARSNONE" },
	"trip":          func(l load) string { return l.trip },
	"container":     func(l load) string { return l.container }, "container-hold": func(l load) string { return l.container },
	"container-other":   func(load) string { return "MEDU8707688" },
	"container-misread": func(load) string { return "CSQU3054384" },
	"seal":              func(l load) string { return l.seal }, "seal-other": func(load) string { return "H-0000000" },
}

// show holds a paper to the scanner it is for.
func (h *hardware) show(ctx context.Context, text, word string) error {
	role := configs.RoleScan
	if strings.HasPrefix(word, "seal") {
		role = configs.RoleSeal
	}
	scanner := h.of(role)
	if scanner == nil {
		return fmt.Errorf("no device of role %s in this lane to show %q to", role, word)
	}
	if err := scanner.Scan(text); err != nil {
		return err
	}
	h.pause(ctx, h.pace.Hold)
	return nil
}

// tradeTables is what headquarters would have of the trucks of a plan.
func tradeTables(plan []vehicle) map[string][][]string {
	trader := []string{"status", "programs", "valid_from", "valid_until"}
	carriers := [][]string{append([]string{"carrier"}, trader...), {carrierBad, "ACTIVE", "CSA", "", ""}}
	importers := [][]string{append([]string{"importer"}, trader...), {importerGood, "ACTIVE", "PIP CTPAT", "", ""}, {importerBad, "SUSPENDED", "PIP", "", ""}}
	tractors := [][]string{{"carrier", "plate", "jurisdiction"}, {carrierBad, "NEVER01", "ON"}}
	trips := [][]string{strings.Split("trip,carrier,empty,trailer,seal_required,high_seal,screening,containers,valid_from,valid_until", ","),
		{carrierBad + "T0", carrierBad, "yes", "no", "no", "no", "no", "", "", ""}}
	shipments := [][]string{{"trip", "cargo", "importer", "eligible", "goods"}, {carrierBad + "T0", carrierBad + "PARS0", importerGood, "yes", "yes"}}
	containers := [][]string{strings.Split("container,status,seal,seal_class,size_type,source,valid_from,valid_until", ","),
		{iso("SIMU", 0), "NONE", "", "", "", "SIM", "", ""}}
	documents := [][]string{{"issuer", "number", "epc"}, {"UTO", "NEVER01", "E28011606000000000000000"}}
	for _, v := range plan {
		has := func(word string) bool { return slices.Contains(v.kind.officer, word) }
		yes := map[bool]string{true: "yes", false: "no"}
		if !has("cargo") && !has("trip") && !has("cargo-fli") && !has("container") && !has("container-hold") {
			continue
		}
		carriers = append(carriers, []string{v.load.carrier, "ACTIVE", "CSA PIP CTPAT", "", ""})
		if v.plate != "" && v.kind.plate == "own" {
			tractors = append(tractors, []string{v.load.carrier, v.plate, "ON"})
		}
		boxed := ""
		if has("container") || has("container-hold") || has("container-other") {
			boxed = v.load.container
			status := "PRESCREENED"
			if has("container-hold") {
				status = "HOLD"
			}
			containers = append(containers, []string{v.load.container, status, v.load.seal, "H", "45G1", "CSI", "", ""})
		}
		trips = append(trips, []string{v.load.trip, v.load.carrier, "no", yes[has("trailer")], yes[has("seal") || has("seal-other")], yes[boxed != ""],
			yes[boxed != ""], boxed, "", ""})
		shipments = append(shipments, []string{v.load.trip, v.load.cargo, importerGood, "yes", "yes"})
		if has("cargo-fli") {
			shipments = append(shipments, []string{v.load.trip, v.load.second, importerGood, "no", "yes"})
		}
	}
	return map[string][][]string{"carriers": carriers, "importers": importers, "tractors": tractors, "trips": trips, "shipments": shipments,
		"containers": containers, "documents": documents}
}

// visit is a traveller's time at a kiosk: the card, the answers, the face.
func (h *hardware) visit(ctx context.Context, v vehicle, acts []string, decided func() bool) error {
	h.matcher.expect(acts)
	if err := h.field(v.cards, -31); err != nil {
		return err
	}
	h.pause(ctx, h.pace.Field)
	if err := h.field(nil, 0); err != nil {
		return err
	}
	for _, act := range acts {
		h.pause(ctx, h.pace.Officer)
		switch act {
		case "match", "nomatch", "nobody", "wait":
			continue
		case "walk":
			h.matcher.answered(ctx, 2*time.Second)
			decided()
			h.pause(ctx, h.pace.Leave)
		}
		if err := h.press(ctx, buttons[act]); err != nil {
			return err
		}
	}
	return nil
}
