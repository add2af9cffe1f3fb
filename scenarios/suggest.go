package scenarios

import (
	"slices"
	"strings"
)

// suggest names the known word that was probably meant, or else all of them.
func suggest(word string, known []string) string {
	if len(known) == 0 {
		return "none is known here"
	}
	best, least := "", max(1, len(word)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d <= least && (best == "" || d < least) {
			best, least = k, d
		}
	}
	if best != "" {
		return `did you mean "` + best + `"?`
	}
	return "known are " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// suggestKind lists all kinds, even when one was probably meant.
func suggestKind(word string, known []string) string {
	all := "known are " + strings.Join(known, ", ")
	if hint := suggest(word, known); strings.HasPrefix(hint, "did") {
		return hint + " " + strings.ToUpper(all[:1]) + all[1:]
	}
	return all
}

// distance is the number of letters to insert, drop, replace or swap with their
// neighbour to turn a into b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			change := last[j]
			if x[i] != y[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
