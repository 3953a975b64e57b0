# Two commands do everything on a fresh machine with Go, gcc and make:
#   make run     a whole simulated booth (LANE=fast, nexus-air, ready, general, egate or hardware for another than NEXUS;
#                ARGS="--for 20s --json" to end by itself)
#   make test    set-up, formatting, vet, staticcheck, unit and integration tests; make race for the race detector
# make test-long adds the runs that take their time: many mutations, every kind of broker, every fuzz target;
# make soak does ten times as much of each, which is a day's work; make test-field boots a virtual box with a
# real gpiochip, UARTs, USB and systemd.

GO         ?= go
TAGS       := sqlite_omit_load_extension
GOFLAGS_   := -tags $(TAGS)
BIN        := bin
LANE       ?= nexus
STATICCHECK := $(BIN)/staticcheck
# Packages with goroutines that share anything: the race detector runs on these.
RACE       := $(shell ls -d agent agent/status agent/uplink buffer/journal buffer/eligibility buffer/room devices/port devices/mercury devices/line devices/nedap devices/gpio devices/sim devices/amtech devices/relay devices/osdp devices/llrp devices/uhf18 devices/wiegand cmd/boothhq/internal/receiver cmd/boothsim 2>/dev/null | sed 's,^,./,')

.PHONY: all build run test test-long long-booths long-disks test-field soak lint unit mutants race setup bench bench-lists clean

all: build

build:
	$(GO) build $(GOFLAGS_) -trimpath -o $(BIN)/ ./cmd/...

run: build
	$(BIN)/boothsim demo --lane $(LANE) $(ARGS)

test: setup lint unit

setup:
	@.ci/setup

lint: $(STATICCHECK)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet $(GOFLAGS_) ./...
	$(STATICCHECK) $(GOFLAGS_) ./...

$(STATICCHECK):
	GOBIN=$(CURDIR)/$(BIN) $(GO) install honnef.co/go/tools/cmd/staticcheck@v0.8.2

# vet has been through all packages in lint.
TEST       := $(GO) test $(GOFLAGS_) -vet=off
# Tests wait most of the time, for real programs: one package more is at work than
# there are processors, and twice as many tests of each.
CPUS       := $(shell nproc 2>/dev/null || echo 2)
AT_ONCE    := -p $(shell expr $(CPUS) + 1) -parallel $(shell expr $(CPUS) \* 2)

# The longest first.
UNIT       := ./test ./agent ./cmd/boothctl ./cmd/boothhq ./cmd/boothhq/internal/receiver ./test/powercut ./agent/lists ./...

unit:
	$(TEST) $(AT_ONCE) $(UNIT)

# The tests that take their time by the thousand, and every fuzz target: those
# that parse devices' bytes for FUZZ_DEVICES, all others for FUZZ. LONG is how
# many times over (test/long), LIMIT how long one package may take.
FUZZ ?= 10s
FUZZ_DEVICES ?= 20s
LONG ?= 1
LIMIT ?= 40m
LONG_TESTS := 'PassagesWithCuts|Thousand|NationalLists|AWholeListComes|BrownOut|OneStartAfterAnother|ThreeDays|ATokenKey|ExactlyOnce|KilledAtRandom|ThreeNodes|ThatLies|EveryLane|AtNationalSize|FailingCalls|DroppedInSilence|SpoiltReleases'
LONGEST := ./agent ./agent/lists ./agent/uplink ./test ./test/powercut ./cmd/boothsim/... ./cmd/boothhq

# Most of it waits for real programs and for faults to pass: two halves run at once.
test-long: $(STATICCHECK)
	$(MAKE) -j2 long-booths long-disks
	GO=$(GO) .ci/fuzz $(FUZZ) $(FUZZ_DEVICES)

long-booths: $(STATICCHECK)
	$(if $(filter-out boothd/test/faults,$(LONGEST)),BOOTHD_LONG=$(LONG) $(TEST) -count 1 -timeout $(LIMIT) -run $(LONG_TESTS) $(filter-out boothd/test/faults,$(LONGEST)))
	BOOTHD_LONG=$(LONG) $(TEST) -count 1 -timeout $(LIMIT) -run '/^unplugged' ./devices/...

long-disks: $(STATICCHECK)
	cd test/faults && $(GO) vet $(GOFLAGS_) ./... && $(CURDIR)/$(STATICCHECK) $(GOFLAGS_) ./... && BOOTHD_LONG=$(LONG) $(GO) test $(GOFLAGS_) -count 1 -timeout $(LIMIT) .
	$(GO) vet $(GOFLAGS_),fuse ./test && $(STATICCHECK) $(GOFLAGS_),fuse ./test
	BOOTHD_LONG=$(LONG) $(GO) test $(GOFLAGS_),fuse -count 1 -timeout $(LIMIT) -run AFolderThatFails ./test

# 2,000 booths on three nodes, 100,000 events through each kind of broker, 2,000
# kills, 30 days offline, 10,000 reconnects and replugs. LONG=100 is a million
# events, and a week.
soak:
	$(MAKE) test-long LONG=10 LIMIT=24h FUZZ=100s FUZZ_DEVICES=200s

# boothd in a virtual box: a Debian with its own kernel, under QEMU. The first
# time needs root, fetches 300 MB and keeps 0.5 GB in FIELDBOX_CACHE (default
# ~/.cache/boothd-fieldbox); it ends with a table of what was seen.
test-field: $(STATICCHECK)
	cd test/fieldbox && $(GO) vet $(GOFLAGS_),fieldbox . ./agent && $(CURDIR)/$(STATICCHECK) $(GOFLAGS_),fieldbox . ./agent && GO=$(GO) $(GO) test $(GOFLAGS_),fieldbox -count 1 -timeout 40m -v -run FieldBox .

# Small breaks of the rules, one at a time: the tests must notice 95 of 100.
mutants:
	$(GO) run ./test/mutants

race:
	$(TEST) -race $(RACE)

# Each figure stands beside its limit or peer of the same run, as a ratio. It
# takes four minutes; BOOTHD_BENCH_CARDS=2300000 makes the whole country's
# list, and ARGS="-bench Decision -benchtime 2x" runs one alone, twice as long.
bench:
	$(GO) test $(GOFLAGS_) -run '^$$' -bench . $(ARGS) $$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u)

# What the targets of lists are set for: ten million rows. Some minutes, and 4 GB of disk.
# P12 asks for the country's 2.3 million too: make bench BOOTHD_BENCH_CARDS=2300000 ARGS="-bench P12".
bench-lists:
	BOOTHD_BENCH_CARDS=10000000 $(GO) test $(GOFLAGS_) -run '^$$' -bench P -timeout 60m $(ARGS) ./buffer/eligibility ./test

clean:
	rm -rf $(BIN)
