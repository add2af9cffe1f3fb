package reports

import (
	"io"

	"firedrill/drills/verdict"
)

func Markdown(w io.Writer, r verdict.Result) error { return nil }
func JUnit(w io.Writer, r verdict.Result) error    { return nil }
