package glimpse

import (
	"fmt"
	"strings"
)

// Masked tells how much was sent and, of text, its shape: A for every letter,
// 9 for every digit, * for what is no ASCII; what stands around them, which is
// what a template is made of, is kept.
func Masked(b []byte, text bool) string {
	if !text {
		return fmt.Sprintf("%d bytes", len(b))
	}
	shape := make([]byte, len(b))
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c = '9'
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			c = 'A'
		case c >= 0x80:
			c = '*'
		}
		shape[i] = c
	}
	return fmt.Sprintf("%d bytes %q", len(b), shape)
}

// Hexes gives the bytes themselves.
func Hexes(b []byte) string { return strings.TrimSuffix(fmt.Sprintf("% X ", b), " ") }
