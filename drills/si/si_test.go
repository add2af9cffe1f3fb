package si_test

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/si"
)

func TestInterval(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{
		{11.41, 11.44, "11.43 s (± 0.02 s)"},
		{11.4312874, 11.4322874, "11.4318 s (± 0.0006 s)"},
		{0, 0, "0 s"},
		{0, 0.1043, "at most 105 ms"},
		{0, 2.041, "at most 2.05 s"},
		{-0.02, 0.11, "at most 110 ms"},
		{0.32, 0.36, "340 ms (± 20 ms)"},
		{0.0004, 0.0006, "500 µs (± 100 µs)"},
		{252.2, 252.5, "4 min 12.4 s (± 0.2 s)"},
		{3599.5, 3600.5, "1 h (± 0.5 s)"},
		{100, 140, "2 min (± 20 s)"},
		{5, 5, "5 s"},
	} {
		assert.Equal(t, c.want, si.Interval(c.lo, &c.hi).String(), "[%v, %v]", c.lo, c.hi)
	}
	assert.Equal(t, "more than 1 min 58 s", si.Interval(118.2345, nil).String())
	assert.Equal(t, "more than 30.4 s", si.Interval(30.49, nil).String())
}

// What is written must cover what was measured, always.
func TestIntervalCovers(t *testing.T) {
	re := regexp.MustCompile(`^([\d.]+) (m?s) \(± ([\d.]+) (m?s)\)$`)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		lo := r.Float64()*95 + 0.002
		hi := lo + r.Float64()*r.Float64()*4 + 1e-6
		m := re.FindStringSubmatch(si.Interval(lo, &hi).String())
		require.NotNil(t, m, "[%v, %v]: %s", lo, hi, si.Interval(lo, &hi))
		v, _ := strconv.ParseFloat(m[1], 64)
		b, _ := strconv.ParseFloat(m[3], 64)
		if m[2] == "ms" {
			v, b = v/1e3, b/1e3
		}
		require.LessOrEqual(t, v-b, lo+1e-8, si.Interval(lo, &hi))
		require.GreaterOrEqual(t, v+b, hi-1e-8, si.Interval(lo, &hi))
	}
}

func TestDuration(t *testing.T) {
	for s, want := range map[float64]string{
		0: "0 s", 0.00042: "420 µs", 0.0512: "51.2 ms", 0.1173: "117 ms", 0.0002757: "276 µs", 0.05: "50 ms", 1: "1 s", 0.9999: "1 s",
		11.4312: "11.4 s", 30: "30 s", 90: "90 s", 95.26: "95.3 s", 100: "1 min 40 s", 300: "5 min",
		312.44: "5 min 12.4 s", 3600: "1 h", 5400: "1 h 30 min", 3661.5: "1 h 1 min 1.5 s", -2.5: "−2.5 s",
	} {
		assert.Equal(t, want, si.Duration(s), "%v", s)
	}
}

func TestAt(t *testing.T) {
	for s, want := range map[float64]string{
		0: "0 s", -0.001: "0 s", 11.4312: "+11.43 s", -2: "−2.00 s", 250.26: "+4 min 10.3 s",
	} {
		assert.Equal(t, want, si.At(s), "%v", s)
	}
}

func TestCountAndPercent(t *testing.T) {
	assert.Equal(t, "48,211", si.Count(48211))
	assert.Equal(t, "0", si.Count(uint64(0)))
	assert.Equal(t, "−1,604", si.Count(-1604))
	assert.Equal(t, "1,000,000", si.Count(int64(1e6)))
	assert.Equal(t, "8.3 %", si.Percent(0.0834))
	assert.Equal(t, "83 %", si.Percent(0.834))
	assert.Equal(t, "0.012 %", si.Percent(0.00012))
	assert.Equal(t, "0 %", si.Percent(0))
}
