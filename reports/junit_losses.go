package reports

import (
	"fmt"
	"slices"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"firedrill/drills/verdict"
)

// junitLosses says what the faults cost of the members that come and go.
func junitLosses(s *junit.Testsuite, r verdict.Result) {
	if len(r.Losses) == 0 {
		return
	}
	props(s, "losses", fmt.Sprint(len(r.Losses)))
	if r.WatchLag != nil {
		props(s, "losses.watch_lag_s", number(*r.WatchLag))
	}
	all := slices.Clone(r.Losses)
	if len(all) > lossesShown {
		all = longestLosses(all, lossesShown)
	}
	for _, l := range all {
		key := "loss." + l.Component + "." + l.Member + "."
		props(s, key+"replacement", l.Replacement, key+"total.lo_s", number(l.Total.Lo))
		if l.Total.Hi != nil {
			props(s, key+"total.hi_s", number(*l.Total.Hi))
		}
		for _, p := range l.Phases {
			props(s, key+p.Name+".took_s", number(p.To-p.From), key+p.Name+".failed", fmt.Sprintf("%d/%d", p.Failed, p.Samples))
		}
		props(s, key+"why", l.Why)
	}
}
