package live

import (
	"strings"
	"unicode/utf8"
)

// glyphs are the levels of a sparkline: no samples, good, partly bad, bad.
var glyphs = [...]string{" ", "▁", "▄", "█"}

// spark draws the last seconds, the worst of each column's; oldest first.
func spark(levels []uint8, cols int, colour bool) string {
	if cols == 0 {
		return ""
	}
	per := max((len(levels)+cols-1)/cols, 1)
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", max(cols-(len(levels)+per-1)/per, 0)))
	// The newest columns are whole; an odd remainder goes to the oldest.
	for end := len(levels) % per; end <= len(levels); end += per {
		if end == 0 {
			continue
		}
		worst := uint8(0)
		for _, l := range levels[max(end-per, 0):end] {
			worst = max(worst, min(l, uint8(len(glyphs)-1)))
		}
		g := glyphs[worst]
		if colour && worst > 1 {
			g = red(g)
		}
		b.WriteString(g)
	}
	return b.String()
}

func red(s string) string { return "\x1b[31m" + s + "\x1b[0m" }

// stateColour marks what is not good; good needs no attention.
func stateColour(state, s string) string {
	switch state {
	case "good":
		return "\x1b[32m" + s + "\x1b[0m"
	case "bad":
		return "\x1b[1;31m" + s + "\x1b[0m"
	}
	return "\x1b[33m" + s + "\x1b[0m"
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n <= 1 {
		return ""
	}
	return string([]rune(s)[:n-1]) + "…"
}

// pad fills or cuts s to n characters.
func pad(s string, n int) string {
	s = cut(s, n)
	return s + strings.Repeat(" ", n-utf8.RuneCountInString(s))
}
