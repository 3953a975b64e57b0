package llrp

import (
	"encoding/binary"
	"time"
)

// Numbers of our own in what the reader is told to do.
const (
	roSpec     = 1
	accessSpec = 1
	tidOp      = 1
	tidWords   = 6 // as much of a TID as every tag with a serial has
)

// Types of parameters that are only sent.
const (
	parROSpec       = 177
	parBoundary     = 178
	parStart        = 179
	parStop         = 182
	parAISpec       = 183
	parAIStop       = 184
	parInventory    = 186
	parAccessSpec   = 207
	parAccessStop   = 208
	parAccessDo     = 209
	parKeepalive    = 220
	parAntennaSet   = 222
	parTransmitter  = 224
	parReport       = 237
	parSelector     = 238
	parAccessReport = 239
	parEvents       = 244
	parEventState   = 245
	parTagSpec      = 338
	parTarget       = 339
	parRead         = 341
	parGen2Selector = 348
)

const (
	gen2 = 1 // air protocol

	// What is told of each tag: antenna, channel, RSSI, first seen, count; of
	// its memory, CRC and PC.
	selectTag  = 0x1000 | 0x0800 | 0x0400 | 0x0200 | 0x0080
	selectGen2 = 0xC0

	reportTagsOfROSpec = 2 // N tags, or the end of the ROSpec
	reportEveryTag     = 1 // N

	eventException = 4
	eventAntenna   = 8
)

func u16(n ...uint16) (b []byte) {
	for _, n := range n {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// askCapabilities asks for all.
func askCapabilities() []byte { return []byte{0} }

// setKeepalive makes the reader say every so often that it is there.
func setKeepalive(every time.Duration) []byte {
	return tlv([]byte{0}, parKeepalive, []byte{1}, u32(uint32(every.Milliseconds())))
}

// setEvents asks for what happens to the reader and to its antennas.
func setEvents() []byte {
	var states []byte
	for _, e := range []uint16{eventException, eventAntenna} {
		states = tlv(states, parEventState, u16(e), []byte{0x80})
	}
	return tlv([]byte{0}, parEvents, states)
}

// deleteAll is the number of all ROSpecs and AccessSpecs.
func deleteAll() []byte { return u32(0) }

// transmitter says with which power to transmit: an entry of the reader's
// table, and how the reader chooses its frequency. A nil one leaves the reader
// as it is.
type transmitter struct{ hopTable, channel, power uint16 }

// addROSpec reads for ever, starting when it is enabled, on these antennas; on
// all if there are none.
func addROSpec(antennas []int, tx *transmitter) []byte {
	ids := u16(0)
	if len(antennas) > 0 {
		ids = nil
		for _, a := range antennas {
			ids = append(ids, u16(uint16(a))...)
		}
	}
	inventory := append(u16(1), gen2) // the number of the specification; not 0
	if tx != nil {
		send := tlv(nil, parTransmitter, u16(tx.hopTable, tx.channel, tx.power))
		for at := 0; at < len(ids); at += 2 {
			inventory = tlv(inventory, parAntennaSet, ids[at:at+2], send)
		}
	}
	boundary := tlv(nil, parBoundary,
		tlv(nil, parStart, []byte{1}), // immediately
		tlv(nil, parStop, []byte{0}, u32(0)))
	read := tlv(nil, parAISpec, u16(uint16(len(ids)/2)), ids,
		tlv(nil, parAIStop, []byte{0}, u32(0)),
		tlv(nil, parInventory, inventory))
	tell := tlv(nil, parReport, []byte{reportTagsOfROSpec}, u16(reportEveryTag),
		tlv(nil, parSelector, u16(selectTag), tlv(nil, parGen2Selector, []byte{selectGen2})))
	return tlv(nil, parROSpec, u32(roSpec), []byte{0, 0}, boundary, read, tell) // priority 0, disabled
}

// addAccessSpec reads the chip number of every tag.
func addAccessSpec() []byte {
	const (
		everyTag = 0x60 // memory bank 1, match; and no bits to compare
		tidBank  = 0x80
	)
	target := tlv(nil, parTarget, []byte{everyTag}, u16(0, 0, 0)) // pointer, mask, data
	read := tlv(nil, parRead, u16(tidOp), u32(0), []byte{tidBank}, u16(0, tidWords))
	return tlv(nil, parAccessSpec, u32(accessSpec), u16(0), []byte{gen2, 0}, u32(roSpec), // all antennas, disabled
		tlv(nil, parAccessStop, []byte{0}, u16(0)),
		tlv(nil, parAccessDo, tlv(nil, parTagSpec, target), read),
		tlv(nil, parAccessReport, []byte{0})) // with the report of the ROSpec
}
