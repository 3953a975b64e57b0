package nedap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
	"boothd/devices/line"
)

// told reads packets and shows what each tells; in pieces of a size, with a
// silence at the end if asked.
func told(t testing.TB, p *packets, text Text, size int, quiet bool, b []byte) (got []string) {
	t.Helper()
	out := func(r report) {
		switch {
		case r.tags.twice:
			got = append(got, "twice")
			return
		case !r.tags.plated():
			got = append(got, fmt.Sprintf("no plate, error %d", r.tags.code))
			return
		}
		plate, err := text.Parts(r.tags.parts())
		if err != nil {
			got = append(got, "unreadable")
			return
		}
		got = append(got, show(plate))
	}
	for part := range slices.Chunk(b, size) {
		p.feed(part, time.Time{}, out)
	}
	if quiet {
		p.quiet(out)
	}
	return got
}

func show(p devices.Plate) string {
	at := ""
	if !p.DeviceAt.IsZero() {
		at = p.DeviceAt.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s|%s|%.3g|%t|%s|%s", p.Text.Reveal(), p.Jurisdiction, p.Confidence, p.NoRead, p.Camera, at)
}

// header is a packet's, in hex: an error and a length behind the begin.
const beginHex = "18 00 00 00 40 9C 00 00 00 00 00 00 00 00 00 00"

func score(n uint32) []byte { return simRecord(14022, binary.LittleEndian.AppendUint32(nil, n)) }

// text is a text of a packet in a field of a size.
func text(tag uint32, size int, s string) []byte {
	return simRecord(tag, append([]byte(s), make([]byte, size-len(s))...))
}

func TestPacketVectors(t *testing.T) {
	// The page's, derived there: one record 14004. The values beside it are
	// printed in the maker's appendix B.
	vector := unhexed(t, beginHex+"00 00 00 00 1C 00 00 00 B4 36 00 00 14 00 00 00"+"34 36 48 56 52 39"+strings.Repeat("00", 14))
	if sim := simPacket(0, text(14004, 20, "46HVR9")); !bytes.Equal(sim, vector) {
		t.Errorf("the simulated camera sends % X", sim)
	}
	date, clock, name, both := text(14000, 12, "2011-07-28"), text(14001, 16, "12-34-56"), text(14002, 32, "NEDAP_ANPR1"), text(14003, 24, "46HVR9-NLD")
	image := simRecord(14020, bytes.Repeat([]byte{0xFF, 0xD8, 24, 0, 0, 0, 0x40}, 1001)) // 7,007 bytes: stored in 7,008
	for _, c := range []struct {
		name string
		wire []byte
		want string
	}{
		{"one record (page, derived)", vector, "46HVR9||-1|false||"},
		{"appendix B", simPacket(0, date, clock, name, both), "46HVR9|NLD|-1|false|NEDAP_ANPR1|2011-07-28T12:34:56Z"},
		{"in another order, with an image between", simPacket(0, both, image, score(97), name, image, clock, date), "46HVR9|NLD|0.97|false|NEDAP_ANPR1|2011-07-28T12:34:56Z"},
		{"plate and country by themselves", simPacket(0, text(14005, 4, "NLD"), text(14004, 20, "46HVR9")), "46HVR9|NLD|-1|false||"},
		{"a plate with a dash of its own", simPacket(0, text(14003, 24, "AB-CD-NLD"), text(14004, 20, "AB-CD")), "AB-CD|NLD|-1|false||"},
		{"a country that is told twice", simPacket(0, both, text(14005, 4, "BEL")), "46HVR9|BEL|-1|false||"},
		{"no plate read", simPacket(0, text(14004, 20, ""), name), "||-1|true|NEDAP_ANPR1|"},
		{"no plate read, in words", simPacket(0, text(14003, 24, "NOREAD"), score(0)), "||0|true||"},
		{"text without its 00", simPacket(0, text(14004, 6, "46HVR9")), "46HVR9||-1|false||"},
		{"text behind its 00", simPacket(0, text(14004, 20, "46HVR9\x00junk")), "46HVR9||-1|false||"},
		{"a score over its scale", simPacket(0, both, score(101)), "46HVR9|NLD|-1|false||"},
		{"a score of another size", simPacket(0, both, simRecord(14022, []byte{97})), "46HVR9|NLD|-1|false||"},
		{"a date alone", simPacket(0, both, date), "46HVR9|NLD|-1|false||"},
		{"a clock that is none", simPacket(0, both, date, text(14001, 16, "25-61-00")), "46HVR9|NLD|-1|false||"},
		{"tags of no table", simPacket(0, simRecord(1, nil), simRecord(0xFFFFFFFF, []byte{1, 2, 3}), both), "46HVR9|NLD|-1|false||"},
		{"with an error", simPacket(3, both), "46HVR9|NLD|-1|false||"},
		{"an error alone", simPacket(3), "no plate, error 3"},
		{"no plate in it", simPacket(0, name, score(4)), "no plate, error 0"},
		{"a plate that is too long to be kept", simPacket(0, text(14004, keepMost+1, "46HVR9")), "no plate, error 0"},
		{"a plate twice", simPacket(0, both, both), "twice"},
		{"no letter in it", simPacket(0, text(14004, 20, "\x01\x02")), "unreadable"},
		{"not ASCII", simPacket(0, text(14004, 20, "AB\xfc1")), "unreadable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1, 7, len(c.wire)} {
				var p packets
				got := told(t, &p, textOf(t, line.Config{}), size, false, c.wire)
				if len(got) != 1 || got[0] != c.want || p.CheckErrors != 0 || p.Resyncs != 0 || p.Frames != 1 || p.step != outside {
					t.Errorf("in pieces of %d: %q, want %q; %+v", size, got, c.want, p.tally)
				}
			}
		})
	}
}

