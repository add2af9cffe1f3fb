package reports

import (
	"strconv"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// props adds names and values, in pairs.
func props(s *junit.Testsuite, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		s.AddProperty(xmlText(pairs[i]), xmlText(pairs[i+1]))
	}
}

func result(kind, text string) *junit.Result {
	return &junit.Result{Type: kind, Message: xmlText(text), Data: xmlText(text)}
}

// number writes seconds for machines: no exponent, no digits that are noise.
func number(s float64) string {
	t := strconv.FormatFloat(s, 'f', 9, 64)
	return strings.TrimSuffix(strings.TrimRight(t, "0"), ".")
}

// jsec writes seconds as this format wants them.
func jsec(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }

// xmlText replaces what XML 1.0 cannot carry at all.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 {
			return r
		}
		return '\uFFFD'
	}, s)
}
