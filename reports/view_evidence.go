package reports

import (
	"maps"
	"slices"
	"strconv"

	"firedrill/drills/verdict"
)

// evidence is what ties the report to the record.
func evidence(r verdict.Result) []pair {
	out := []pair{
		{"Run", r.RunID, true},
		{"Plan, SHA-256", dash(r.Evidence.PlanDigest), true},
		{"Record, SHA-256", dash(r.Evidence.RecordDigest), true},
	}
	for _, name := range slices.Sorted(maps.Keys(r.Evidence.Files)) {
		out = append(out, pair{name + ", SHA-256", r.Evidence.Files[name], true})
	}
	return append(out,
		pair{"Seed", strconv.FormatUint(r.Seed, 10), true},
		pair{"firedrill", dash(r.Runner.Version), false},
		pair{"Format", r.Schema, false},
	)
}
