package main

import (
	"bytes"
	"strings"
	"testing"
)

// Progress is written over one line and cleared away; what is no terminal sees
// nothing.
func TestProgress(t *testing.T) {
	var b bytes.Buffer
	tell, done := overwrite(&b)
	tell("cards.csv", 0.426)
	tell("cards.csv", 0.43) // too soon to be told
	done()
	if want := "\r\x1b[Kcards.csv   43 %\r\x1b[K"; b.String() != want {
		t.Errorf("a terminal sees %q, want %q", b.String(), want)
	}
	b.Reset()
	if tell, done = progress(&b); tell != nil {
		t.Error("progress is told to what is no terminal")
	}
	done()
	if b.Len() > 0 || strings.Contains(b.String(), "\x1b") {
		t.Errorf("wrote %q", b.String())
	}
}
