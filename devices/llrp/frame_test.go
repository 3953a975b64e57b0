package llrp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

func unhexed(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// one gives the only message of some bytes.
func one(t testing.TB, b []byte) message {
	t.Helper()
	var s scanner
	s.feed(b)
	m, ok, err := s.next()
	if !ok || err != nil || s.partial() {
		t.Fatalf("%x: %t, %v, rest %t", b, ok, err, s.partial())
	}
	return m
}

// Derived in the page, and decoded there by Wireshark.
func TestCommandVectors(t *testing.T) {
	for _, tc := range []struct {
		name string
		typ  uint16
		id   uint32
		body []byte
		want string
	}{
		{"keep-alive of 10 s", msgSetConfig, 1, setKeepalive(10 * time.Second), "040300000014000000010000dc00090100002710"},
		{"delete all", msgDeleteROSpec, 3, deleteAll(), "04150000000e0000000300000000"},
		{"add", msgAddROSpec, 4, addROSpec(nil, nil), "0414000000500000000400b1004600000001000000b2001200b300050100b60009000000000000" +
			"b700180001000000b80009000000000000ba000700010100ed001202000100ee000b1e80015c0005c0"},
		{"enable", msgEnableROSpec, 5, u32(roSpec), "04180000000e0000000500000001"},
		{"close", msgClose, 9, nil, "040e0000000a00000009"},
		{"keep-alive acknowledged (golemu)", msgKeepaliveAck, 5, nil, "04480000000a00000005"},
	} {
		got := appendMessage(nil, tc.typ, tc.id, tc.body)
		if hex.EncodeToString(got) != tc.want {
			t.Errorf("%s: %x, want %s", tc.name, got, tc.want)
		}
		if m := one(t, got); m.typ != tc.typ || m.id != tc.id || !bytes.Equal(m.body, tc.body) {
			t.Errorf("%s is read back as %+v", tc.name, m)
		}
	}
}

// Published: sllurp's tests. The last is a capture of an Impinj reader.
func TestEventVectors(t *testing.T) {
	for _, tc := range []struct {
		wire string
		id   uint32
		want event
	}{
		{"043f000000200ab288c900f600160080000c0004f8535baadaff010000060000", 0x0AB288C9, event{utc: 1398936810740479}},
		{"043f000000200000000000f600160080000c0000000000000000010000060000", 0, event{}},
	} {
		m := one(t, unhexed(t, tc.wire))
		if e, err := readEvent(m.body); m.typ != msgEvent || m.id != tc.id || e != tc.want || err != nil {
			t.Errorf("%s is message %d, id %08X, %+v, %v", tc.wire, m.typ, m.id, e, err)
		}
	}
	want := event{utc: 1596721689842138, attempt: -1, closed: true}
	if e, err := readEvent(capture(t, "event-impinj.bin")); e != want || err != nil {
		t.Errorf("captured event: %+v, %v, want %+v", e, err, want)
	}
}

func capture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Other kinds of events, derived from the standard's layouts; Wireshark reads
// them so too (peer_test.go).
var derivedEvents = []struct {
	data string // of the ReaderEventNotificationData
	want event
}{
	{"0081000c00000000000f4240 010000060002", event{uptime: 1_000_000, attempt: 2}},
	{"0080000c0005ac35bd20d1da 00ff0007000003", event{utc: 1596721689842138, attempt: -1, antenna: 3}},
	{"0080000c0005ac35bd20d1da 00ff0007010003", event{utc: 1596721689842138, attempt: -1, antenna: 3, connected: true}},
	{"0080000c0005ac35bd20d1da 00fb0004", event{utc: 1596721689842138, attempt: -1, trouble: "report buffer overflow"}},
	{"0080000c0005ac35bd20d1da 00fc000b0005686f742e0a", event{utc: 1596721689842138, attempt: -1, trouble: `exception: hot.?`}},
	{"0080000c0005ac35bd20d1da 00f70008000a0001", event{utc: 1596721689842138, attempt: -1}}, // a hop
}

func TestDerivedEvents(t *testing.T) {
	for _, tc := range derivedEvents {
		if e, err := readEvent(tlv(nil, parEventData, unhexed(t, tc.data))); e != tc.want || err != nil {
			t.Errorf("%s is %+v, %v, want %+v", tc.data, e, err, tc.want)
		}
	}
}

// Published (sllurp; EdgeX, captured) and from a running golemu.
var reportVectors = []struct {
	name, wire string
	id         uint32
	want       []devices.Tag
	utc        uint64
	seen       int
	pc         uint16
}{
	{"sllurp", "043d0000002c4095892f00f000228d3005fb63ac1f3841ec88046781000186ce820004ec2ea8354c09880001", 0x4095892F,
		[]devices.Tag{{EPC: "3005FB63AC1F3841EC880467", Antenna: 1, RSSIDBm: -50}}, 1385585041558537, 1, 0},
	{"EdgeX 1", message61("00f0001f8d3000abcdef0000000000000381000186d0820005a9e4bef862e0"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF00000000000003", Antenna: 1, RSSIDBm: -48}}, 1594174805140192, 0, 0},
	{"EdgeX 2", message61("00f0001f8d3000abcdef0000000000000581000186d1820005a9e4bef876b4"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF00000000000005", Antenna: 1, RSSIDBm: -47}}, 1594174805145268, 0, 0},
	{"EdgeX 3", message61("00f0001f8d301430a55c0ac3000000000981000186ca820005a9e4bef88110"), 1,
		[]devices.Tag{{EPC: "301430A55C0AC30000000009", Antenna: 1, RSSIDBm: -54}}, 1594174805147920, 0, 0},
	{"golemu", "043d000000320000000200f000148d307227627f2ea48000001c6a8c300000f000148d3074257bf7194e4000001a858c3000", 2,
		[]devices.Tag{{EPC: "307227627F2EA48000001C6A"}, {EPC: "3074257BF7194E4000001A85"}}, 0, 0, 0x3000},
	// Derived: EPCData of 96, 128, 12 and 0 bits.
	{"96 bits as EPCData", message61("00f0001900f100120060 3000abcdef00000000000003 810001"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF00000000000003", Antenna: 1}}, 0, 0, 0},
	{"128 bits", message61("00f0001a00f100160080 3000abcdef000000000000030a0b0c0d"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF000000000000030A0B0C0D"}}, 0, 0, 0},
	{"12 bits and 4 that fill", message61("00f0000c00f10008000c abcd"), 1, []devices.Tag{{EPC: "ABC0"}}, 0, 0, 0},
	{"a blank tag", message61("00f0000d00f100060000 8c0000"), 1, []devices.Tag{{Unreadable: true}}, 0, 0, 0},
	{"times since start", message61("00f000238d3000abcdef00000000000003 830000000000000001 850000000000000002"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF00000000000003"}}, 0, 0, 0},
	{"last seen before first seen", message61("00f000238d3000abcdef00000000000003 840000000000000009 820000000000000002"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF00000000000003"}}, 9, 0, 0},
	{"a maker's own parameter", message61("03ff000c0000000100000017 00f0001d8d3000abcdef00000000000003 03ff000c0000000100000039"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF00000000000003"}}, 0, 0, 0},
	{"a chip number", message61("00f000268d3000abcdef00000000000003 015d0015000001 0006 e28011602000000000000001"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF00000000000003", TID: "E28011602000000000000001"}}, 0, 0, 0},
	{"a chip number that could not be read", message61("00f0001a8d3000abcdef00000000000003 015d0009020001 0000"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF00000000000003"}}, 0, 0, 0},
	{"words of another's AccessSpec", message61("00f000218d3000abcdef00000000000003 015d000b00000200012e2e 810001 86ff"), 1,
		[]devices.Tag{{EPC: "3000ABCDEF00000000000003", Antenna: 1, RSSIDBm: -1}}, 0, 0, 0},
	{"nothing", message61(""), 1, nil, 0, 0, 0},
}

// message61 is a report with these parameters, in hex.
func message61(params string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(params, " ", ""))
	if err != nil {
		panic(params) // a mistake of the table
	}
	return hex.EncodeToString(appendMessage(nil, msgReport, 1, b))
}

func TestReportVectors(t *testing.T) {
	for _, tc := range reportVectors {
		m := one(t, unhexed(t, tc.wire))
		reports, err := all(m.body)
		if m.typ != msgReport || m.id != tc.id || err != nil || len(reports) != len(tc.want) {
			t.Errorf("%s: message %d, id %08X, %d tags, %v", tc.name, m.typ, m.id, len(reports), err)
			continue
		}
		for i, r := range reports {
			tc.want[i].Gen2 = true
			if tc.utc > 0 {
				tc.want[i].DeviceAt = time.UnixMicro(int64(tc.utc)).UTC()
			}
			if got := r.tag(); got != tc.want[i] || r.utc != tc.utc || r.seen != tc.seen || r.pc != tc.pc && len(r.epc) > 0 {
				t.Errorf("%s: tag %d is %s of antenna %d, %d dBm, TID %s, seen at %d %d times, PC %04X", tc.name, i, got.EPC.Reveal(), got.Antenna, got.RSSIDBm,
					got.TID.Reveal(), r.utc, r.seen, r.pc)
			}
		}
	}
}

// A tag whose PC says ISO has a number that is no EPC.
func TestISOTag(t *testing.T) {
	for pc, want := range map[uint16]bool{0x3000: false, 0x31A2: true, 0x30FF: false} {
		if got := (report{bits: 96, pc: pc}).tag(); !got.Gen2 || got.ISO != want {
			t.Errorf("PC %04X: ISO %t, want %t", pc, got.ISO, want)
		}
	}
}

// A clock that is off the calendar is none: its time could not be written down.
func TestClockOffTheCalendar(t *testing.T) {
	for utc, told := range map[uint64]bool{0: false, 1: true, utcMost: true, utcMost + 1: false, 1<<64 - 1: false} {
		at := report{bits: 96, utc: utc}.tag().DeviceAt
		if _, err := at.MarshalText(); err != nil || at.IsZero() == told {
			t.Errorf("%d us: %v, %v", utc, at, err)
		}
	}
}

// From running peers (golemu, EdgeX emulator) and EdgeX' test data.
func TestStatusVectors(t *testing.T) {
	for wire, want := range map[string]Status{
		"040d0000001200000001011f000800000000":                                                 {Message: 13},
		"04040000001200000004011f000800000000":                                                 {Message: 4},
		"04640000002a00000002011f0020007000186d657373616765207479706520756e737570706f72746564": {Message: 100, Code: 112, Text: "message type unsupported"},
	} {
		if got, err := readStatus(one(t, unhexed(t, wire))); got != want || err != nil {
			t.Errorf("%s: %+v, %v", wire, got, err)
		}
	}
	text := bytes.Repeat([]byte("no\t"), 100)
	long := message{typ: 34, body: tlv(nil, parStatus, u16(401, uint16(len(text))), text)}
	if s, err := readStatus(long); s.Code != 401 || s.Text != strings.Repeat("no?", textMost/3) || err != nil {
		t.Errorf("status in 300 characters: %+v, %v", s, err)
	}
	if m := one(t, unhexed(t, "043e0000000a00000005")); m.typ != msgKeepalive || m.id != 5 || len(m.body) != 0 {
		t.Errorf("keep-alive of golemu: %+v", m)
	}
}

func TestCapabilities(t *testing.T) {
	body := capture(t, "capabilities-impinj.bin")
	c, err := readCapabilities(body)
	if err != nil || c.antennas != 4 || len(c.powers) != 81 || c.powers[0] != (power{1, 1000}) || c.powers[80] != (power{81, 3000}) || !c.hops || c.hopTable != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if s, err := readStatus(message{typ: msgCapabilities, body: body}); s.Code != 0 || err != nil {
		t.Errorf("status %+v, %v", s, err)
	}
	mixed := capabilities{powers: []power{{1, 2000}, {2, 3000}, {3, 1000}}}
	if best, ok := mixed.transmit(2500); best.index != 1 || !ok {
		t.Errorf("of a table without order: step %d", best.index)
	}
	long, err := readCapabilities(tlv(nil, parRegulatory, make([]byte, 4), tlv(nil, parUHF, bytes.Repeat(tlv(nil, parPower, u16(1, 1000)), 1000))))
	if err != nil || len(long.powers) != powersMost {
		t.Errorf("of 1000 steps: %d, %v", len(long.powers), err)
	}
	for most, want := range map[int]uint16{3000: 81, 9999: 81, 2999: 80, 1000: 1, 1024: 1, 1025: 2, 999: 0} {
		if best, ok := c.transmit(most); best.index != want || ok != (want > 0) {
			t.Errorf("at most %d: step %d %t, want %d", most, best.index, ok, want)
		}
	}
}

// The page's table of failures, as far as the codec decides them; derived.
func TestFaults(t *testing.T) {
	good := unhexed(t, message61("00f000118d3000abcdef00000000000003"))
	for _, tc := range []struct {
		name, wire string
		want       error // ErrProtocol ends the connection, errMessage only this message
	}{
		{"length below the header", "043d0000000900000001", ErrProtocol},
		{"length over the limit", "043d0010000100000001", ErrProtocol},
		{"length with all bits", "043dffffffff00000001", ErrProtocol},
		{"reserved bits", "243d0000000a00000001", ErrProtocol},
		{"version 0", "003d0000000a00000001", ErrProtocol},
		{"version 3", "0c3d0000000a00000001", ErrProtocol},
		{"not LLRP", hex.EncodeToString([]byte("HTTP/1.1 400 Bad Request\r\n")), ErrProtocol},
		{"TLV shorter than its head", message61("00f00003"), ErrProtocol},
		{"TLV over the end", message61("00f000128d3000abcdef00000000000003"), ErrProtocol},
		{"TLV within over its parent", message61("00f0000c00f10009000c abcd"), ErrProtocol},
		{"TLV cut in its head", message61("00f000"), ErrProtocol},
		{"TLV with reserved bits", message61("40f000118d3000abcdef00000000000003"), ErrProtocol},
		{"TV cut off", message61("00f000108d3000abcdef000000000000"), ErrProtocol},
		{"unknown TV", message61("00f000138d3000abcdef00000000000003 9500"), errMessage},
		{"TV 0", message61("00f000138d3000abcdef00000000000003 8000"), errMessage},
		{"more bits than bytes", message61("00f0000c00f100080011 abcd"), errMessage},
		{"EPCData without a count", message61("00f0000900f10005 00"), errMessage},
		{"EPC of 65535 bits", message61("00f0200a00f12006ffff" + strings.Repeat("ab", 8192)), errMessage},
		{"TID of 32 words", message61("00f0005a8d3000abcdef00000000000003 015d0049000001 0020" + strings.Repeat("ab", 64)), errMessage},
		{"no EPC", message61("00f00007810001"), errMessage},
		{"a good tag before one without an EPC", message61("00f000118d3000abcdef00000000000003 00f00007810001"), errMessage},
	} {
		var s scanner
		s.feed(slices.Concat(unhexed(t, tc.wire), good))
		m, ok, err := s.next()
		if err == nil {
			var reports []report
			if reports, err = all(m.body); len(reports) > 0 {
				t.Errorf("%s: %d tags", tc.name, len(reports))
			}
		}
		if !errors.Is(err, tc.want) || errors.Is(err, ErrProtocol) == errors.Is(err, errMessage) {
			t.Errorf("%s: %t, %v, want %v", tc.name, ok, err, tc.want)
		}
		if m, ok, err := s.next(); ok && (err != nil || m.typ != msgReport) {
			t.Errorf("%s: the message behind it is %+v, %v", tc.name, m, err)
		} else if tc.want == errMessage && !ok {
			t.Errorf("%s: the message behind it is lost", tc.name)
		}
	}
}

// The greatest message is as large as the page has it, full of the smallest tags
// there are: it costs its buffer, and no more for each tag than for one alone.
func TestGreatestMessageOfTags(t *testing.T) {
	smallest := tlv(nil, parTag, tlv(nil, parEPCData, []byte{0, 0}))
	tags := (messageMax - headerLen) / len(smallest)
	big := appendMessage(nil, msgReport, 1, bytes.Repeat(smallest, tags))
	const each = 256 // bytes
	n := 0
	devicestest.FrugalBeside(t, held(len(big))+tags*each, func() int {
		n = parsed(big)
		return 1
	})
	if n != 1+tags {
		t.Errorf("%d messages and tags, want %d", n, 1+tags)
	}
}

// The limit is what the page says, and memory follows what came.
func TestGreatestMessage(t *testing.T) {
	var s scanner
	big := appendMessage(nil, msgReport, 1, make([]byte, messageMax-headerLen))
	s.feed(big[:100])
	if _, ok, err := s.next(); ok || err != nil || cap(s.buf) > 4096 {
		t.Errorf("after 100 bytes: %t, %v, buffer of %d", ok, err, cap(s.buf))
	}
	s.feed(big[100:])
	if m, ok, err := s.next(); !ok || err != nil || len(m.body) != messageMax-headerLen {
		t.Errorf("the greatest message: %t, %v", ok, err)
	}
	s.feed([]byte{4})
	if cap(s.buf) > bufferKeep {
		t.Errorf("buffer of %d bytes afterwards", cap(s.buf))
	}
}

// The kill and access passwords are never read or written (EPC Gen2, bank 00): a
// tag is asked for words of bank 2 alone, without a password, and no operation
// writes, kills, locks or erases.
func TestPasswordsAreLeftAlone(t *testing.T) {
	spec := addAccessSpec()
	read := tlv(nil, parRead, u16(tidOp), u32(0), []byte{2 << 6}, u16(0, tidWords))
	if bytes.Count(spec, []byte{parRead >> 8, parRead & 0xFF}) != 1 || !bytes.Contains(spec, read) {
		t.Errorf("it reads other than the chip number: % X", spec)
	}
	for typ := uint16(parRead + 1); typ <= 347; typ++ { // write, kill, lock, erase and write of blocks
		if bytes.Contains(spec, u16(typ)) {
			t.Errorf("operation %d: % X", typ, spec)
		}
	}
}