// What is no packet, or half of one; the good one behind it is found at once,
// wherever the one before it was cut. All are derived.
func TestDamagedPackets(t *testing.T) {
	cam := &Camera{Packets: true, Image: 50}
	whole := cam.Report(1, time.Unix(1e9, 0), "46HVR9", "NLD", 0.9)
	type damaged struct {
		name   string
		wire   []byte
		errors uint64
	}
	all := []damaged{
		{"another command", unhexed(t, "18 00 00 00 41 9C 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"), 0},
		{"big endian", unhexed(t, "00 00 00 18 00 00 9C 40 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"), 0},
		{"over 8 MiB", unhexed(t, beginHex+"00 00 00 00 04 00 80 00"), 1},
		{"the longest length that can be", unhexed(t, beginHex+"00 00 00 00 FF FF FF FF"), 1},
		{"a length that is not aligned", unhexed(t, beginHex+"00 00 00 00 1D 00 00 00"), 1},
		{"a record over the packet's end", simPacket(0, simRecord(14020, make([]byte, 8)))[:28], 0},
		{"a record of a wrong size", unhexed(t, beginHex+"00 00 00 00 10 00 00 00 B4 36 00 00 09 00 00 00"), 1},
		{"a record of the largest size", unhexed(t, beginHex+"00 00 00 00 10 00 00 00 B4 36 00 00 FF FF FF FF"), 1},
		{"half a record's head", unhexed(t, beginHex+"00 00 00 00 04 00 00 00 B4 36 00 00"), 1},
		{"a begin before the header", unhexed(t, "18 00 00 00 18 00 00 00 40 9C 00 00"), 0},
	}
	for cut := 1; cut < len(whole); cut++ {
		all = append(all, damaged{fmt.Sprintf("cut at %d", cut), whole[:cut], 0})
	}
	good := cam.Report(2, time.Unix(1e9, 0), "KAYAK7", "ON", 0.9)
	want := "KAYAK7|ON|0.9|false|NEDAP_ANPR1|2001-09-09T01:46:40Z"
	for _, c := range all {
		var p packets
		got := told(t, &p, textOf(t, line.Config{}), 5, false, c.wire)
		if p.CheckErrors != c.errors || c.errors > 0 && p.step != outside {
			t.Errorf("%s: %+v at once, want %d check errors", c.name, p.tally, c.errors)
		}
		got = append(got, told(t, &p, textOf(t, line.Config{}), 5, false, good)...)
		if n := len(got); n == 0 || got[n-1] != want {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
		if p.Frames > 1 && !strings.HasPrefix(c.name, "cut") || p.step != outside {
			t.Errorf("%s: %+v", c.name, p.tally)
		}
	}
}

// The largest packet is taken, image and all, and holds no more than a small
// one; one that is longer is not.
func TestLargestPacket(t *testing.T) {
	plate := text(14004, 20, "46HVR9")
	for over, want := range []int{1, 0} {
		b := simPacket(0, simRecord(14020, make([]byte, packetMost-len(plate)-8+4*over)), plate)
		var p packets
		got := 0
		p.feed(b, time.Time{}, func(report) { got++ })
		if got != want || p.CheckErrors != uint64(over) {
			t.Errorf("%d bytes behind the header: %d packets, %+v", len(b)-24, got, p.tally)
		}
	}
}

// Whatever comes and however it is split, the same packets are found, what is
// kept is bounded, and a good one behind it is found, with no silence before it.
func FuzzPackets(f *testing.F) {
	cam := &Camera{Packets: true, Image: 33}
	f.Add(cam.Report(1, time.Unix(1e9, 0), "46HVR9", "NLD", 0.97), uint8(3))
	f.Add(unhexed(f, beginHex+"00 00 00 00 10 00 00 00 B4 36 00 00 09 00 00 00"), uint8(0))
	f.Add(unhexed(f, beginHex+"00 00 00 00 04 00 80 00"), uint8(9))
	f.Add(simPacket(7, simRecord(14003, []byte("AB-CD-NL")), simRecord(14003, []byte("AB-CD-NL")), simRecord(14022, []byte{1})), uint8(30))
	f.Add(slices.Concat(simPacket(0, text(14004, 20, "46HVR9"))[:40], simPacket(0, text(14004, 20, "46HVR9"))), uint8(1))
	reads := textOf(f, line.Config{})
	good := simPacket(0, text(14003, 24, "ZZZ-ON"))
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8) {
		devicestest.Frugal(t, func() (frames int) {
			var p packets
			p.feed(b, time.Time{}, func(r report) {
				frames++
				_, _ = reads.Parts(r.tags.parts())
			})
			return frames
		})
		var whole, split packets
		got := told(t, &whole, reads, max(1, len(b)), false, b)
		if other := told(t, &split, reads, int(chunk)+1, false, b); !slices.Equal(got, other) || whole.tally != split.tally {
			t.Fatalf("%q at once, %q in pieces", got, other)
		}
		if len(got) > len(b)/24 {
			t.Fatalf("%d packets in %d bytes", len(got), len(b))
		}
		split.feed(b, time.Time{}, func(r report) { plain(t, reads, r) })
		got = told(t, &split, reads, 1, false, good)
		if n := len(got); n == 0 || got[n-1] != "ZZZ|ON|-1|false||" {
			t.Fatalf("%q after % X", got, b)
		}
	})
}
