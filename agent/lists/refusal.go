package lists

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
)

// Why is the kind of a refusal, for list.failed and the operator.
type Why string

// Every Why.
const (
	Unavailable Why = "unavailable" // not all there, or not readable; nobody is to blame
	Store       Why = "store"       // this booth could not write
	Unsigned    Why = "unsigned"    // too few good signatures
	Rollback    Why = "rollback"    // older than what was trusted before
	Expired     Why = "expired"     // past its time: frozen, or the clock is wrong
	Mixed       Why = "mixed"       // parts of different publications
	Malformed   Why = "malformed"   // no metadata, or not strictly
	Oversize    Why = "oversize"    // longer than signed, or than this booth takes
	Shrunk      Why = "shrunk"      // smaller than a change by hand explains
	Relabelled  Why = "relabelled"  // a file that is not what its name says
	Tampered    Why = "tampered"    // content is not what was signed
	NoKey       Why = "key"         // under a token key that this booth does not have
	Missing     Why = "missing"     // a kind in force is named no more
	Internal    Why = "internal"    // a fault of this program
)

// Refusal says why a source, or one list in it, was not taken.
type Refusal struct {
	Why        Why
	Kind       string                // "" if the metadata itself was refused
	Generation uint64                // the one refused; 0 if not known
	File       string                // name in the folder targets; "" if no one file is at fault
	Bytes      int64                 // its length as signed
	Parts      []contract.PartDigest // what it is made of, as signed; nil if it does not travel over MQTT
	Err        error
}

func (r *Refusal) Error() string {
	if r.Kind == "" {
		return fmt.Sprintf("lists refused (%s): %v", r.Why, r.Err)
	}
	return fmt.Sprintf("list %s-%d refused (%s): %v", r.Kind, r.Generation, r.Why, r.Err)
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Rejected reports whether it is to be told as reason 205: something arrived
// and was bad. What did not arrive, or could not be stored, is not that.
func (r *Refusal) Rejected() bool { return r.Why != Unavailable && r.Why != Store }

func unavailable(err error) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && r.Why == Unavailable
}

// refuse classes an error of the metadata chain.
func refuse(what string, err error) error {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	why := Malformed
	var notSigned *metadata.ErrUnsignedMetadata
	var badVersion *metadata.ErrBadVersionNumber
	var expired *metadata.ErrExpiredMetadata
	var length *metadata.ErrLengthOrHashMismatch
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = Unavailable
	case errors.As(err, &notSigned):
		why = Unsigned
	case errors.As(err, &badVersion) && (what == snapshotFile || what == targetsFile):
		why = Mixed
	case errors.As(err, &badVersion):
		why = Rollback
	case errors.As(err, &expired):
		why = Expired
	case errors.As(err, &length):
		why = Mixed
	}
	return &Refusal{Why: why, Err: fmt.Errorf("%s: %w", what, err)}
}
