// Package command judges what headquarters asks of this booth. It is pure:
// what came in, whom the booth trusts, what its technician allows and what time
// it is go in; an order, or the reason of its refusal, comes out.
//
// A command is obeyed only if a trusted key has signed just it, for this booth,
// for now, if it was not obeyed before and if the technician allows its name.
// Whatever is not known for sure refuses it: a clock that may be wrong, a
// journal that may have forgotten. No order makes a lane faster than the booth's
// own settings do, and none changes a setting (I1).
//
// Source: mqtt contract, section 7; product design, section 11.
package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

// Names of the commands there are.
const (
	ListRefresh  = "list.refresh"  // look for new lists now
	OutboxResend = "outbox.resend" // send events again: {} what is not receipted, or {"from":N,"to":M}
	Identify     = "identify"      // blink the officer's health lamp for a while
	LaneMode     = "lane.mode"     // {"type":"general"}: become a lane where nobody is expedited
	BundleUpload = "bundle.upload" // put a support archive where the booth's configuration says
)

// Names lists them.
func Names() []string { return []string{ListRefresh, OutboxResend, Identify, LaneMode, BundleUpload} }

// MaxResend is how many events one command may have sent again: at the default
// rate of a backlog, 20 a second, over eight minutes of it.
const MaxResend = 10_000

// skew is how far headquarters' clock may be before the booth's.
const skew = time.Minute

// Reason is the word of a refusal, as headquarters reads it.
type Reason string

// The reasons, in the order in which they are looked for.
const (
	Malformed  Reason = "malformed"   // not of the contract's form
	Unsigned   Reason = "unsigned"    // no signature
	Untrusted  Reason = "untrusted"   // no trusted key signed this
	Purpose    Reason = "purpose"     // signed as something else than a command
	WrongBooth Reason = "wrong_booth" // signed for another booth
	Clock      Reason = "clock"       // the booth does not know what time it is
	NotYet     Reason = "not_yet"
	Expired    Reason = "expired"
	TooOld     Reason = "too_old"     // older than the journal, which would know whether it was obeyed
	Replayed   Reason = "replayed"    // taken before
	Unknown    Reason = "unknown"     // no such command
	NotAllowed Reason = "not_allowed" // the technician's list does not name it
	BadArgs    Reason = "bad_args"
	Faster     Reason = "faster" // would have made the lane faster
)

// Reasons lists them.
func Reasons() []Reason {
	return []Reason{Malformed, Unsigned, Untrusted, Purpose, WrongBooth, Clock, NotYet, Expired, TooOld, Replayed, Unknown, NotAllowed, BadArgs, Faster}
}

// Refusal is the error of a command that is not obeyed.
type Refusal struct {
	Reason Reason
	Detail string // in words; quotes nothing that nobody trusted has signed
}

func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.Detail }

func refuse(r Reason, detail string, args ...any) error {
	return &Refusal{r, fmt.Sprintf(detail, args...)}
}

// Signed is a command that a trusted key has signed. It may still be late, used
// up or for somebody else.
type Signed struct {
	contract.Command
	KeyID string
}

// Open reads a message and believes it, or is a *Refusal.
func Open(message []byte, trust *contract.TrustedKeys) (Signed, error) {
	e, err := contract.DecodeEnvelope(message)
	if err != nil {
		return Signed{}, refuse(Malformed, "%v", err)
	}
	payload, key, err := trust.Open(e, contract.PayloadCommand)
	switch {
	case errors.Is(err, contract.ErrUnsigned):
		return Signed{}, refuse(Unsigned, "%v", err)
	case errors.Is(err, contract.ErrPayloadType):
		return Signed{}, refuse(Purpose, "%v", err)
	case err != nil && len(trust.IDs()) == 0:
		return Signed{}, refuse(Untrusted, "this booth trusts no key for commands")
	case err != nil:
		return Signed{}, refuse(Untrusted, "%v", err)
	}
	c, err := contract.DecodeCommand(payload)
	if err != nil {
		return Signed{}, refuse(Malformed, "%v", err)
	}
	return Signed{c, key}, nil
}

