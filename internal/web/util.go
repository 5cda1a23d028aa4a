package web

import (
	"net/url"
	"strconv"
)

func itoa(n int) string { return strconv.Itoa(n) }

// with gives the address of the page with some values of the query changed.
func (q *req) with(pairs ...string) string {
	v := q.r.URL.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		} else {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	u := url.URL{Path: q.r.URL.Path, RawQuery: v.Encode()}
	return u.String()
}

// firstOf gives the first text that is not empty.
func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
