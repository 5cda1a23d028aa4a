package scan

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"tocsin/internal/kit"
)

// elements calls f for each element with its path, as "bom/components/component".
// f says whether it took the whole element. A body without its last end is cut
// short.
func (in *input) elements(f func(d *xml.Decoder, e xml.StartElement, path string) (bool, error)) error {
	d := newXML(in.r)
	var path []string
	roots := 0
	for {
		t, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && roots > 0:
			return nil
		case errors.Is(err, io.EOF) && in.head.kind != xmlBody:
			return errShape
		}
		if err != nil {
			return err
		}
		switch e := t.(type) {
		case xml.StartElement:
			if len(path) == 0 {
				if roots++; roots > 1 {
					return errShape
				}
			}
			if len(e.Name.Local) > maxWord {
				return errShape
			}
			path = append(path, e.Name.Local)
			took, err := f(d, e, strings.Join(path, "/"))
			if err != nil {
				return err
			}
			if took {
				path = path[:len(path)-1]
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func tooMany() error { return kit.Errorf(kit.CodeTooLarge, "scan.error.too_many", "max", MaxFindings) }