// Local is what the booth itself knows and allows.
type Local struct {
	Booth string
	Now   time.Time
	Clock passage.Clock
	Since time.Time // when the journal began: of commands before, it knows nothing
	Last  uint64    // highest number in the journal
	Seen  bool      // the journal knows the command's id
	Allow []string  // names the technician allows
	// Lanes are the types that the lane may become, by the technician's word.
	Lanes []passage.LaneType
}

// Order is what is to be done. The zero Order is nothing.
type Order struct {
	Name string
	// From and To are the events of OutboxResend, both included; 0: all that
	// headquarters has not receipted.
	From, To uint64
	Lane     passage.LaneType // of LaneMode
}

// Judge gives the order of a command, or is a *Refusal.
func Judge(c Signed, l Local) (Order, error) {
	switch {
	case c.Booth != l.Booth:
		return Order{}, refuse(WrongBooth, "signed for %s", c.Booth)
	case l.Clock != passage.ClockSynced && l.Clock != passage.ClockHoldover:
		return Order{}, refuse(Clock, "the booth's clock cannot be relied on, so no expiry can be judged")
	case l.Now.Add(skew).Before(c.NotBefore):
		return Order{}, refuse(NotYet, "valid from %s", c.NotBefore.UTC().Format(time.RFC3339))
	case !l.Now.Before(c.NotAfter):
		return Order{}, refuse(Expired, "was valid until %s", c.NotAfter.UTC().Format(time.RFC3339))
	case c.NotBefore.Before(l.Since):
		return Order{}, refuse(TooOld, "made before the booth's journal began at %s", l.Since.UTC().Format(time.RFC3339))
	case l.Seen:
		return Order{}, refuse(Replayed, "taken before")
	case !slices.Contains(Names(), c.Name):
		return Order{}, refuse(Unknown, "there are %s", strings.Join(Names(), ", "))
	case !slices.Contains(l.Allow, c.Name):
		return Order{}, refuse(NotAllowed, "commands.allow at the booth does not name it")
	}
	switch c.Name {
	case OutboxResend:
		return resend(c, l)
	case LaneMode:
		return lane(c, l)
	}
	if err := arguments(c, &struct{}{}); err != nil {
		return Order{}, err
	}
	return Order{Name: c.Name}, nil
}

// arguments decodes what stands in args; what is not known there is refused.
func arguments(c Signed, into any) error {
	if err := json.Unmarshal(c.Args, into, json.RejectUnknownMembers(true)); err != nil {
		return refuse(BadArgs, "args are not those of %s", c.Name)
	}
	return nil
}

func resend(c Signed, l Local) (Order, error) {
	var args struct {
		From uint64 `json:"from"`
		To   uint64 `json:"to"`
	}
	if err := arguments(c, &args); err != nil {
		return Order{}, err
	}
	switch {
	case args.From == 0 && args.To == 0:
	case args.From == 0 || args.From > args.To || args.To > l.Last:
		return Order{}, refuse(BadArgs, "events %d to %d are not among 1 to %d", args.From, args.To, l.Last)
	case args.To-args.From >= MaxResend:
		return Order{}, refuse(BadArgs, "more than %d events", MaxResend)
	}
	return Order{Name: c.Name, From: args.From, To: args.To}, nil
}

// lane lets a lane become slower only: of the types that its technician lets
// the officer choose, one that expedites nobody.
func lane(c Signed, l Local) (Order, error) {
	var args struct {
		Type passage.LaneType `json:"type"`
	}
	if err := arguments(c, &args); err != nil {
		return Order{}, err
	}
	switch {
	case !slices.Contains(l.Lanes, args.Type):
		return Order{}, refuse(BadArgs, "lane.others at the booth does not name that type")
	case args.Type != passage.Ready && args.Type != passage.General:
		return Order{}, refuse(Faster, "a lane of type %s expedites; that is for the officer to choose", args.Type)
	}
	return Order{Name: c.Name, Lane: args.Type}, nil
}
