// Package wiegand reads card readers that pulse two lines of a GPIO chip: a
// pulse on DATA0 is a 0, one on DATA1 a 1, and silence ends a card.
//
// Only falling edges are asked for (why: boothd/devices/gpio, Pair). A pulse is
// as wide as it is, therefore; that one is none, or that both lines were low at
// once, shows in edges that are nearer to each other than any reader sends them.
//
// A card is known by its bits in hex, left justified, parity and all: the 26
// bits of facility 68, card 41551 are 225127C0, as behind an OSDP reader, and
// lists must be made alike. A card with a wrong parity, of another length than
// those in use, or that a stuck line made up is an unreadable read and never an
// identity. A parity is one bit: of two cards' lengths in use, where a cut or a
// pulse too many makes one out of the other, every second or fourth such
// accident has a good parity. Where one length is in use there is none.
//
// The keys of a reader with a pad (4 or 8 bits) are counted and not told: the
// officer's keypad has letters, and a traveller's must not press his buttons.
//
// A silent reader looks like one that nobody shows a card: only a line that is
// low for over 10 ms, pulses without end and a chip that is gone end Reads with
// an error, and the caller opens again. Counters.Bytes counts pulses, Frames
// cards and keys, CheckErrors words with a wrong parity or all bits alike,
// Timeouts words of a length that is not in use (silence came too soon or too
// late), and Resyncs frames that are no word. Times are the kernel's stamp of
// the first pulse.
//
// Source: protocols, Wiegand over two GPIO lines.
package wiegand
