package configs

import (
	"fmt"
	"strings"
)

// choose takes one of the allowed words, or says which there are.
func choose[T ~string](dst *T, text []byte, allowed ...T) error {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		if string(a) == string(text) {
			*dst = a
			return nil
		}
		words[i] = string(a)
	}
	return &valueError{
		msg:  fmt.Sprintf("%s is not one of %s", quoted(string(text)), listed(words)),
		hint: didYouMean(string(text), words),
	}
}

// listed gives `"a", "b"`.
func listed(words []string) string {
	return `"` + strings.Join(words, `", "`) + `"`
}

// quoted quotes a value for a message, the first 40 characters of it.
func quoted(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return fmt.Sprintf("%q", s)
}

// Direction of the traffic.
type Direction string

// Directions: whose rules apply (domain reference, head).
const (
	ToCanada Direction = "CA"
	ToUS     Direction = "US"
)

// UnmarshalText takes "CA" or "US".
func (d *Direction) UnmarshalText(b []byte) error { return choose(d, b, ToCanada, ToUS) }

// LaneType is the kind of lane.
type LaneType string

// Lane types.
const (
	NEXUS    LaneType = "nexus"
	FAST     LaneType = "fast"
	NEXUSAir LaneType = "nexus-air"
	Ready    LaneType = "ready"
	General  LaneType = "general"
)

// UnmarshalText takes a lane type.
func (t *LaneType) UnmarshalText(b []byte) error {
	return choose(t, b, NEXUS, FAST, NEXUSAir, Ready, General)
}

// LightMode is what the traveller's light may tell.
type LightMode string

// Light modes: Staffed keeps the traveller at red until the officer acts, Auto
// (kiosk, eGate) maps the outcome to the light without a reason.
const (
	Staffed LightMode = "staffed"
	Auto    LightMode = "auto"
)

// UnmarshalText takes "staffed" or "auto".
func (m *LightMode) UnmarshalText(b []byte) error { return choose(m, b, Staffed, Auto) }

// Program is a trusted-traveller programme.
type Program string

// Programmes (domain reference, sections 1 to 3).
const (
	ProgramNEXUS       Program = "NEXUS"
	ProgramSENTRI      Program = "SENTRI"
	ProgramGlobalEntry Program = "GLOBAL_ENTRY"
	ProgramFAST        Program = "FAST"
	ProgramCDRP        Program = "CDRP"
)

// UnmarshalText takes a programme.
func (p *Program) UnmarshalText(b []byte) error {
	return choose(p, b, ProgramNEXUS, ProgramSENTRI, ProgramGlobalEntry, ProgramFAST, ProgramCDRP)
}

// FASTPolicy is what a carrier or importer must be (domain reference, section 3).
type FASTPolicy string

// FAST policies.
const (
	CSAAndPIP FASTPolicy = "CSA_AND_PIP"
	PIPOrBoth FASTPolicy = "PIP_OR_BOTH"
	CTPAT     FASTPolicy = "CTPAT"
)

// UnmarshalText takes a FAST policy.
func (p *FASTPolicy) UnmarshalText(b []byte) error { return choose(p, b, CSAAndPIP, PIPOrBoth, CTPAT) }

// Suffix is what a scanner sends after a bar code.
type Suffix string

// Suffixes; with "none" only silence ends a scan.
const (
	SuffixCR   Suffix = "cr"
	SuffixCRLF Suffix = "crlf"
	SuffixLF   Suffix = "lf"
	SuffixETX  Suffix = "etx"
	SuffixNone Suffix = "none"
)

// UnmarshalText takes a suffix.
func (s *Suffix) UnmarshalText(b []byte) error {
	return choose(s, b, SuffixCR, SuffixCRLF, SuffixLF, SuffixETX, SuffixNone)
}

// Language is what a printer understands.
type Language string

// Languages.
const (
	ESCPOS Language = "escpos"
	Plain  Language = "plain"
)

// UnmarshalText takes a language.
func (l *Language) UnmarshalText(b []byte) error { return choose(l, b, ESCPOS, Plain) }

// AckMode says what counts as delivered.
type AckMode string

// Ack modes (mqtt contract, section 5): headquarters' receipt, or only the
// broker's PUBACK, where no headquarters' receiver exists.
const (
	AckReceipt AckMode = "receipt"
	AckPuback  AckMode = "puback"
)

// UnmarshalText takes "receipt" or "puback".
func (m *AckMode) UnmarshalText(b []byte) error { return choose(m, b, AckReceipt, AckPuback) }

// Role is what a device is for.
type Role string

// Roles, in the words of package devices.
const (
	RoleCard       Role = "card"
	RolePlateFront Role = "plate.front"
	RolePlateRear  Role = "plate.rear"
	RoleDocument   Role = "document"
	RoleScan       Role = "scan" // bar codes of carrier, importer, cargo, trip and container
	RoleSeal       Role = "seal" // bar codes of seals alone
	RoleKeypad     Role = "keypad"
	RoleReceipt    Role = "receipt"
)

// UnmarshalText takes a role.
func (r *Role) UnmarshalText(b []byte) error {
	return choose(r, b, RoleCard, RolePlateFront, RolePlateRear, RoleDocument, RoleScan, RoleSeal, RoleKeypad, RoleReceipt)
}

// StricterReasons are the reasons that policy.primary_on and refer_on may name:
// all of the domain's but the good ones, lookouts', the draw's and the officer's.
var StricterReasons = []int{
	200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213, 214, 400, 401, 402, 403, 404, 405, 406, 407, 408,
	409, 410, 411, 412, 413, 414, 415, 416, 500, 501, 502, 503, 600, 601, 602, 603, 604, 605, 700, 701, 702, 703, 704, 705,
	706, 707, 708, 709, 710, 711, 800, 801, 802, 803, 804, 805, 806, 807, 850, 851, 852, 853, 854, 855, 856,
}

