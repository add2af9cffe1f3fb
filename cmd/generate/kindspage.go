package main

import (
	"bytes"
	"fmt"

	"firedrill/scenarios"
)

// plurals are the titles of the sorts, with where each is named.
var plurals = map[string]string{
	"probe":     "Probes (`spec.probes[].kind` of a scenario)",
	"fault":     "Faults (`spec.faults[].kind` of a scenario)",
	"remedy":    "Remedies (`spec.remediation[].kind` of a scenario)",
	"component": "Components (`spec.components[].kind` of a topology)",
	"control":   "Controls (`spec.components[].members[].control.kind` of a topology)",
	"route":     "Routes (`spec.routes[].kind` of a topology)",
}

// kindsPage documents every plug-in with its parameters.
func kindsPage(docs []scenarios.KindDoc) []byte {
	var b bytes.Buffer
	b.WriteString(generated + "# Kinds\n\n")
	b.WriteString("What scenario and topology files can name as `kind`, and what each takes as\n`with`. `firedrill kinds` lists the same, also as JSON. Lengths of time are Go\ndurations (`250ms`, `1m30s`); a secret is a reference, `env:NAME` or `file:PATH`.\n")
	sort := ""
	for _, d := range docs {
		if d.Sort != sort {
			sort = d.Sort
			fmt.Fprintf(&b, "\n## %s\n", plurals[sort])
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", d.Name, d.Doc)
		types := map[string]string{}
		for _, p := range d.Parameters {
			types[p.Name] = p.Type
		}
		parameters(&b, d.Parameters, func(name string) string { return types[name] })
	}
	return b.Bytes()
}
