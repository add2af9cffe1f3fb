package vantage

import (
	"math"
	"time"
)

// delays counts how long things took, a twelfth of an octave apart.
type delays struct {
	counts [400]int
	all    int
}

// finest is the shortest delay that is told from none.
const finest = 10 * time.Microsecond

func (d *delays) add(took time.Duration) {
	i := 0
	if took > finest {
		i = min(len(d.counts)-1, int(math.Ceil(12*math.Log2(float64(took)/float64(finest)))))
	}
	d.counts[i]++
	d.all++
}

// quantile is what the share q of all took at most, 6 % too long at worst.
func (d *delays) quantile(q float64) time.Duration {
	n := 0
	for i, c := range d.counts {
		if n += c; n > 0 && float64(n) >= q*float64(d.all) {
			return time.Duration(float64(finest) * math.Exp2(float64(i)/12))
		}
	}
	return 0
}
