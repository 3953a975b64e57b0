package passage

import "strconv"

// Code is a reason code. Codes are append-only: never renumbered, never reused.
// Source: domain reference, section 7.3.
type Code uint16

// Every reason, once.
const (
	Eligible                Code = 100
	StandardLane            Code = 101
	ReadyAllRFID            Code = 102
	LaneClosed              Code = 200
	LaneConfigInvalid       Code = 201
	ClockUntrusted          Code = 202
	ListMissing             Code = 203
	ListStale               Code = 204
	ListRejected            Code = 205
	StoreFault              Code = 206
	ReaderFault             Code = 207
	LPRFault                Code = 208
	PresenceFault           Code = 209
	DecisionTimeout         Code = 210
	ListAging               Code = 211
	SignalFault             Code = 212
	PassageAmbiguous        Code = 213
	KeyUnavailable          Code = 214
	LookoutStop             Code = 300
	LookoutRefer            Code = 301
	LookoutObserve          Code = 302
	LookoutPossible         Code = 303
	NoCard                  Code = 400
	CardUnreadable          Code = 401
	CardUnknown             Code = 402
	CardWrongProgram        Code = 403
	CardExpired             Code = 404
	MembershipExpired       Code = 405
	MembershipSuspended     Code = 406
	MembershipRevoked       Code = 407
	CardLostStolen          Code = 408
	CardSuperseded          Code = 409
	NotYetValid             Code = 410
	CardTIDMismatch         Code = 411
	CardTIDAbsent           Code = 412
	CardDuplicateRecent     Code = 413
	CardDuplicateConcurrent Code = 414
	MRZCheckFailed          Code = 415
	MRZRFIDMismatch         Code = 416
	OccupantsUnconfirmed    Code = 500
	OccupantWithoutCard     Code = 501
	CardsExceedOccupants    Code = 502
	CapacityExceeded        Code = 503
	PlateMissing            Code = 600
	PlateUncertain          Code = 601
	PlateFrontRearDiffer    Code = 602
	PlateNotLinked          Code = 603
	VehicleClassWrong       Code = 604
	TrailerPlateMissing     Code = 605
	CarrierUnknown          Code = 700
	CarrierNotApproved      Code = 701
	ImporterNotApproved     Code = 702
	ImporterIDInvalid       Code = 703
	CCNInvalid              Code = 704
	TripNotFound            Code = 705
	TripIneligible          Code = 706
	CarrierMismatch         Code = 707
	MixedLoad               Code = 708
	PortNotParticipating    Code = 709
	GoodsNotEligible        Code = 710
	EmptyNotAllowed         Code = 711
	ContainerIDInvalid      Code = 800
	ContainerHold           Code = 801
	ContainerNotManifested  Code = 802
	SizeTypeMismatch        Code = 803
	SealMissing             Code = 804
	SealMismatch            Code = 805
	SealClassLow            Code = 806
	NotPrescreened          Code = 807
	BioNoMatch              Code = 850
	BioUnavailable          Code = 851
	BioNotEnrolled          Code = 852
	BioUnbound              Code = 853
	PartyIncomplete         Code = 854
	DeclarationToMake       Code = 855
	SessionTimeout          Code = 856
	RandomCompliance        Code = 900
	OfficerRefer            Code = 901
	OfficerRelease          Code = 902
	OfficerOverride         Code = 903
	DeclarationPresent      Code = 904
	CommercialGoods         Code = 905
)

