package scenarios

import (
	"cmp"
	"slices"

	"firedrill/drills/kind"
)

// Kinds are the plug-ins that files may name. This package knows none of them:
// the caller hands over what its catalogues hold.
type Kinds struct {
	Faults, Probes, Remedies     []kind.Entry
	Components, Controls, Routes []kind.Entry
}

// Sort is one sort of plug-in.
type Sort struct {
	// Noun is what one of them is called ("fault").
	Noun    string
	Entries []kind.Entry
	// holder is the type whose "kind" and "with" they are.
	holder string
}

// Sorts returns the kinds by sort, in the order of the documentation; entries are
// sorted by name.
func (k Kinds) Sorts() []Sort {
	return append(k.scenario(), k.topology()...)
}

func (k Kinds) scenario() []Sort {
	return []Sort{
		{"probe", byName(k.Probes), "Probe"},
		{"fault", byName(k.Faults), "Fault"},
		{"remedy", byName(k.Remedies), "Remedy"},
	}
}

func (k Kinds) topology() []Sort {
	return []Sort{
		{"component", byName(k.Components), "ComponentSpec"},
		{"control", byName(k.Controls), "ControlSpec"},
		{"route", byName(k.Routes), "RouteSpec"},
	}
}

func byName(es []kind.Entry) []kind.Entry {
	return slices.SortedFunc(slices.Values(es), func(a, b kind.Entry) int { return cmp.Compare(a.Name, b.Name) })
}