// BoardProtocol is how a board of relays is spoken to.
type BoardProtocol string

// Protocols of boards (GPIO, relays and serial ports).
const (
	BoardModbus    BoardProtocol = "modbus"           // coils and discrete inputs
	BoardRegisters BoardProtocol = "modbus-registers" // relays are holding registers, inputs input registers
	BoardLCUS      BoardProtocol = "lcus"             // up to 8 relays, no answers
	BoardLCUSReply BoardProtocol = "lcus-answer"      // one that answers
	BoardLCUSText  BoardProtocol = "lcus-text"        // one that says in words how its relays stand
	BoardNumato    BoardProtocol = "numato"           // in words
)

// UnmarshalText takes a protocol.
func (p *BoardProtocol) UnmarshalText(b []byte) error {
	return choose(p, b, BoardModbus, BoardRegisters, BoardLCUS, BoardLCUSReply, BoardLCUSText, BoardNumato)
}

// AmtechMode is the protocol of an Amtech reader.
type AmtechMode string

// Modes of an Amtech reader (Amtech protocol, modes).
const (
	AmtechBasic   AmtechMode = "basic"
	AmtechInquiry AmtechMode = "inquiry" // the reader keeps its reports until it is asked
	AmtechECP     AmtechMode = "ecp"     // with check values and acknowledgements
)

// UnmarshalText takes a mode.
func (m *AmtechMode) UnmarshalText(b []byte) error {
	return choose(m, b, AmtechBasic, AmtechInquiry, AmtechECP)
}

// AmtechCRC is which check value an Amtech reader in mode ecp computes.
type AmtechCRC string

// Check values (Amtech protocol, error correcting protocol).
const (
	AmtechPublished AmtechCRC = "published"
	AmtechXModem    AmtechCRC = "xmodem"
)

// UnmarshalText takes a check value.
func (m *AmtechCRC) UnmarshalText(b []byte) error {
	return choose(m, b, AmtechPublished, AmtechXModem)
}

// CardFormat is a layout of a Wiegand card's bits.
type CardFormat string

// Formats of Wiegand cards (Wiegand, formats).
const (
	CardH10301 CardFormat = "h10301" // 26 bits, facility and card
	CardRaw26  CardFormat = "raw26"  // 26 bits, one number
	CardD10202 CardFormat = "d10202" // 33 bits
	CardH10306 CardFormat = "h10306" // 34 bits, also N10002
	CardC1k35s CardFormat = "c1k35s" // 35 bits, Corporate 1000
	CardH10302 CardFormat = "h10302" // 37 bits, one number
	CardH10304 CardFormat = "h10304" // 37 bits, facility and card
)

// cardBits are the formats and how many bits they have.
var cardBits = map[CardFormat]int{CardH10301: 26, CardRaw26: 26, CardD10202: 33, CardH10306: 34, CardC1k35s: 35, CardH10302: 37, CardH10304: 37}

// CardFormats lists every format.
func CardFormats() []CardFormat {
	return []CardFormat{CardH10301, CardRaw26, CardD10202, CardH10306, CardC1k35s, CardH10302, CardH10304}
}

// UnmarshalText takes a format.
func (f *CardFormat) UnmarshalText(b []byte) error { return choose(f, b, CardFormats()...) }

// Region is a radio region of a UHF reader, by the reader's own names.
type Region string

// Regions lawful in Canada and the United States; the M6e Nano takes NA2 or
// NA3, never NA (Mercury serial protocol, regions).
const (
	RegionNA  Region = "na"
	RegionNA2 Region = "na2"
	RegionNA3 Region = "na3"
)

// UnmarshalText takes a region.
func (r *Region) UnmarshalText(b []byte) error { return choose(r, b, RegionNA, RegionNA2, RegionNA3) }

// Checksum is how a report is protected.
type Checksum string

// Checksums (licence plate readers, section 1); hex forms are two or four digits.
const (
	ChecksumNone   Checksum = "none"
	ChecksumXOR    Checksum = "xor"
	ChecksumXORHex Checksum = "xor-hex"
	ChecksumSum    Checksum = "sum-hex"
	ChecksumTwos   Checksum = "twos-hex"
	ChecksumIBM    Checksum = "crc16-ibm"
	ChecksumCCITT  Checksum = "crc16-ccitt-false"
	ChecksumXModem Checksum = "crc16-xmodem"
)

// UnmarshalText takes a checksum.
func (c *Checksum) UnmarshalText(b []byte) error {
	return choose(c, b, ChecksumNone, ChecksumXOR, ChecksumXORHex, ChecksumSum, ChecksumTwos,
		ChecksumIBM, ChecksumCCITT, ChecksumXModem)
}

// Charset is how a report's bytes are letters.
type Charset string

// Charsets.
const (
	CharsetASCII  Charset = "ascii"
	CharsetLatin1 Charset = "latin-1"
	CharsetUTF8   Charset = "utf-8"
)

// UnmarshalText takes a charset.
func (c *Charset) UnmarshalText(b []byte) error {
	return choose(c, b, CharsetASCII, CharsetLatin1, CharsetUTF8)
}

// ClockSource is who judges the wall clock.
type ClockSource string

// Clock sources: the kernel's own discipline (adjtimex), or the host that a
// container or virtual machine runs on, which is then trusted.
const (
	ClockKernel ClockSource = "kernel"
	ClockHost   ClockSource = "host"
)

// UnmarshalText takes "kernel" or "host".
func (s *ClockSource) UnmarshalText(b []byte) error { return choose(s, b, ClockKernel, ClockHost) }
