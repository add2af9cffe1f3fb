// Package tty knows what a writer can show.
package tty

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Screen is what a writer can show.
type Screen struct {
	// Terminal tells whether lines can be redrawn in place.
	Terminal bool
	// Width and Height are in characters; 80 by 24 if unknown.
	Width, Height int
	// Colour is wanted and possible. See https://no-color.org.
	Colour bool
}

// Of looks at w. What is not a terminal gets plain lines without colour.
func Of(w io.Writer) Screen {
	s := Screen{Width: 80, Height: 24}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return s
	}
	s.Terminal = true
	s.Colour = os.Getenv("NO_COLOR") == ""
	if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
		s.Width, s.Height = width, height
	}
	return s
}
