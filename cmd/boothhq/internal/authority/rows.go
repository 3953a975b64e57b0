package authority

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/token"
	"boothd/devices"
)

// office turns CSV rows into list rows. Identifiers become tokens here.
type office struct {
	key     *token.Key
	tell    Progress
	faults  faults
	members map[passage.Token]contract.MemberRow
	lists   map[string]map[[16]byte]*entry
}

// entry is one row being made, and where it came from.
type entry struct {
	line     int
	value    []byte
	vehicles contract.VehicleRow
	lookouts contract.LookoutRow
	trip     contract.TripRow
}

// Progress hears how far a long work has come: the file it is at, and what part
// of it is done, 0 to 1. It is called often and must not block; nil hears nothing.
type Progress func(file string, done float64)

func (p Progress) at(file string, done, all int64) {
	if p != nil && all > 0 {
		p(file, min(float64(done)/float64(all), 1))
	}
}

// progressRows is after how many rows progress is told.
const progressRows = 4096

// builtKey is the file that names the key under which the lists beside it were built.
const builtKey = "key.id"

// faultsSuffix makes the name of the file that tells every bad row.
const faultsSuffix = ".faults"

// Build reads every CSV or NDJSON file of in and writes a list for each into out,
// which must not exist: all or nothing. Every bad row is told; if there are many,
// all of them in the file out.faults. Identifiers become tokens under the
// current key of the credential in keyPath.
func Build(in, out, keyPath string, tell Progress) ([]contract.ListHeader, error) {
	if _, err := os.Lstat(out); err == nil {
		return nil, fmt.Errorf("%s: %w", out, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.Remove(filepath.Clean(out) + faultsSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // of a former try
	}
	credential, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, err
	}
	keys, err := token.ParseKeys(credential, time.Now())
	if err != nil {
		return nil, err
	}
	o := &office{key: keys.Current, tell: tell, faults: faults{path: filepath.Clean(out) + faultsSuffix}, members: map[passage.Token]contract.MemberRow{}, lists: map[string]map[[16]byte]*entry{}}
	if err := o.readAll(in); err != nil {
		return nil, err
	}
	return o.write(out)
}

// readAll reads members first, since cards and vehicles point into them.
func (o *office) readAll(in string) error {
	found := false
	for _, t := range o.tables() {
		err := t.readEither(in, &o.faults, o.tell)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		found = true
		if o.lists[t.kind] == nil {
			o.lists[t.kind] = map[[16]byte]*entry{} // headed, but empty
		}
	}
	if !found {
		return fmt.Errorf("no CSV file and no .ndjson in %s; want members.csv, cards.csv, lookouts.csv or another of boothhq lists build --help", in)
	}
	return o.faults.err()
}

func (o *office) tables() []table {
	return append([]table{
		{"members.csv", contract.ListMembers, []string{"member", "status", "programs", "valid_from", "valid_until"}, o.member},
		{"cards.csv", contract.ListCards, []string{"epc", "status", "member", "card_until", "extended", "tid"}, o.card},
		{"vehicles.csv", contract.ListVehicles, []string{"member", "plate", "jurisdiction"}, o.vehicle},
		{"lookouts.csv", contract.ListLookouts, []string{"id", "version", "subject_type", "subject", "jurisdiction", "action", "reason_code",
			"caveat", "agency", "region", "officer_safety", "valid_from", "valid_until"}, o.lookout},
	}, o.tablesOfTrade()...)
}

// at gives the entry of a token, a new one at its first row.
func (o *office) at(r *record, kind string, t passage.Token) (e *entry, first bool) {
	b, err := contract.TokenBytes(t)
	if err != nil {
		return &entry{}, false // its column has been told already
	}
	if o.lists[kind] == nil {
		o.lists[kind] = map[[16]byte]*entry{}
	}
	if e := o.lists[kind][b]; e != nil {
		return e, false
	}
	e = &entry{line: r.line}
	o.lists[kind][b] = e
	return e, true
}

// once stores a value under a token that may have one row only.
func (o *office) once(r *record, kind string, t passage.Token, column string, row interface {
	Append([]byte) ([]byte, error)
}) {
	if r.bad || t == "" {
		return
	}
	e, first := o.at(r, kind, t)
	if !first {
		r.fault(column, fmt.Sprintf("is in row %d too", e.line))
		return
	}
	v, err := row.Append(nil)
	if err != nil {
		r.fault("", err.Error())
		return
	}
	e.value = v
}

func (o *office) member(r *record) {
	t := r.identifier("member", o.key.Membership)
	m := contract.MemberRow{
		Status:     choice(r, "status", map[string]passage.Status{"ACTIVE": passage.Active, "SUSPENDED": passage.Suspended, "REVOKED": passage.Revoked, "PENDING": passage.Pending}),
		Programs:   r.words("programs", contract.Programs()),
		ValidFrom:  r.time("valid_from", false),
		ValidUntil: r.time("valid_until", true),
	}
	o.once(r, contract.ListMembers, t, "member", m)
	o.members[t] = m
}

func (o *office) card(r *record) {
	t := r.identifier("epc", o.hex(o.key.Card))
	c := contract.CardRow{
		Status:    choice(r, "status", map[string]passage.Status{"ISSUED": passage.Issued, "SUPERSEDED": passage.Superseded, "LOST": passage.Lost, "STOLEN": passage.Stolen}),
		Member:    o.known(r),
		CardUntil: r.time("card_until", true),
		Extended:  r.yes("extended"),
	}
	if r.field("tid") != "" {
		c.TID = r.identifier("tid", o.hex(o.key.TID))
	}
	o.once(r, contract.ListCards, t, "epc", c)
}

// known is the member of a row, which must be in members.csv.
func (o *office) known(r *record) passage.Token {
	t := r.identifier("member", o.key.Membership)
	if _, ok := o.members[t]; t != "" && !ok {
		r.fault("member", "is not in members.csv")
	}
	return t
}

// hex refuses numbers with half a byte, which no reader ever reports.
func (o *office) hex(make func(devices.Ident) passage.Token) func(devices.Ident) passage.Token {
	return func(id devices.Ident) passage.Token {
		if len(token.Hex(id))%2 != 0 {
			return ""
		}
		return make(id)
	}
}

func (o *office) vehicle(r *record) {
	member := o.known(r)
	p := o.plate(r, "plate")
	if p.Full == "" && p.Bare != "" { // without Bare it is the plate that is wrong
		r.fault("jurisdiction", "is missing")
	}
	if r.bad {
		return
	}
	e, _ := o.at(r, contract.ListVehicles, member)
	plates := append(e.vehicles.Plates, contract.VehiclePlate{Full: p.Full, Bare: p.Bare})
	v, err := contract.VehicleRow{Plates: plates}.Append(nil)
	if err != nil {
		r.fault("", err.Error())
		return
	}
	e.vehicles.Plates, e.value = plates, v
}

func (o *office) plate(r *record, column string) passage.Plate {
	p := o.key.Plate(devices.Ident(r.field(column)), r.jurisdiction(), 1)
	if p.Bare == "" {
		r.fault(column, "is no plate: letters and digits are wanted")
	}
	return p
}

func (o *office) lookout(r *record) {
	version, err := strconv.ParseUint(r.field("version"), 10, 63)
	if err != nil || version == 0 {
		r.fault("version", "is no number from 1")
	}
	subject := choice(r, "subject_type", map[string]string{"PLATE": "PLATE", "CARD": "CARD", "DOCUMENT": "DOCUMENT",
		"CONTAINER": "CONTAINER", "CARRIER": "CARRIER"})
	l := contract.Lookout{
		ID: r.field("id"), Version: version, Subject: subject,
		Action:     choice(r, "action", map[string]passage.Action{"STOP": passage.Stop, "REFER": passage.Check, "OBSERVE": passage.Observe}),
		ReasonCode: r.field("reason_code"), Caveat: r.field("caveat"), Agency: r.field("agency"), Region: r.field("region"),
		OfficerSafety: r.yes("officer_safety"),
		ValidFrom:     r.time("valid_from", false), ValidUntil: r.time("valid_until", true),
	}
	switch subject {
	case "CARD", "DOCUMENT", "CONTAINER", "CARRIER":
		o.subject(r, l)
	case "PLATE":
		p := o.plate(r, "subject")
		bare := contract.MatchBare
		if p.Full == "" {
			bare = contract.MatchExact // the lookout is on this plate of any place
		}
		o.lookFor(r, l, contract.MatchExact, p.Full)
		o.lookFor(r, l, bare, p.Bare)
		o.lookFor(r, l, contract.MatchFold, p.Fold)
	}
}

// lookFor adds a lookout to a token of its subject.
func (o *office) lookFor(r *record, l contract.Lookout, m contract.Match, t passage.Token) {
	if r.bad || t == "" {
		return
	}
	l.Match = m
	e, _ := o.at(r, contract.ListLookouts, t)
	all := append(e.lookouts.Lookouts, l)
	v, err := contract.LookoutRow{Lookouts: all}.Append(nil)
	if err != nil {
		r.fault("", err.Error())
		return
	}
	e.lookouts.Lookouts, e.value = all, v
}

// write writes every list, all or none.
func (o *office) write(out string) (heads []contract.ListHeader, err error) {
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(out)), ".lists-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	for i, kind := range contract.ListKinds() {
		o.tell.at("writing "+kind+".list", int64(i), int64(len(contract.ListKinds())))
		entries, ok := o.lists[kind]
		if !ok {
			continue
		}
		rows := make([]contract.ListRow, 0, len(entries))
		for t, e := range entries {
			rows = append(rows, contract.ListRow{Token: t, Value: e.value})
		}
		slices.SortFunc(rows, func(a, b contract.ListRow) int { return bytes.Compare(a.Token[:], b.Token[:]) })
		h, err := writeList(filepath.Join(temp, kind+".list"), kind, rows)
		if err != nil {
			return nil, err
		}
		heads = append(heads, h)
	}
	if err := keep(filepath.Join(temp, builtKey), []byte(o.key.ID()+"\n"), 0o644); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, out); err != nil {
		return nil, err
	}
	return heads, syncFolder(filepath.Dir(filepath.Clean(out)))
}

func writeList(path, kind string, rows []contract.ListRow) (h contract.ListHeader, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if h, err = contract.WriteList(f, kind, rows); err != nil {
		return h, err
	}
	return h, f.Sync()
}

// oneOf lists the keys of a choice for a message.
func oneOf(names []string) string {
	slices.Sort(names)
	return strings.Join(names, ", ")
}
