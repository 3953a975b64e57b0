// Package contract is what goes over the wire between a booth and
// headquarters: topics, event envelopes and their data, receipts, status and
// state. It is pure: values in, bytes out, and the same values always give
// the same bytes.
//
// Encoding fails on values that break the contract (a booth id outside its
// alphabet, an event over 16 KiB). Decoding judges what strangers wrote: it
// refuses duplicate keys, wrong case, broken UTF-8, NUL, nesting deeper than 8
// and anything over its limit, and it ignores members it does not know, since
// within a version members are only added.
//
// The documents asyncapi.yaml, schemas and golden are part of the package and
// tested against it.
//
// Source: mqtt contract, sections 1 to 5, 9 and 11.
package contract

import "embed"

// Version of the contract, as state/info tells it.
const Version = 1

// Limits of the wire (mqtt contract, section 9), in bytes.
const (
	MaxEvent   = 16 << 10  // one event, envelope included
	MaxState   = 64 << 10  // one retained state, status or receipt
	MaxPacket  = 256 << 10 // one MQTT packet; a broker that sends more is cut off
	MaxTopic   = 120       // bytes of a topic
	maxNesting = 8
)

// Documents holds asyncapi.yaml, schemas/*.json (JSON Schema 2020-12) and
// golden/*.json, one real message per type.
//
//go:embed asyncapi.yaml schemas/*.json golden/*.json
var Documents embed.FS
