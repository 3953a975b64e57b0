package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"boothd/agent/glimpse"
)

// match is a protocol of ours that bytes fit.
type match struct {
	Driver   string   `json:"driver"`
	Settings []string `json:"settings,omitempty"` // of [[device]], beside path and speed
	Detail   string   `json:"detail,omitempty"`
}

// text is a protocol of text: what one report looks like.
type text struct {
	match
	form *regexp.Regexp
}

// texts are the protocols of text, from the most particular to the least: what
// fits several is likelier the first. (Licence plate readers, section 1; Amtech;
// MRZ; bar codes.)
var texts = [...]text{
	// It takes the first byte of Mercury's question for its own.
	{match{board, []string{`protocol = "lcus-text"`}, "LCUS"}, regexp.MustCompile(`CH[1-8]: ?O(?:N|FF)\r\n`)},
	{match{"amtech", nil, "basic protocol"}, regexp.MustCompile(`#[ -"$-~]{1,72}\r\n`)},
	{match{"line", []string{`template = "axxon"`}, ""}, regexp.MustCompile(`\x02[0-9]{16}[^\x02\x03]{0,32}\x03`)},
	{match{"line", []string{`template = "csv-generic"`}, ""}, regexp.MustCompile(`[0-9][0-9T :./+Z-]{7,34},[^,\r\n]{0,20},[0-9.]{1,6},[^,\r\n]{0,32}\r?\n`)},
	{match{"line", []string{`template = "lumo"`}, ""}, regexp.MustCompile(`[^;\r\n]{0,20};[A-Za-z]{0,5};[0-9.]{0,6};[^;\r\n]{0,16}\r\n`)},
	{match{"mrz", nil, ""}, regexp.MustCompile(`(?:[A-Z0-9<]{44}[\r\n]{0,2}){2}[\r\n\x03]?|(?:[A-Z0-9<]{36}[\r\n]{0,2}){2}[\r\n\x03]?|(?:[A-Z0-9<]{30}[\r\n]{0,2}){3}[\r\n\x03]?`)},
	{match{"line", []string{`template = "nedap-raw"`}, ""}, regexp.MustCompile(`(?:[A-Z0-9]{1,10}-[A-Z]{1,3}|NOREAD)\r\n`)},
	{match{"line", []string{`template = "custom"`, `end = "\r\n"`, `fields = ["plate"]`}, ""}, regexp.MustCompile(`(?:[A-Z0-9][A-Z0-9 -]{1,9}|NOREAD)\r\n`)},
	{match{"keypad", nil, "keys"}, regexp.MustCompile(`(?:[0-9]{0,2}[#*]|\x1b(?:\[[0-9]{2}~|O[P-S]))\r?`)},
	{match{"barcode", []string{`suffix = "crlf"`}, ""}, regexp.MustCompile(`[ -~]{4,}\r\n`)},
	{match{"barcode", []string{`suffix = "cr"`}, ""}, regexp.MustCompile(`[ -~]{4,}\r`)},
	{match{"barcode", []string{`suffix = "lf"`}, ""}, regexp.MustCompile(`[ -~]{4,}\n`)},
	{match{"barcode", []string{`suffix = "etx"`}, ""}, regexp.MustCompile(`\x02?[ -~]{4,}\x03`)},
}

// shapeMost is how much is shown of the shape of a text.
const shapeMost = 60

// recognise says which of our protocols bytes fit that a device has sent by
// itself, the likeliest first; none if it is noise, or another speed.
func recognise(b []byte) (all []match) {
	for _, f := range mercuryFrames(b) {
		if f[2] == 0x22 || f[2] == 0x2F || f[2] == 0x04 || f[2] == 0x9D {
			return []match{{Driver: "mercury", Detail: "it streams already: whoever used it last has not stopped it"}}
		}
	}
	if frames := osdpFrames(b); len(frames) > 0 {
		m := match{Driver: "osdp", Detail: "a reader speaks unasked"}
		for _, f := range frames {
			if f[1]&0x80 == 0 {
				m.Detail = "another control panel polls this line: there must be one only"
			}
		}
		return []match{m}
	}
	if nedapFrames(b) > 0 {
		return []match{{Driver: "nedap", Settings: []string{`template = "protocolled"`}, Detail: "protocolled, RS-485"}}
	}
	if bytes.Contains(b, nedapPacket) {
		return []match{{Driver: "nedap", Settings: []string{`template = "tags"`}, Detail: "packets of tags"}}
	}
	if len(b) >= 10 && binary.BigEndian.Uint16(b) == 0x043F && binary.BigEndian.Uint32(b[2:]) >= 10 {
		return []match{{Driver: "llrp", Detail: "it greets its client"}}
	}
	for _, x := range texts {
		first, last, fits := reports(x.form, b)
		if fits == 0 || 2*fits < len(b) {
			continue // half of the first report may be missing, and not more
		}
		m := x.match
		if m.Driver == "barcode" {
			_, shape, _ := strings.Cut(glimpse.Masked(first[:min(len(first), shapeMost)], true), " bytes ")
			m.Detail = fmt.Sprintf("text of the shape %s; of a camera that is driver \"line\", template \"custom\"", shape)
		}
		if m.Driver == "amtech" && amtechSum(last[1:len(last)-2]) {
			m.Detail, m.Settings = "ECP, which waits for an acknowledgement", []string{`mode = "ecp"`}
		}
		if m.Driver != "barcode" || !slices.ContainsFunc(all, func(m match) bool { return m.Driver == "barcode" }) {
			all = append(all, m) // what ends in CR LF ends in LF too
		}
	}
	return all
}

// reports finds what is of a form: the first, the last, and how many bytes all of
// them have.
func reports(form *regexp.Regexp, b []byte) (first, last []byte, fits int) {
	for at := form.FindIndex(b); at != nil; at = form.FindIndex(b) {
		if last = b[at[0]:at[1]]; fits == 0 {
			first = last
		}
		fits += len(last)
		b = b[at[1]:]
	}
	return first, last, fits
}

// sevenBits recognises what a device sends with seven bits and parity.
func sevenBits(b []byte) []match {
	low := make([]byte, len(b))
	high := 0
	for i, c := range b {
		low[i] = c & 0x7F
		high += int(c >> 7)
	}
	if high < len(b)/8 {
		return nil
	}
	all := recognise(low)
	for i := range all {
		all[i].Detail = "with 7 bits and parity: set the device to 8 bits, no parity"
	}
	return all
}

// versionOf reads a Mercury reader's answer to version.
func versionOf(f []byte) string {
	if len(f) != 7+20 || f[2] != 0x03 {
		return "in its boot loader, or of another make"
	}
	d := f[5:]
	return fmt.Sprintf("hardware % X, firmware % X of %X-%X-%X", d[4:8], d[12:16], d[8:10], d[10:11], d[11:12])
}
