package contract

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"boothd/agent/passage"
)

// List kinds a booth may hold. A kind fixes what the token of a row is of and
// what its value means; a new kind is added here and in CheckListRow.
const (
	ListMembers = "members" // token of the membership number -> MemberRow
	ListCards   = "cards"   // token of the card's number (EPC) -> CardRow
	// ListVehicles: token of the membership number -> VehicleRow of every
	// vehicle on file. Carriers have fleets: token of carrier and plate
	// (token.Tractor), once with and once without jurisdiction -> VehicleRow of
	// that tractor alone.
	ListVehicles   = "vehicles"
	ListLookouts   = "lookouts"   // token of the subject -> LookoutRow
	ListDocuments  = "documents"  // token of issuer and number -> DocumentRow
	ListCarriers   = "carriers"   // token of the carrier code -> TraderRow
	ListImporters  = "importers"  // token of the business number -> TraderRow
	ListTrips      = "trips"      // token of a trip's or cargo control number -> TripRow
	ListContainers = "containers" // token of the container's number -> ContainerRow
)

// ListKinds gives every kind, in the order in which they are told.
func ListKinds() []string {
	return []string{ListMembers, ListCards, ListDocuments, ListVehicles, ListLookouts, ListCarriers, ListImporters, ListTrips, ListContainers}
}

// Limits of a row, in bytes and items.
const (
	MaxListValue  = 4096 // one value; 16 lookouts of full length need 3.0 KB
	maxVehicles   = 8    // per member; SENTRI enrols up to 4 (domain reference 2)
	maxLookouts   = 16   // in force on one subject
	maxLookoutID  = 40
	maxAgency     = 16
	maxRegion     = 32
	maxReasonCode = 32
	maxCaveat     = 32
)

// rowVersion is the first byte of every value.
const rowVersion = 1

// ErrListRow says that a row's value is not what its kind lays down. The
// whole list is refused: a row half understood could expedite the wrong car.
var ErrListRow = errors.New("list row breaks the format")

// CheckListRow says whether value is a whole, canonical row of that kind.
func CheckListRow(kind string, value []byte) error {
	var err error
	switch kind {
	case ListMembers:
		_, err = ParseMemberRow(value)
	case ListCards:
		_, err = ParseCardRow(value)
	case ListVehicles:
		_, err = ParseVehicleRow(value)
	case ListLookouts:
		_, err = ParseLookoutRow(value)
	case ListDocuments:
		_, err = ParseDocumentRow(value)
	case ListCarriers, ListImporters:
		_, err = ParseTraderRow(value)
	case ListTrips:
		_, err = ParseTripRow(value)
	case ListContainers:
		_, err = ParseContainerRow(value)
	default:
		err = fmt.Errorf("%w: unknown kind %q", ErrListRow, kind)
	}
	return err
}

// TokenBytes is a token as list files and stores keep it. The none token and
// anything but 32 lower-case hex digits are refused.
func TokenBytes(t passage.Token) (b [16]byte, err error) {
	if len(t) != 2*len(b) {
		return b, fmt.Errorf("token of %d digits, want %d", len(t), 2*len(b))
	}
	if _, err := hex.Decode(b[:], []byte(t)); err != nil || TokenHex(b) != t {
		return b, errors.New("token is not lower-case hex")
	}
	return b, nil
}

// TokenHex is the inverse of TokenBytes.
func TokenHex(b [16]byte) passage.Token { return passage.Token(hex.EncodeToString(b[:])) }

// build appends the parts of one value; the first fault stays.
type build struct {
	b   []byte
	err error
}

func newBuild() *build { return &build{b: []byte{rowVersion}} }

func (w *build) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: "+format, append([]any{ErrListRow}, args...)...)
	}
}

func (w *build) byte(b byte) { w.b = append(w.b, b) }

func (w *build) token(what string, t passage.Token) {
	b, err := TokenBytes(t)
	if err != nil {
		w.fail("%s: %v", what, err)
	}
	w.b = append(w.b, b[:]...)
}

// time writes whole seconds since 1970 in 32 bits (until 2106); a fraction is
// cut, which ends a validity earlier, never later.
func (w *build) time(what string, t time.Time) {
	s := t.Unix()
	if s < 1 || s > 1<<32-1 {
		w.fail("%s is outside 1970 to 2106", what)
		s = 0
	}
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(s))
}

func (w *build) text(what, s string, most int) {
	if len(s) > most || !printable(s) {
		w.fail("%s: want at most %d printable ASCII characters", what, most)
		s = ""
	}
	w.b = append(append(w.b, byte(len(s))), s...)
}

func (w *build) done() ([]byte, error) {
	if w.err == nil && len(w.b) > MaxListValue {
		w.fail("%d bytes, at most %d", len(w.b), MaxListValue)
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.b, nil
}

// cut takes a value apart; the first fault stays and every later part is zero.
type cut struct {
	b   []byte
	err error
}

func newCut(value []byte) *cut {
	r := &cut{b: value}
	if len(value) > MaxListValue {
		r.fail("%d bytes, at most %d", len(value), MaxListValue)
	}
	if v := r.byte(); v != rowVersion {
		r.fail("version %d, this program knows %d", v, rowVersion)
	}
	return r
}

func (r *cut) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrListRow}, args...)...)
		r.b = nil
	}
}

func (r *cut) take(n int) []byte {
	if r.err != nil || len(r.b) < n {
		r.fail("cut short")
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *cut) byte() byte           { return r.take(1)[0] }
func (r *cut) token() passage.Token { return TokenHex([16]byte(r.take(16))) }

func (r *cut) time() time.Time {
	s := binary.BigEndian.Uint32(r.take(4))
	if s == 0 {
		r.fail("a time of zero")
	}
	return time.Unix(int64(s), 0).UTC()
}

func (r *cut) text(most int) string {
	n := int(r.byte())
	if n > most {
		r.fail("text of %d characters, at most %d", n, most)
		return ""
	}
	s := string(r.take(n))
	if r.err == nil && !printable(s) {
		r.fail("text is not printable ASCII")
	}
	return s
}

// flags refuses bits nobody has laid down, so that they stay free for use.
func (r *cut) flags(known byte) byte {
	f := r.byte()
	if f&^known != 0 {
		r.fail("unknown flags %#x", f&^known)
	}
	return f
}

// done says whether the value was taken apart whole.
func (r *cut) done() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes left over", len(r.b))
	}
	return r.err
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func bitIf(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}
