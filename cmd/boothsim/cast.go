package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"boothd/agent"
	"boothd/configs"
)

// card is one person's card, as the reader gets it and the lists know it.
type card struct {
	word   string
	epc    string
	member string // whose it is
	reader int    // which of the lane's readers it is shown to
}

// vehicle is one that drives through.
type vehicle struct {
	kind         kind
	cards        []card
	plate        string // as a camera reads it; "" for none
	jurisdiction string
	confidence   float64
	noRead       bool
	load         load // of a truck
}

// Plates on lookouts; each kind of hit has one.
const (
	plateObserve = "WATCH01"
	plateRefer   = "REFER01"
	plateStop    = "HALT001"
	plateListed  = "SIBO180" // "likely" reads it with confusable characters
	plateLikely  = "5180I80"
)

// cast makes the vehicle with number n, from 1. Every number gives other
// people: nobody comes twice in one run but by "same". Their cards are of a kind
// that one of the readers reads, each of them in turn.
func cast(k kind, n int, before []card, readers []configs.Device) vehicle {
	v := vehicle{kind: k, jurisdiction: "ON", confidence: 0.97, plate: fmt.Sprintf("BX%05d", n)}
	for i, word := range k.cards {
		if word == "same" {
			v.cards = append(v.cards, before...)
			continue
		}
		reader := n % len(readers)
		v.cards = append(v.cards, card{word: word, epc: agent.PlayedNumber(readers[reader], n, i+1), member: fmt.Sprintf("M%06X%06X", n, i+1), reader: reader})
	}
	v.load = loadOf(k, n)
	switch k.plate {
	case "other":
		v.plate = fmt.Sprintf("ZZ%05d", n)
	case "noread":
		v.plate, v.jurisdiction, v.noRead = "", "", true
	case "unsure":
		v.confidence = 0.4
	case "observe":
		v.plate = plateObserve
	case "refer":
		v.plate = plateRefer
	case "stop":
		v.plate = plateStop
	case "likely":
		v.plate, v.confidence = plateLikely, 0.6
	}
	return v
}

// row is what the lists say of a card word: status, member's status,
// programmes, card's end, extended, member's end. Words in no list have none.
type row struct {
	status, member, programs, cardUntil, extended, memberUntil string
}

var rows = map[string]row{
	"active":     {"ISSUED", "ACTIVE", "NEXUS", "2036-01-01", "no", "2036-01-01"},
	"suspended":  {"ISSUED", "SUSPENDED", "NEXUS", "2036-01-01", "no", "2036-01-01"},
	"revoked":    {"ISSUED", "REVOKED", "NEXUS", "2036-01-01", "no", "2036-01-01"},
	"pending":    {"ISSUED", "PENDING", "NEXUS", "2036-01-01", "no", "2036-01-01"},
	"lapsed":     {"ISSUED", "ACTIVE", "NEXUS", "2036-01-01", "no", "2024-01-01"},
	"fast":       {"ISSUED", "ACTIVE", "FAST", "2036-01-01", "no", "2036-01-01"},
	"lost":       {"LOST", "ACTIVE", "NEXUS", "2036-01-01", "no", "2036-01-01"},
	"stolen":     {"STOLEN", "ACTIVE", "NEXUS", "2036-01-01", "no", "2036-01-01"},
	"superseded": {"SUPERSEDED", "ACTIVE", "NEXUS", "2036-01-01", "no", "2036-01-01"},
	"expired":    {"ISSUED", "ACTIVE", "NEXUS", "2024-01-01", "no", "2036-01-01"},
	"driver":     {"ISSUED", "ACTIVE", "CDRP", "2036-01-01", "no", "2036-01-01"},
	"extended":   {"ISSUED", "ACTIVE", "NEXUS", "2024-01-01", "yes", "2036-01-01"},
}

// writeCSV writes what headquarters would have of the people of n vehicles.
func writeCSV(dir string, plan []vehicle) error {
	members := [][]string{{"member", "status", "programs", "valid_from", "valid_until"}}
	cards := [][]string{{"epc", "status", "member", "card_until", "extended", "tid"}}
	vehicles := [][]string{{"member", "plate", "jurisdiction"}}
	// One who never comes: a list without a row is refused, and a short plan
	// may have nobody with a card.
	members = append(members, []string{"M0", "ACTIVE", "NEXUS", "2020-01-01", "2036-01-01"})
	cards = append(cards, []string{"E28011606000000000000000", "ISSUED", "M0", "2036-01-01", "no", ""})
	vehicles = append(vehicles, []string{"M0", "NEVER01", "ON"})
	known := map[string]bool{}
	for _, v := range plan {
		for _, c := range v.cards {
			r, listed := rows[c.word]
			if !listed || known[c.epc] {
				continue
			}
			known[c.epc] = true
			members = append(members, []string{c.member, r.member, r.programs, "2020-01-01", r.memberUntil})
			cards = append(cards, []string{c.epc, r.status, c.member, r.cardUntil, r.extended, ""})
			if v.kind.plate != "other" && v.plate != "" {
				vehicles = append(vehicles, []string{c.member, v.plate, "ON"})
			}
		}
	}
	from, until := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly), time.Now().UTC().AddDate(0, 0, 60).Format(time.DateOnly)
	lookouts := [][]string{strings.Split("id,version,subject_type,subject,jurisdiction,action,reason_code,caveat,agency,region,officer_safety,valid_from,valid_until", ",")}
	for i, l := range [][2]string{{plateObserve, "OBSERVE"}, {plateRefer, "REFER"}, {plateStop, "STOP"}, {plateListed, "REFER"}} {
		lookouts = append(lookouts, []string{fmt.Sprintf("SIM-%d", i+1), "1", "PLATE", l[0], "ON", l[1], "TEST", "SIM", "CBSA", "PACIFIC", "no", from, until})
	}
	tables := tradeTables(plan)
	maps.Copy(tables, map[string][][]string{"members": members, "cards": cards, "vehicles": vehicles, "lookouts": lookouts})
	for name, table := range tables {
		if err := writeTable(filepath.Join(dir, name+".csv"), table); err != nil {
			return err
		}
	}
	return nil
}

func writeTable(path string, table [][]string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return csv.NewWriter(f).WriteAll(table)
}
