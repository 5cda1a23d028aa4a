package cli

import (
	"github.com/alecthomas/kong"

	"tocsin/internal/i18n"
)

// nearest tells whether a verb exists, else which one may be meant.
func nearest(lang, verb string, m *kong.Application) (hint string, ok bool) {
	best, distance := "", 4
	for _, n := range m.Children {
		if n.Name == verb {
			return "", true
		}
		if d := edits(verb, n.Name); d < distance {
			best, distance = n.Name, d
		}
	}
	if best == "" {
		return " " + i18n.T(lang, "cli.try", map[string]any{"command": "tocsin --help"}), false
	}
	return " " + i18n.T(lang, "cli.error.nearest", map[string]any{"verb": best}), false
}

// edits is the optimal string alignment distance: letters changed, added, removed
// or swapped with their neighbour.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
