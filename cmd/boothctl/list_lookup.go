package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/token"
	"boothd/buffer/eligibility"
	"boothd/configs"
	"boothd/devices"
)

// listLookupCmd tells whether an identifier would be found, as the lane would
// look it up. It is typed, and never an argument: arguments stand in the shell's
// history and in ps. Neither it nor what its row says is printed.
//
// The lookouts are not asked, whatever is typed (I3): this answers alike for a
// subject that is looked for and one that is not. That is why a plate alone
// cannot be asked: nothing but lookouts is kept by it. It is asked with whom it
// belongs to.
type listLookupCmd struct {
	What string `arg:"" help:"What is typed: card, document, member, vehicle, carrier, importer, trip, container, tractor." enum:"card,document,member,vehicle,carrier,importer,trip,container,tractor"`
	Of   string `help:"Jurisdiction of a vehicle's or tractor's plate, such as BC." placeholder:"PLACE"`
}

// typedMost bounds one line that is typed, in bytes; the longest identifier has 124.
const typedMost = 256

// asked says what has to be typed for what, a line each.
var asked = map[string][]string{
	"card":      {"the card's number (hex)"},
	"document":  {"the issuing state, such as CAN", "the document's number"},
	"member":    {"the membership's number"},
	"vehicle":   {"the card's number (hex)", "the plate"},
	"carrier":   {"the carrier's code"},
	"importer":  {"the importer's business number"},
	"trip":      {"the trip's or the cargo control number"},
	"container": {"the container's number"},
	"tractor":   {"the carrier's code", "the plate"},
}

// answered is one list's answer.
type answered struct {
	Kind       string `json:"kind"`
	Generation uint64 `json:"generation"` // 0: there is no such list
	Found      bool   `json:"found"`
}

// Run exits 0 if all that the lane would look for is found, else 1.
func (c *listLookupCmd) Run(t *tool) error {
	cfg, v, err := t.lists()
	if err != nil {
		return err
	}
	defer v.Release()
	key, err := keyOf(cfg, v)
	if err != nil {
		return err
	}
	typed, err := ask(os.Stdin, t.stderr, asked[c.What])
	if err != nil {
		return err
	}
	q := &enquiry{view: v, key: key}
	if err := q.of(c.What, c.Of, typed); err != nil {
		return err
	}
	return q.tell(t)
}

// keyOf gives the key that the lists in force are under, as boothd has it.
func keyOf(cfg *configs.Config, v *eligibility.View) (*token.Key, error) {
	path, _ := whereIs(cfg.Lists.Key)
	hint := "run it as root while boothd runs: its keys are open to it then, in " + credentialDirs[0]
	if path == "" {
		return nil, &failure{fmt.Errorf("no token key: %s is not there", cfg.Lists.Key), hint, exitFix}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &failure{fmt.Errorf("opening the token key: %w", err), hint, exitFix}
	}
	now := time.Now()
	keys, err := token.ParseKeys(b, now)
	if err != nil {
		return nil, &failure{fmt.Errorf("%s: %w", path, err), hint, exitFix} // sealed, if it is no key
	}
	var under string
	for i, g := range v.Generations() {
		if i > 0 && g.Key != under {
			return nil, &failure{errors.New("the lists are under different token keys (214)"), "boothctl list status shows which; a whole publication puts it right", exitFix}
		}
		under = g.Key
	}
	key := keys.Pick(under, now)
	if key == nil {
		return nil, &failure{fmt.Errorf("the lists are under token key %s, and this booth has %s (214)", under, strings.Join(keys.IDs(now), ", ")),
			"get the port's key from the list office again", exitFix}
	}
	return key, nil
}

// enquiry looks up as the lane does.
type enquiry struct {
	view    *eligibility.View
	key     *token.Key
	answers []answered
}

// of asks what the lane would ask of something typed.
func (q *enquiry) of(what, place string, typed []string) error {
	first, last := devices.Ident(typed[0]), devices.Ident(typed[len(typed)-1])
	switch k := q.key; what {
	case "card":
		_, err := q.card(k.Card(first))
		return err
	case "document":
		return q.document(k.Document(typed[0], last))
	case "member":
		_, err := q.find(contract.ListMembers, k.Membership(first))
		return err
	case "vehicle":
		member, err := q.card(k.Card(first))
		if err != nil || member == "" {
			return err
		}
		return q.linked(member, k.Plate(last, place, 1))
	case "carrier":
		_, err := q.find(contract.ListCarriers, k.Carrier(first))
		return err
	case "importer":
		_, err := q.find(contract.ListImporters, k.Importer(first))
		return err
	case "trip":
		return q.trip(k.Cargo(first))
	case "container":
		_, err := q.find(contract.ListContainers, k.Container(first))
		return err
	}
	carrier, plate := q.key.Carrier(first), q.key.Plate(last, place, 1) // a tractor
	if row, err := q.find(contract.ListCarriers, carrier); err != nil || row == nil {
		return err
	}
	return q.linked(q.key.Tractor(carrier, cmp.Or(plate.Full, plate.Bare)), plate)
}

