package uhf18

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

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

// The page's: from memory of the maker's manual, the check values verified.
func TestCommandVectors(t *testing.T) {
	for _, tc := range []struct {
		addr, cmd byte
		data      []byte
		want      string
	}{
		{broadcast, cmdInfo, nil, "04 FF 21 19 95"},
		{0, cmdInventory, nil, "04 00 01 DB 4B"},
		{0, cmdPower, []byte{30}, "05 00 2F 1E 72 34"},
	} {
		if got := fmt.Sprintf("% X", appendCommand(nil, tc.addr, tc.cmd, tc.data...)); got != tc.want {
			t.Errorf("command %02X: %s, want %s", tc.cmd, got, tc.want)
		}
	}
}

// answerVectors are derived in the page, or published with the tests of
// wabson/chafon-rfid.
var answerVectors = []struct {
	name, wire string
	cmd        byte
	status     byte
	tags       []devices.Ident // of an inventory
}{
	{"no tag (page, derived)", "05 00 01 FB F2 3D", 1, statusNoTag, nil},
	{"one tag (page, derived)", "13 00 01 01 01 0C 30 74 25 7B F7 19 4E 40 00 00 1A 85 93 82", 1, statusAll, []devices.Ident{"3074257BF7194E4000001A85"}},
	{"one and more (published)", "13000103010c0000000000000000000003133f39", 1, statusMore, []devices.Ident{"000000000000000000000313"}},
	{"another (published)", "13000103010c49440000000000000a000334a5fb", 1, statusMore, []devices.Ident{"49440000000000000A000334"}},
	{"two (published)", "20000103020c0000000000000000000003130c0000000000000000000003149ac9", 1, statusMore,
		[]devices.Ident{"000000000000000000000313", "000000000000000000000314"}},
	{"information (published)", "1100210000160c034e001e0a01000000e651", cmdInfo, statusOK, nil},
}