// reasons holds name and words of every code, in order of number.
var reasons = [...]struct {
	code  Code
	name  string
	words string
}{
	{Eligible, "ELIGIBLE", "every condition of the lane is met"},
	{StandardLane, "STANDARD_LANE", "this lane never expedites"},
	{ReadyAllRFID, "READY_ALL_RFID", "every occupant has a readable RFID document"},
	{LaneClosed, "LANE_CLOSED", "the lane is closed"},
	{LaneConfigInvalid, "LANE_CONFIG_INVALID", "lane type, direction or port is missing or contradictory"},
	{ClockUntrusted, "CLOCK_UNTRUSTED", "the clock cannot be trusted"},
	{ListMissing, "LIST_MISSING", "a list that the lane needs has never been received"},
	{ListStale, "LIST_STALE", "a list is older than its hard limit"},
	{ListRejected, "LIST_REJECTED", "the newest list was refused; the one before it is in force"},
	{StoreFault, "STORE_FAULT", "the local store does not answer, or the record was not safe in time"},
	{ReaderFault, "READER_FAULT", "the card reader is offline"},
	{LPRFault, "LPR_FAULT", "the plate reader is offline"},
	{PresenceFault, "PRESENCE_FAULT", "a loop is stuck, missing or out of order"},
	{DecisionTimeout, "DECISION_TIMEOUT", "the decision was late, or met something it does not know"},
	{ListAging, "LIST_AGING", "a list is older than its soft limit"},
	{SignalFault, "SIGNAL_FAULT", "a lamp does not show what it was told"},
	{PassageAmbiguous, "PASSAGE_AMBIGUOUS", "reads cannot be attributed to one vehicle"},
	{KeyUnavailable, "KEY_UNAVAILABLE", "the token key is not loaded, look-ups are impossible"},
	{LookoutStop, "LOOKOUT_STOP", "a lookout asks to stop"},
	{LookoutRefer, "LOOKOUT_REFER", "a lookout asks to refer"},
	{LookoutObserve, "LOOKOUT_OBSERVE", "a lookout asks to report"},
	{LookoutPossible, "LOOKOUT_POSSIBLE", "an uncertain reading matches a lookout"},
	{NoCard, "NO_CARD", "no card was presented"},
	{CardUnreadable, "CARD_UNREADABLE", "a card was seen and could not be read"},
	{CardUnknown, "CARD_UNKNOWN", "a card is in no list"},
	{CardWrongProgram, "CARD_WRONG_PROGRAM", "a card's programme is not accepted in this lane and direction"},
	{CardExpired, "CARD_EXPIRED", "a card is past its date"},
	{MembershipExpired, "MEMBERSHIP_EXPIRED", "a membership has expired"},
	{MembershipSuspended, "MEMBERSHIP_SUSPENDED", "a membership is suspended"},
	{MembershipRevoked, "MEMBERSHIP_REVOKED", "a membership is revoked"},
	{CardLostStolen, "CARD_LOST_STOLEN", "a card is reported lost or stolen"},
	{CardSuperseded, "CARD_SUPERSEDED", "a card has been replaced by a newer one"},
	{NotYetValid, "NOT_YET_VALID", "a membership is not valid yet"},
	{CardTIDMismatch, "CARD_TID_MISMATCH", "a card's chip is not the one enrolled"},
	{CardTIDAbsent, "CARD_TID_ABSENT", "a card's chip is not enrolled or was not read"},
	{CardDuplicateRecent, "CARD_DUPLICATE_RECENT", "the same card passed here minutes ago"},
	{CardDuplicateConcurrent, "CARD_DUPLICATE_CONCURRENT", "the same card is in two lanes at once"},
	{MRZCheckFailed, "MRZ_CHECK_FAILED", "a document's check digit is wrong"},
	{MRZRFIDMismatch, "MRZ_RFID_MISMATCH", "document and chip point to different cards"},
	{OccupantsUnconfirmed, "OCCUPANTS_UNCONFIRMED", "occupants are not counted yet"},
	{OccupantWithoutCard, "OCCUPANT_WITHOUT_CARD", "fewer good cards than occupants"},
	{CardsExceedOccupants, "CARDS_EXCEED_OCCUPANTS", "more cards than occupants"},
	{CapacityExceeded, "CAPACITY_EXCEEDED", "more cards than the reader can tell apart"},
	{PlateMissing, "PLATE_MISSING", "no plate was read or keyed"},
	{PlateUncertain, "PLATE_UNCERTAIN", "the plate reading is uncertain"},
	{PlateFrontRearDiffer, "PLATE_FRONT_REAR_DIFFER", "front and rear plates differ"},
	{PlateNotLinked, "PLATE_NOT_LINKED", "another vehicle is on file"},
	{VehicleClassWrong, "VEHICLE_CLASS_WRONG", "this class of vehicle does not belong in this lane"},
	{TrailerPlateMissing, "TRAILER_PLATE_MISSING", "the trailer's plate was not read"},
	{CarrierUnknown, "CARRIER_UNKNOWN", "the carrier code is unknown or malformed"},
	{CarrierNotApproved, "CARRIER_NOT_APPROVED", "the carrier is not approved here"},
	{ImporterNotApproved, "IMPORTER_NOT_APPROVED", "the importer is not approved here"},
	{ImporterIDInvalid, "IMPORTER_ID_INVALID", "the importer's number is malformed"},
	{CCNInvalid, "CCN_INVALID", "a cargo control number is missing or malformed"},
	{TripNotFound, "TRIP_NOT_FOUND", "there is no pre-arrival record"},
	{TripIneligible, "TRIP_INELIGIBLE", "a shipment is not eligible for FAST"},
	{CarrierMismatch, "CARRIER_MISMATCH", "cargo number, carrier document and trip disagree"},
	{MixedLoad, "MIXED_LOAD", "one shipment fails, others pass"},
	{PortNotParticipating, "PORT_NOT_PARTICIPATING", "this port is not enabled for FAST"},
	{GoodsNotEligible, "GOODS_NOT_ELIGIBLE", "the goods are not eligible"},
	{EmptyNotAllowed, "EMPTY_NOT_ALLOWED", "empty trucks are not expedited here"},
	{ContainerIDInvalid, "CONTAINER_ID_INVALID", "a container number is malformed"},
	{ContainerHold, "CONTAINER_HOLD", "a container is on hold"},
	{ContainerNotManifested, "CONTAINER_NOT_MANIFESTED", "the container is not the trip's"},
	{SizeTypeMismatch, "SIZE_TYPE_MISMATCH", "the container's size or type differs"},
	{SealMissing, "SEAL_MISSING", "a seal is required and none was entered"},
	{SealMismatch, "SEAL_MISMATCH", "the seal differs from the record"},
	{SealClassLow, "SEAL_CLASS_LOW", "the seal's class is too low"},
	{NotPrescreened, "NOT_PRESCREENED", "the container was not screened before arrival"},
	{BioNoMatch, "BIO_NO_MATCH", "the traveller does not match the reference"},
	{BioUnavailable, "BIO_UNAVAILABLE", "no biometric verdict came in time"},
	{BioNotEnrolled, "BIO_NOT_ENROLLED", "there is no biometric reference"},
	{BioUnbound, "BIO_UNBOUND", "the biometric verdict belongs to another session"},
	{PartyIncomplete, "PARTY_INCOMPLETE", "not everyone of the party has a good session"},
	{DeclarationToMake, "DECLARATION_TO_MAKE", "the traveller has something to declare"},
	{SessionTimeout, "SESSION_TIMEOUT", "the session was abandoned"},
	{RandomCompliance, "RANDOM_COMPLIANCE", "drawn at random"},
	{OfficerRefer, "OFFICER_REFER", "the officer referred"},
	{OfficerRelease, "OFFICER_RELEASE", "the officer released"},
	{OfficerOverride, "OFFICER_OVERRIDE", "the officer released against the advice, by a second press"},
	{DeclarationPresent, "DECLARATION_PRESENT", "there are goods to declare"},
	{CommercialGoods, "COMMERCIAL_GOODS", "there are commercial goods on board"},
}