// find asks one list; nil: it is not there.
func (q *enquiry) find(kind string, t passage.Token) ([]byte, error) {
	b, err := contract.TokenBytes(t)
	if err != nil { // what was typed is not quoted
		return nil, &failure{errors.New("what was typed has not the form of such a number"), "boothctl list lookup --help; hex digits for a card", exitUsage}
	}
	a := answered{Kind: kind}
	for _, g := range q.view.Generations() {
		if g.Kind == kind {
			a.Generation = g.Generation
		}
	}
	row, ok, err := q.view.Lookup(kind, eligibility.Token(b))
	if err != nil && !errors.Is(err, eligibility.ErrNoList) {
		return nil, &failure{err, "boothctl list status", exitFix}
	}
	a.Found = ok
	q.answers = append(q.answers, a)
	return row, nil
}

// card asks for a card and its member; none: it has no membership that counts.
func (q *enquiry) card(t passage.Token) (member passage.Token, err error) {
	value, err := q.find(contract.ListCards, t)
	if err != nil || value == nil {
		return "", err
	}
	row, err := contract.ParseCardRow(value)
	if err != nil {
		return "", err
	}
	if value, err = q.find(contract.ListMembers, row.Member); err != nil || value == nil {
		return "", err
	}
	return row.Member, nil
}

func (q *enquiry) document(t passage.Token) error {
	value, err := q.find(contract.ListDocuments, t)
	if err != nil || value == nil {
		return err
	}
	row, err := contract.ParseDocumentRow(value)
	if err != nil {
		return err
	}
	_, err = q.card(row.Card)
	return err
}

// trip asks for a trip, also by the number of a cargo of it.
func (q *enquiry) trip(t passage.Token) error {
	value, err := q.find(contract.ListTrips, t)
	if err != nil || value == nil {
		return err
	}
	row, err := contract.ParseTripRow(value)
	if err != nil || row.Of == "" {
		return err
	}
	_, err = q.find(contract.ListTrips, row.Of)
	return err
}

// linked asks whether a plate is on file for whoever the token is of.
func (q *enquiry) linked(of passage.Token, plate passage.Plate) error {
	if plate.NoRead {
		of = "" // find says so
	}
	value, err := q.find(contract.ListVehicles, of)
	if err != nil || value == nil {
		return err
	}
	row, err := contract.ParseVehicleRow(value)
	if err != nil {
		return err
	}
	q.answers[len(q.answers)-1].Found = row.Linked(plate.Full, plate.Bare)
	return nil
}

// tell prints the answers.
func (q *enquiry) tell(t *tool) error {
	missing := slices.ContainsFunc(q.answers, func(a answered) bool { return !a.Found })
	if t.json {
		if err := t.print(q.answers); err != nil {
			return err
		}
	} else {
		for _, a := range q.answers {
			switch {
			case a.Generation == 0:
				fmt.Fprintf(t.stdout, "✗ %s: there is no such list (203)\n", a.Kind)
			case a.Found:
				fmt.Fprintf(t.stdout, "✓ found in %s, generation %d\n", a.Kind, a.Generation)
			default:
				fmt.Fprintf(t.stdout, "✗ not found in %s, generation %d\n", a.Kind, a.Generation)
			}
		}
	}
	if missing {
		return &failure{errors.New("the lane would not find it"),
			"try reader shows whether two cards are one; headquarters' list office has the rows", exitFix}
	}
	return nil
}

// ask reads a line for each thing that is wanted. On a terminal nothing that is
// typed is shown.
func ask(in *os.File, prompt io.Writer, wanted []string) ([]string, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	shown, show := hush(in)
	defer show()
	type answer struct {
		lines []string
		err   error
	}
	done := make(chan answer, 1)
	go func() { // a terminal's read ends with the program at the latest
		r := bufio.NewReader(io.LimitReader(in, typedMost*int64(len(wanted))))
		var a answer
		for _, w := range wanted {
			if !shown {
				fmt.Fprintf(prompt, "%s, it is not shown: ", w)
			}
			line, err := r.ReadString('\n')
			if !shown {
				fmt.Fprintln(prompt)
			}
			line = strings.TrimSpace(line)
			if err != nil && (!errors.Is(err, io.EOF) || line == "") {
				a.err = &failure{fmt.Errorf("%s is wanted on standard input, a line of at most %d bytes", w, typedMost), "it is no argument: those stand in the shell's history", exitUsage}
				break
			}
			a.lines = append(a.lines, line)
		}
		done <- a
	}()
	select {
	case a := <-done:
		return a.lines, a.err
	case <-ctx.Done():
		return nil, errors.New("nothing was asked")
	}
}

// hush stops a terminal from showing what is typed, until show; shown is true
// for what is none.
func hush(in *os.File) (shown bool, show func()) {
	was, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return true, func() {}
	}
	now := *was
	now.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &now); err != nil {
		return true, func() {}
	}
	return false, func() { _ = unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, was) } // nothing else could be done
}
