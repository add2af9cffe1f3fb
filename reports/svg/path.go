package svg

import (
	"math"
	"strconv"
)

// Width is the width, in units, of what Dots and Steps draw.
const Width = 100_000

// Path collects path data in whole units.
type Path struct{ b []byte }

// Dot adds a subpath without length: with round caps and a stroke that does not
// scale it is drawn as a dot of the stroke's width.
func (p *Path) Dot(x, y int) {
	p.move('M', x, y)
	p.b = append(p.b, "h0"...)
}

// Move begins a line at x, y.
func (p *Path) Move(x, y int) { p.move('M', x, y) }

// H and V draw to an x or a y.
func (p *Path) H(x int) { p.b = strconv.AppendInt(append(p.b, 'H'), int64(x), 10) }

// V draws to y.
func (p *Path) V(y int) { p.b = strconv.AppendInt(append(p.b, 'V'), int64(y), 10) }

// Close closes the line.
func (p *Path) Close() { p.b = append(p.b, 'Z') }

// String returns the path data.
func (p *Path) String() string { return string(p.b) }

func (p *Path) move(c byte, x, y int) {
	p.b = strconv.AppendInt(append(p.b, c), int64(x), 10)
	p.b = append(p.b, ' ')
	p.b = strconv.AppendInt(p.b, int64(y), 10)
}

// Log places a value on a logarithmic scale of n units, lo at 0 and hi at n; what
// lies outside is put on the edge.
func Log(x, lo, hi float64, n int) int {
	if x <= lo {
		return 0
	}
	return min(int(math.Round(float64(n)*math.Log(x/lo)/math.Log(hi/lo))), n)
}
