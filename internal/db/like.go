package db

import "strings"

var like = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// EscapeLike gives a text as LIKE finds it itself, with ESCAPE '\'.
func EscapeLike(s string) string { return like.Replace(s) }
