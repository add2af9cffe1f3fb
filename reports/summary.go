package reports

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"firedrill/drills/verdict"
	"firedrill/reports/tty"
)

// summaryWidth is the width of a terminal that everything must fit.
const summaryWidth = 80

// Summary writes the end of a run for a terminal of 80 columns: the verdict, the
// sentence of the report, the objectives, and where the report in dir is. It is
// coloured on a terminal, unless NO_COLOR is set.
func Summary(w io.Writer, r verdict.Result, dir string) error {
	return summary(w, r, dir, tty.Of(w).Colour)
}

func summary(w io.Writer, r verdict.Result, dir string, colour bool) error {
	r = plainly(r)
	var b bytes.Buffer
	v := verdictWord(r.Verdict)
	fmt.Fprintf(&b, "\n%s  %s on %s\n\n", paint(v.Class, strings.ToUpper(v.Text), colour), r.Scenario, r.Topology)
	for _, line := range fold(sentence(r), summaryWidth-2) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	if r.Verdict != verdict.Met {
		for _, reason := range r.Reasons {
			// What the sentence says, or the list of leftovers below, is not said twice.
			if !strings.Contains(sentence(r), reason) && !slices.Contains(r.Cleanup.Leftovers, reason) {
				bulletLine(&b, reason)
			}
		}
	}
	summaryObjectives(&b, r, colour)
	if r.Cleanup.Verdict == verdict.Dirty {
		b.WriteString("\n  Not proven to be put back (run \"firedrill recover\"):\n")
		for _, l := range r.Cleanup.Leftovers {
			bulletLine(&b, l)
		}
	}
	if dir != "" {
		fmt.Fprintf(&b, "\n  report  %s\n", tty.Plain(filepath.Join(dir, "report.html")))
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write summary of run %s: %w", r.RunID, err)
	}
	return nil
}

func bulletLine(b *bytes.Buffer, text string) {
	for i, line := range fold(text, summaryWidth-6) {
		lead := "  - "
		if i > 0 {
			lead = "    "
		}
		fmt.Fprintf(b, "%s%s\n", lead, line)
	}
}

// summaryObjectives writes a table whose columns are as wide as they need to be.
func summaryObjectives(b *bytes.Buffer, r verdict.Result, colour bool) {
	if len(r.Objectives) == 0 {
		return
	}
	rows := [][]string{{"objective", "target", "actual", ""}}
	for _, o := range objectives(r) {
		rows = append(rows, []string{strings.TrimSpace(o.Component + " " + shortName(o.Name)), o.Target, o.Actual.String(), o.Verdict.Class})
	}
	var wide [3]int
	for _, row := range rows {
		for i := range wide {
			wide[i] = max(wide[i], utf8.RuneCountInString(row[i]))
		}
	}
	// A long name gives way: the numbers and the verdict must fit.
	wide[0] = min(wide[0], max(summaryWidth-2-wide[1]-wide[2]-len(verdict.Inconclusive)-6, 8))
	b.WriteByte('\n')
	for i, row := range rows {
		v := row[3]
		if i > 0 {
			v = paint(v, verdictWord(v).Text, colour)
		}
		line := fmt.Sprintf("  %s  %s  %s  %s", pad(row[0], wide[0]), pad(row[1], wide[1]), pad(row[2], wide[2]), v)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// pad fills s with spaces to n characters, or cuts it.
func pad(s string, n int) string {
	rs := []rune(s)
	if len(rs) > n {
		return string(rs[:n-1]) + "…"
	}
	return s + strings.Repeat(" ", n-len(rs))
}

// fold breaks text at spaces into lines of at most n characters; a longer word
// has a line of its own.
func fold(text string, n int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > n:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return slices.DeleteFunc(append(lines, line), func(s string) bool { return s == "" })
}

// paint colours text by verdict.
func paint(class, text string, colour bool) string {
	if !colour {
		return text
	}
	code := map[string]string{
		verdict.Met: "1;32", verdict.Missed: "1;31", verdict.Inconclusive: "1;33", verdict.Aborted: "1;34", verdict.Dirty: "1;35",
	}[class]
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
