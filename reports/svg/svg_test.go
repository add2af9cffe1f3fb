package svg_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"firedrill/reports/svg"
)

func TestScale(t *testing.T) {
	s := svg.Scale{From: -10, To: 30}
	assert.Equal(t, "25%", s.At(0))
	assert.Equal(t, "0%", s.At(-11))
	assert.Equal(t, "100%", s.At(31))
	assert.Equal(t, "12.5%", s.Len(0, 5))
	assert.Equal(t, "25%", s.Len(-20, 0), "what lies outside is cut off")
	assert.Equal(t, "0%", s.Len(40, 50))
	assert.Equal(t, 25_000, s.Unit(0, svg.Width))
}

func TestNum(t *testing.T) {
	for x, want := range map[float64]string{0: "0", -0.00001: "0", 1.5: "1.5", 100: "100", 33.33333: "33.3333"} {
		assert.Equal(t, want, svg.Num(x, 4))
	}
}

func TestTicks(t *testing.T) {
	var labels []string
	for _, k := range svg.Ticks(-4.2, 16, 6) {
		labels = append(labels, k.Label)
	}
	assert.Equal(t, []string{"0", "5 s", "10 s", "15 s"}, labels)
	for _, c := range []struct{ from, to float64 }{{0, 0.3}, {-60, 541}, {-20, 3600}, {0, 86400}} {
		k := svg.Ticks(c.from, c.to, 8)
		assert.LessOrEqual(t, len(k), 9, "%v", c)
		assert.GreaterOrEqual(t, len(k), 3, "%v", c)
	}
	assert.Equal(t, "−1 min", svg.Ticks(-60, 600, 12)[0].Label)
}

func TestPath(t *testing.T) {
	var p svg.Path
	p.Dot(3, 4)
	p.Move(0, 9)
	p.V(2)
	p.H(7)
	p.Close()
	assert.Equal(t, "M3 4h0M0 9V2H7Z", p.String())
}

func TestLog(t *testing.T) {
	assert.Equal(t, 0, svg.Log(0, 0.0001, 1, 20))
	assert.Equal(t, 10, svg.Log(0.01, 0.0001, 1, 20))
	assert.Equal(t, 20, svg.Log(5, 0.0001, 1, 20))
}
