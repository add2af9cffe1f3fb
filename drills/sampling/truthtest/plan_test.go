package truthtest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// draft makes a plan of n outages over so many sites, and how each is looked at.
// Their lengths are log-uniform between 50 ms and 20 s. A third of the sites has
// the modes that leave a client waiting, each of them one mode; on the others the
// modes alternate, and some outages come as a burst of flaps.
func draft(seed uint64, n, count int) ([]site, []look) {
	r := rand.New(rand.NewPCG(seed, 0))
	sites, looks := make([]site, count), make([]look, count)
	busy := make([]time.Duration, count)
	for i := range sites {
		addr := fmt.Sprintf("127.0.1.%d:8080", i+1)
		sites[i].Addr = addr
		looks[i] = look{
			Addr:    addr,
			Every:   time.Duration(pick(r, 20, 30, 50)) * time.Millisecond,
			Timeout: time.Duration(pick(r, 300, 500, 1000)) * time.Millisecond,
		}
		busy[i] = 2 * time.Second // of baseline
		sites[i].Steps = []step{}
	}
	lengths := make([]time.Duration, n)
	for i := range lengths {
		lengths[i] = time.Duration(50e6 * math.Exp(r.Float64()*math.Log(400)))
	}
	// The longest first, each to the site that is done first.
	slices.SortFunc(lengths, func(a, b time.Duration) int { return cmp.Compare(b, a) })
	for _, l := range lengths {
		i := slices.Index(busy, slices.Min(busy))
		up := 500*time.Millisecond + time.Duration(r.Int64N(1e9))
		if l < 200*time.Millisecond {
			up = 250*time.Millisecond + time.Duration(r.Int64N(1e8)) // flaps
		}
		if len(sites[i].Steps) == 0 {
			up += 2 * time.Second
		}
		sites[i].Steps = append(sites[i].Steps, step{Mode: mode(r, i), After: up, For: l})
		busy[i] += up + l
	}
	for i := range sites {
		steps := sites[i].Steps
		r.Shuffle(len(steps), func(a, b int) {
			steps[a].For, steps[b].For = steps[b].For, steps[a].For
			steps[a].Mode, steps[b].Mode = steps[b].Mode, steps[a].Mode
		})
	}
	return sites, looks
}

// mode chooses how site i is down.
func mode(r *rand.Rand, i int) string {
	if i%6 == 0 {
		return thaw
	}
	return pick(r, refuse, reset, failing, drop, keep)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
