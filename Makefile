# Two commands do everything on a fresh machine with Go, gcc and make:
#   make run     a whole simulated booth (LANE=fast, nexus-air, ready, general or egate for another than NEXUS;
#                ARGS="--for 20s --json" to end by itself)
#   make test    set-up, formatting, vet, staticcheck, unit and integration tests
# make test-long adds the runs that take their time: many mutations, every fuzz target.

GO         ?= go
TAGS       := sqlite_omit_load_extension
GOFLAGS_   := -tags $(TAGS)
BIN        := bin
LANE       ?= nexus
STATICCHECK := $(BIN)/staticcheck
# Packages with goroutines that share anything: the race detector runs on these.
RACE       := $(shell ls -d agent agent/status agent/uplink buffer/journal buffer/eligibility devices/port devices/mercury devices/line devices/gpio devices/sim devices/amtech devices/relay devices/osdp devices/llrp devices/uhf18 cmd/boothhq/internal/receiver cmd/boothsim 2>/dev/null | sed 's,^,./,')

.PHONY: all build run test test-long lint unit mutants race setup bench clean

all: build

build:
	$(GO) build $(GOFLAGS_) -trimpath -o $(BIN)/ ./cmd/...

run: build
	$(BIN)/boothsim demo --lane $(LANE) $(ARGS)

test: setup lint unit race

setup:
	@.ci/setup

lint: $(STATICCHECK)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet $(GOFLAGS_) ./...
	$(STATICCHECK) $(GOFLAGS_) ./...

$(STATICCHECK):
	GOBIN=$(CURDIR)/$(BIN) $(GO) install honnef.co/go/tools/cmd/staticcheck@v0.8.2

unit:
	$(GO) test $(GOFLAGS_) ./...

# Every fuzz target for FUZZ, and the tests that take their time by the thousand.
# The toolchain may call the end of FUZZ itself a failure ("context deadline
# exceeded"); a failure of ours comes with its failing input.
FUZZ ?= 10s

test-long:
	BOOTHD_LONG=1 $(GO) test $(GOFLAGS_) -count 1 -run TenThousand ./agent/lists
	@set -e; for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$pkg/*_test.go); do \
			out=$$($(GO) test $(GOFLAGS_) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ) $$pkg) || \
				case "$$out" in \
				*"Failing input"*|*"panic:"*) echo "$$out"; exit 1;; \
				*"context deadline exceeded"*) ;; \
				*) echo "$$out"; exit 1;; \
				esac; \
			echo "$$pkg $$target $$(echo "$$out" | tail -1)"; \
		done; \
	done

# Small breaks of the rules, one at a time: the tests must notice 95 of 100.
mutants:
	$(GO) run ./test/mutants

race:
	$(GO) test $(GOFLAGS_) -race $(RACE)

# Each figure stands beside its limit or peer of the same run, as a ratio. It
# takes under two minutes; BOOTHD_BENCH_CARDS=2300000 makes the whole country's
# list, and ARGS="-bench Decision -benchtime 2x" runs one alone, twice as long.
bench:
	$(GO) test $(GOFLAGS_) -run '^$$' -bench . $(ARGS) $$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u)

clean:
	rm -rf $(BIN)
