package reports

import (
	"fmt"
	"io"
	"strings"
	"text/template"

	"firedrill/drills/verdict"
)

// Markdown writes report.md: the same as the page in the same order, compact
// enough to be read in a pull request.
func Markdown(w io.Writer, r verdict.Result) error {
	t, err := template.New("report.md.tmpl").Funcs(template.FuncMap{
		"md": md, "cell": cell, "code": code, "wave": wave, "upper": strings.ToUpper,
		"few":    func(rows []verdict.RequestID) []verdict.RequestID { return rows[:min(len(rows), 12)] },
		"idline": func(ids []string) string { return strings.Join(ids[:min(len(ids), 12)], ", ") },
	}).ParseFS(assets, "assets/report.md.tmpl")
	if err != nil {
		return fmt.Errorf("parse Markdown template: %w", err)
	}
	if err := t.Execute(w, newPage(r)); err != nil {
		return fmt.Errorf("write Markdown report of run %s: %w", r.RunID, err)
	}
	return nil
}

// mdEscapes are the characters that Markdown or HTML could take for their own.
var mdEscapes = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "|", `\|`, "#", `\#`, "~", `\~`, "@", "&#64;",
)

// md writes text that is to be read as it is: no markup, no mentions.
func md(s string) string { return mdEscapes.Replace(s) }

// cell is md for a table's cell, where nothing must be there.
func cell(s string) string {
	if s == "" {
		return " "
	}
	return md(s)
}

// code writes text for machines. A code span has no escapes of its own.
func code(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "`", "'"), "|", "\u00a6")
	if s == "" {
		return "–"
	}
	return "`" + s + "`"
}

// waveWidth is how many characters a waterfall is wide.
const waveWidth = 40

// wave draws a phase as characters on the scale of all phases.
func wave(x, w string) string {
	var from, long float64
	_, _ = fmt.Sscanf(x, "%f%%", &from)
	_, _ = fmt.Sscanf(w, "%f%%", &long)
	a := min(int(from*waveWidth/100+0.5), waveWidth-1)
	b := min(max(int((from+long)*waveWidth/100+0.5), a+1), waveWidth)
	return strings.Repeat("·", a) + strings.Repeat("█", b-a) + strings.Repeat("·", waveWidth-b)
}
