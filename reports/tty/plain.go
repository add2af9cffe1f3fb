package tty

import (
	"strings"
	"unicode"
)

// Plain replaces control characters: what a server said must not steer a
// terminal, nor break a line.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}
