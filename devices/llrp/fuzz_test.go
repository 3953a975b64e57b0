package llrp

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"boothd/devices/devicestest"
)

// Whatever comes and however it is split: messages are whole and within the
// limit, put together again they are the bytes that came, what a message says
// is bounded, and a good message is found behind all that are whole.
func FuzzScanner(f *testing.F) {
	for _, v := range reportVectors {
		f.Add(unhexed(f, v.wire), uint8(7))
	}
	for _, s := range []string{"043f000000200ab288c900f600160080000c0004f8535baadaff010000060000", "043e0000000a00000005",
		"04640000002a00000002011f0020007000186d657373616765207479706520756e737570706f72746564"} {
		f.Add(unhexed(f, s), uint8(3))
	}
	f.Add(simMessage(msgCapabilities, 2, capture(f, "capabilities-impinj.bin")), uint8(200))
	f.Add(simMessage(msgEvent, 0, capture(f, "event-impinj.bin")), uint8(1))
	f.Add(appendMessage(nil, msgAddAccessSpec, 1, addAccessSpec()), uint8(9))
	f.Add(new(Sim).Report(1, slices.Repeat([]SimTag{card}, 600)...), uint8(255)) // beyond 16 KiB
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8) {
		devicestest.FrugalBeside(t, held(len(b)), func() (frames int) { return parsed(b) })
		size := int(chunk) + 1
		good := simMessage(msgKeepalive, 0xABCDEF01, nil)
		var s scanner
		var last message
		out, aligned := 0, len(b) == 0
		for rest := append(bytes.Clone(b), good...); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			s.feed(rest[:min(size, len(rest))])
			for {
				m, ok, err := s.next()
				if err != nil {
					if _, again, err2 := s.next(); !errors.Is(err, ErrProtocol) || again || err2 == nil {
						t.Fatalf("after %v: %t, %v", err, again, err2)
					}
					return
				}
				if !ok {
					break
				}
				whole := appendMessage(nil, m.typ, m.id, m.body)
				if src := append(bytes.Clone(b), good...)[out : out+len(whole)]; !bytes.Equal(whole[1:], src[1:]) || len(whole) > messageMax {
					t.Fatalf("%x is read from %x", whole, src)
				}
				out += len(whole)
				aligned = aligned || out == len(b)
				checkMessage(t, m)
				last = m
			}
		}
		if aligned && (s.partial() || last.typ != msgKeepalive || last.id != 0xABCDEF01) {
			t.Fatalf("the last message is %+v", last)
		}
	})
}

// checkMessage reads a message as each of the kinds there are.
func checkMessage(t *testing.T, m message) {
	t.Helper()
	reports, err := all(m.body)
	faulty(t, err)
	if len(reports) > len(m.body)/4 || err != nil && len(reports) > 0 {
		t.Fatalf("%d tags of %d bytes, %v", len(reports), len(m.body), err)
	}
	for _, r := range reports {
		tag := r.tag()
		if len(tag.EPC) > 2*epcMost || len(tag.TID) > 2*epcMost || (tag.EPC == "") != tag.Unreadable || tag.RSSIDBm < -128 || tag.RSSIDBm > 127 {
			t.Fatalf("tag %s: %+v", tag.EPC.Reveal(), tag)
		}
	}
	e, err := readEvent(m.body)
	faulty(t, err)
	status, err := readStatus(m)
	faulty(t, err)
	for _, said := range []string{e.trouble, status.Text} {
		if len(said) > textMost+len("exception: ") || bytes.ContainsFunc([]byte(said), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("said %q", said)
		}
	}
	c, err := readCapabilities(m.body)
	faulty(t, err)
	if len(c.powers) > powersMost {
		t.Fatalf("%d powers", len(c.powers))
	}
	if best, ok := c.transmit(2000); ok && best.value > 2000 {
		t.Fatalf("chose %+v", best)
	}
}

// faulty checks that a fault is of the connection or of one message.
func faulty(t *testing.T, err error) {
	t.Helper()
	if err != nil && errors.Is(err, ErrProtocol) == errors.Is(err, errMessage) {
		t.Fatal(err)
	}
}

func BenchmarkCodec(b *testing.B) {
	tags := map[string][]SimTag{"1": {card}, "100": nil}
	for range 100 {
		tags["100"] = append(tags["100"], card)
	}
	for name, field := range tags {
		b.Run("tags="+name, func(b *testing.B) {
			wire := new(Sim).Report(1, field...)
			var s scanner
			devicestest.Codec(b, wire, func(wire []byte) {
				s.feed(wire)
				m, ok, err := s.next()
				if err != nil || !ok {
					b.Fatal(ok, err)
				}
				if err := checkReports(m.body); err != nil {
					b.Fatal(err)
				}
				n := 0
				for _, rest, ok, _ := cutTag(m.body); ok; _, rest, ok, _ = cutTag(rest) {
					n++
				}
				if n != len(field) {
					b.Fatal(n)
				}
			})
		})
	}
}

// held is what a message of n bytes may take beside 64 KiB: the page has it up to
// 1 MiB, and a buffer that grows by quarters as the bytes come has taken five
// times what it has in the end, a quarter of which may be spare.
func held(n int) int {
	if n <= bufferKeep/4 {
		return 0
	}
	return 7 * n
}

// parsed is how many messages and tags of some bytes were parsed, each as the
// reader does. A tag counts for itself: it is given on before the next is made.
func parsed(b []byte) (n int) {
	var s scanner
	for part := range slices.Chunk(b, len(Reader{}.in)) {
		s.feed(part)
		for {
			m, ok, err := s.next()
			if err != nil {
				return n
			}
			if !ok {
				break
			}
			n++
			switch m.typ {
			case msgReport:
				if checkReports(m.body) != nil {
					break
				}
				for r, rest, ok, _ := cutTag(m.body); ok; r, rest, ok, _ = cutTag(rest) {
					_ = r.tag()
					n++
				}
			case msgEvent:
				_, _ = readEvent(m.body)
			case msgCapabilities:
				_, _ = readCapabilities(m.body)
			default:
				_, _ = readStatus(m)
			}
		}
	}
	return n
}

// all lists the tags of a report.
func all(body []byte) (tags []report, err error) {
	if err := checkReports(body); err != nil {
		return nil, err
	}
	for r, rest, ok, _ := cutTag(body); ok; r, rest, ok, _ = cutTag(rest) {
		tags = append(tags, r)
	}
	return tags, nil
}
