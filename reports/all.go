// Package reports renders a result for people and for machines. Everything is
// derived from the result alone: the same result always gives the same bytes.
package reports

import (
	"encoding/json"
	"fmt"
	"io"

	"firedrill/drills/verdict"
)

// Reporter writes one report. It reads nothing but r.
type Reporter func(w io.Writer, r verdict.Result) error

// Format is a kind of report and the file that it goes to in a run directory.
type Format struct {
	Name   string
	File   string
	Render Reporter
}

// All returns every format, in the order in which they are written.
func All() []Format {
	return []Format{
		{Name: "json", File: "result.json", Render: JSON},
		{Name: "html", File: "report.html", Render: HTML},
		{Name: "markdown", File: "report.md", Render: Markdown},
		{Name: "junit", File: "junit.xml", Render: JUnit},
	}
}

// JSON writes result.json: indented by two spaces, with a newline at the end.
func JSON(w io.Writer, r verdict.Result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write result of run %s as JSON: %w", r.RunID, err)
	}
	return nil
}