// Name gives the code's name, such as "ELIGIBLE"; a number if it is unknown.
func (c Code) Name() string {
	for _, r := range reasons {
		if r.code == c {
			return r.name
		}
	}
	return strconv.Itoa(int(c))
}

// Words says the reason to a person, in a few words without a full stop.
func (c Code) Words() string {
	for _, r := range reasons {
		if r.code == c {
			return r.words
		}
	}
	return "unknown reason " + strconv.Itoa(int(c))
}

// Family is what a reason speaks of: which part of the booth, the vehicle or
// the people a technician or officer must look at.
type Family string

// Families, one for each block of numbers in the table.
const (
	FamilyLane      Family = "lane"      // 100: nothing is wrong
	FamilySystem    Family = "system"    // 200: the booth itself
	FamilyLookout   Family = "lookout"   // 300: never on a shared display
	FamilyCard      Family = "card"      // 400
	FamilyPeople    Family = "people"    // 500
	FamilyVehicle   Family = "vehicle"   // 600
	FamilyTrade     Family = "trade"     // 700: carrier, importer, trip
	FamilyContainer Family = "container" // 800
	FamilySession   Family = "session"   // 850: kiosk and biometric verdict
	FamilyOfficer   Family = "officer"   // 900: draw and buttons
)

// Family gives the code's family by its block of numbers; "" if it is unknown.
func (c Code) Family() Family {
	switch {
	case !c.known():
		return ""
	case c >= BioNoMatch && c < RandomCompliance:
		return FamilySession
	}
	return [...]Family{FamilyLane, FamilySystem, FamilyLookout, FamilyCard, FamilyPeople,
		FamilyVehicle, FamilyTrade, FamilyContainer, FamilyOfficer}[c/100-1]
}

func (c Code) known() bool {
	for _, r := range reasons {
		if r.code == c {
			return true
		}
	}
	return false
}

// Codes lists every code in order of number.
func Codes() []Code {
	all := make([]Code, len(reasons))
	for i, r := range reasons {
		all[i] = r.code
	}
	return all
}
