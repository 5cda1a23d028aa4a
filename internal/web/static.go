package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed static/*
var staticFiles embed.FS

type asset struct {
	url, kind, etag string
	raw             []byte
	zipped          func() []byte // made when it is first asked for
}

var assets, assetByURL = loadAssets()

func loadAssets() (byName, byURL map[string]*asset) {
	byName, byURL = map[string]*asset{}, map[string]*asset{}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		raw, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(raw)
		ext := path.Ext(e.Name())
		a := &asset{raw: raw, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
		a.url = "/static/" + strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:8]) + ext
		switch ext {
		case ".css":
			a.kind = "text/css; charset=utf-8"
		case ".js":
			a.kind = "text/javascript; charset=utf-8"
		case ".svg":
			a.kind = "image/svg+xml"
		default:
			a.kind = "text/plain; charset=utf-8"
		}
		a.zipped = sync.OnceValue(func() []byte { return zipped(raw) })
		byName[e.Name()], byURL[a.url] = a, a
	}
	return byName, byURL
}

func zipped(raw []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(raw)
	_ = w.Close()
	return b.Bytes()
}

// Static gives the address of a style sheet or script by its file name, for pages
// that are served beside these.
func Static(name string) string { return static(name) }

func static(name string) string { return assets[name].url }

func serveStatic(w http.ResponseWriter, r *http.Request) {
	a := assetByURL[r.URL.Path]
	if a == nil {
		http.NotFound(w, r)
		return
	}
	a.serve(w, r, "public, max-age=31536000, immutable")
}

// serveWorker serves the script that takes push messages. It stands at the root, which is
// then its scope, and has one address for ever, by which browsers look for a newer one.
func serveWorker(w http.ResponseWriter, r *http.Request) { assets["sw.js"].serve(w, r, "no-cache") }

func (a *asset) serve(w http.ResponseWriter, r *http.Request, cache string) {
	h := w.Header()
	h.Set("Cache-Control", cache)
	h.Set("ETag", a.etag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.kind)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		_, _ = w.Write(a.zipped())
		return
	}
	_, _ = w.Write(a.raw)
}
