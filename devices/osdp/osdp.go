// Package osdp reads access-control readers that speak OSDP v2 (IEC
// 60839-11-5), as the control panel: cards, keys, tamper and power, how its inputs,
// outputs and the readers that hang on it are, and in the other direction LEDs,
// buzzer, display and outputs.
//
// A card's number is its raw bits, as hex, left justified and filled with
// zeros; formatted card data (reply 51) is underspecified and never a number.
// Reader numbers on the wire count from 0, antennas here from 1. Times are
// arrival of the frame's first byte at this box.
//
// The line is polled, one command in flight. A reply that does not come within
// 200 ms is asked for again with the same bytes, three times; then the reader
// is offline, Reads ends with ErrSilent, and the caller opens again from the
// start. A reader that has rebooted or lost its channel is set up again from
// sequence 0, a few times in a row; then that ends Reads too.
//
// Several readers may share a line (Bus), and are asked in turn.
//
// With a key there is no way to read in clear: replies outside the secure
// channel are not believed, a reader that refuses the channel ends with
// ErrInsecure, and what it says of itself in clear changes nothing. The default
// key (SCBK-D), known to all, is used only inside Config.InstallUntil and only
// to set the reader's own key.
//
// Source: OSDP protocol, all sections; timings from there unless marked ours.
package osdp