func TestAnswerVectors(t *testing.T) {
	for _, tc := range answerVectors {
		s := scanner{}
		s.feed(unhexed(t, tc.wire))
		a, ok := s.next()
		if !ok || a.cmd != tc.cmd || a.status != tc.status || a.addr != 0 || s.partial() {
			t.Errorf("%s: %+v, %t", tc.name, a, ok)
			continue
		}
		if tc.tags == nil {
			continue
		}
		got, err := tags(a.data)
		same := slices.EqualFunc(got, tc.tags, func(t devices.Tag, id devices.Ident) bool { return t == devices.Tag{EPC: id, Gen2: true} })
		if err != nil || !same {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
	info := unhexed(t, answerVectors[5].wire)
	if info[4+6] != 30 || info[4+7] != 10 {
		t.Errorf("published information: %d dBm, scan time %d", info[10], info[11])
	}
}

// What is no answer of this reader; the good frame behind it is found. The
// first is published as a negative test, the others are derived.
func TestDamaged(t *testing.T) {
	good := unhexed(t, answerVectors[1].wire)
	for _, tc := range []struct{ name, wire string }{
		{"wrong check value", "1500010301010c0000000000000000000003136bb1a6"},
		{"a bit", "13 00 01 01 01 0C 31 74 25 7B F7 19 4E 40 00 00 1A 85 93 82"},
		{"of another address", "05 02 01 FB 4A 88"},
		{"length below the least", "04 00 01 DB 4B"},
		{"nothing but a length", "00 00 00 00"},
		{"cut off", "13 00 01 01 01 0C 30 74"},
		{"the longest length", "FF 00 01"},
	} {
		s := scanner{}
		s.feed(unhexed(t, tc.wire))
		if a, ok := s.next(); ok {
			t.Errorf("%s: read as %+v", tc.name, a)
		}
		s.feed(good)
		a, ok := s.next()
		for !ok && s.partial() { // silence ends a false start that waits for more
			s.stale()
			a, ok = s.next()
		}
		if !ok || a.status != statusAll {
			t.Errorf("%s: the good frame behind it is lost", tc.name)
		}
	}
}

func TestTags(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		want       []devices.Tag // nil: an error
	}{
		{"none", "00", []devices.Tag{}},
		{"a blank tag", "01 00", []devices.Tag{{Unreadable: true}}},
		{"one of 16 bits, one of 128", "02 02 ABCD 10 000102030405060708090A0B0C0D0E0F", []devices.Tag{{EPC: "ABCD"}, {EPC: "000102030405060708090A0B0C0D0E0F"}}},
		{"the longest", "01 3E" + strings.Repeat("AB", epcMost), []devices.Tag{{EPC: devices.Ident(strings.Repeat("AB", epcMost))}}},
		{"too long", "01 3F" + strings.Repeat("AB", epcMost+1), nil},
		{"no count", "", nil},
		{"fewer than counted", "02 02 ABCD", nil},
		{"cut off", "01 02 AB", nil},
		{"more than counted", "01 02 ABCD 02 ABCE", nil},
		{"with a signal strength, as others of the maker", "01 02 ABCD 6B", nil},
	} {
		for i := range tc.want {
			tc.want[i].Gen2 = true
		}
		got, err := tags(unhexed(t, tc.data))
		if (err != nil) != (tc.want == nil) || !slices.Equal(got, tc.want) && tc.want != nil {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
}

func TestNoAllocationPerByte(t *testing.T) {
	var s scanner
	devicestest.NoAllocationPerByte(t, "\x05\x00\x01\x13", func(b []byte) {
		s.feed(b)
		for _, ok := s.next(); ok; _, ok = s.next() {
			continue // by chance
		}
	})
}

// Whatever comes and however it is split, frames have a right check value, tags
// are bounded, memory is too, and a good frame behind it is found.
func FuzzScanner(f *testing.F) {
	for _, v := range answerVectors {
		f.Add(unhexed(f, v.wire), uint8(5), byte(0))
	}
	f.Add(unhexed(f, "1500010301010c0000000000000000000003136bb1a6"), uint8(60), byte(broadcast))
	f.Add([]byte{0xFF, 0, 1, 5, 0, 1, 0xFB, 0xF2, 0x3D}, uint8(1), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8, addr byte) {
		devicestest.Frugal(t, func() (frames int) {
			s := scanner{addr: addr}
			for part := range slices.Chunk(b, int(chunk)+1) {
				s.feed(part)
				for a, ok := s.next(); ok; a, ok = s.next() {
					frames++
					_, _ = tags(a.data)
				}
			}
			return frames
		})
		sim := &Sim{Address: addr}
		good := sim.Answer(cmdInventory, statusNoTag)
		s := scanner{addr: addr}
		var last answer
		take := func() {
			for {
				a, ok := s.next()
				if !ok {
					return
				}
				last = a
				if addr != broadcast && a.addr != addr {
					t.Fatalf("frame of address %02X", a.addr)
				}
				if whole := (&Sim{Address: a.addr}).Answer(a.cmd, a.status, a.data...); !bytes.Contains(append(bytes.Clone(b), good...), whole) {
					t.Fatalf("frame % X was not sent", whole)
				}
				found, err := tags(a.data)
				if err != nil && found != nil || len(found) > 255 {
					t.Fatalf("%d tags, %v", len(found), err)
				}
				for _, tag := range found {
					if len(tag.EPC) > 2*epcMost || (tag.EPC == "") != tag.Unreadable {
						t.Fatalf("%+v", tag)
					}
				}
			}
		}
		size := int(chunk) + 1
		for rest := append(bytes.Clone(b), good...); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			s.feed(rest[:min(size, len(rest))])
			take()
			if len(s.buf)-s.at > frameMost {
				t.Fatalf("%d bytes are kept", len(s.buf)-s.at)
			}
		}
		for s.partial() {
			s.stale()
			take()
		}
		if last.cmd == cmdInventory && last.status == statusNoTag && last.addr == addr {
			return
		}
		// A false start may end inside the good frame and still have its CRC: one
		// in 65,536 does, and the reader is asked again.
		if whole := (&Sim{Address: last.addr}).Answer(last.cmd, last.status, last.data...); bytes.Contains(b, whole) || !bytes.Contains(append(bytes.Clone(b), good...), whole) {
			t.Fatalf("the last frame is %+v", last)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	for _, n := range []int{1, 16} {
		b.Run(fmt.Sprintf("tags=%d", n), func(b *testing.B) {
			wire := new(Sim).Report(statusAll, slices.Repeat([][]byte{number(1)}, n)...)
			var s scanner
			devicestest.Codec(b, wire, func(wire []byte) {
				s.feed(wire)
				a, ok := s.next()
				if found, err := tags(a.data); !ok || err != nil || len(found) != n {
					b.Fatal(ok, err)
				}
			})
		})
	}
}
