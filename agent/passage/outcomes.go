package passage

// Columns of the decision table, one for each kind of lane.
const (
	inNEXUS = iota
	inFAST
	inAir
	inGeneral
	noColumn
)

func columnOf(lane LaneType) int {
	switch lane {
	case NEXUS:
		return inNEXUS
	case FAST:
		return inFAST
	case NEXUSAir:
		return inAir
	case Ready, General:
		return inGeneral
	}
	return noColumn
}

// outcomes is the decision table: what each reason comes to in a NEXUS lane, a
// FAST lane, at a NEXUS-Air kiosk and in a general or Ready lane.
//
//	E expedite  P primary  R refer  H hold  i informational  - cannot occur
//
// Source: domain reference, 7.3.
var outcomes = map[Code]string{
	Eligible: "EEE-", StandardLane: "---P", ReadyAllRFID: "---i",

	LaneClosed: "HHHH", LaneConfigInvalid: "HHHH", ClockUntrusted: "PPPP", ListMissing: "PPPi", ListStale: "PPPi",
	ListRejected: "iiii", StoreFault: "PPPP", ReaderFault: "PPPi", LPRFault: "PP-i", PresenceFault: "PPPi",
	DecisionTimeout: "PPPP", ListAging: "iiii", SignalFault: "PPPP", PassageAmbiguous: "PPPi", KeyUnavailable: "PPPP",

	LookoutStop: "RRRR", LookoutRefer: "RRRR", LookoutObserve: "iiii", LookoutPossible: "PP-P",

	NoCard: "PPPi", CardUnreadable: "PPPi", CardUnknown: "PPPi", CardWrongProgram: "PPPi", CardExpired: "PPPi",
	MembershipExpired: "PPPi", MembershipSuspended: "RRRR", MembershipRevoked: "RRRR", CardLostStolen: "RRRR",
	CardSuperseded: "PPPi", NotYetValid: "PPPi", CardTIDMismatch: "RRRR", CardTIDAbsent: "iiii",
	CardDuplicateRecent: "RRRR", CardDuplicateConcurrent: "RRRR", MRZCheckFailed: "PPPi", MRZRFIDMismatch: "RRRR",

	OccupantsUnconfirmed: "PPP-", OccupantWithoutCard: "PPP-", CardsExceedOccupants: "PPP-", CapacityExceeded: "PPPi",

	PlateMissing: "PP-i", PlateUncertain: "PP-i", PlateFrontRearDiffer: "P--P", PlateNotLinked: "iP--",
	VehicleClassWrong: "PP-i", TrailerPlateMissing: "-P-i",

	CarrierUnknown: "-P-i", CarrierNotApproved: "-P-i", ImporterNotApproved: "-P-i", ImporterIDInvalid: "-P-i",
	CCNInvalid: "-P-i", TripNotFound: "-P-i", TripIneligible: "-P-i", CarrierMismatch: "-P-i", MixedLoad: "-P-i",
	PortNotParticipating: "-P--", GoodsNotEligible: "-P-i", EmptyNotAllowed: "-P--",

	ContainerIDInvalid: "-P-P", ContainerHold: "-R-R", ContainerNotManifested: "-P-P", SizeTypeMismatch: "-P-i",
	SealMissing: "-P-i", SealMismatch: "-R-R", SealClassLow: "-P-i", NotPrescreened: "-P-i",

	BioNoMatch: "--R-", BioUnavailable: "--P-", BioNotEnrolled: "--P-", BioUnbound: "--P-", PartyIncomplete: "--P-",
	DeclarationToMake: "--P-", SessionTimeout: "--P-",

	RandomCompliance: "RRRR", OfficerRefer: "RRRR", OfficerRelease: "iiii", OfficerOverride: "iiii",
	DeclarationPresent: "PPPi", CommercialGoods: "P-Pi",
}

// outcomeOf reads the table. occurs is false where the table says that the
// reason cannot occur in such a lane.
func outcomeOf(code Code, column int) (o Outcome, occurs bool) {
	if column == noColumn {
		column = inNEXUS
	}
	switch outcomes[code][column] {
	case 'E', 'i':
		return Expedite, true
	case 'P':
		return Primary, true
	case 'R':
		return Refer, true
	case 'H':
		return Hold, true
	}
	return Primary, false
}
