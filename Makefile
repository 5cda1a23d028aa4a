# The commands of everyday work; `make` alone lists them.
.PHONY: list demo build test quick check lint generate bench fuzz

list:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ —/'

demo: ## a sample company on 127.0.0.1:8080, with a printed sign-in link
	go run ./cmd/tocsin demo

build: ## the binary, in ./bin
	go build -trimpath -ldflags "-s -w" -o bin/tocsin ./cmd/tocsin

test: ## every test with the race detector, on SQLite and PostgreSQL
	go test -race -timeout 30m ./...

quick: ## every test without the race detector
	go test ./...

check: lint test ## what must hold before a commit

lint: ## gofumpt, vet, staticcheck
	@out=$$(go tool gofumpt -l $$(git ls-files '*.go' | grep -v _templ.go)); if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

generate: ## the pages' Go code from their templates
	go tool templ generate -path internal/web

bench: ## the benchmarks, as ratios to the machine's own limits in the same run
	TOCSIN_TEST_FSYNC=1 go test -p 1 -run '^$$' -bench . -benchtime 1x -timeout 60m ./...

fuzz: ## each parser of foreign input, one minute each
	@for t in $$(grep -rl --include='*_test.go' 'func Fuzz' internal); do \
	  for f in $$(grep -o 'func Fuzz[A-Za-z0-9]*' $$t | sed 's/func //'); do \
	    go test -run '^$$' -fuzz "^$$f$$" -fuzztime 1m -fuzzminimizetime 10x ./$$(dirname $$t) || exit 1; done; done
