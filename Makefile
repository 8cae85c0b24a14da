# Thin names over CMake presets and scripts. On a fresh Debian 12, `make demo` and `make test` need nothing else.
.PHONY: deps deps-test deps-bench build build-all build-dev check demo test test-deep test-mutations bench install uninstall lint format clean help
JOBS ?= $(shell nproc)
MINUTES ?= 60
PREFIX ?= /usr/local

help:
	@echo "make demo        install what is needed, build, run the tour, leave a console (the first thing to try)"
	@echo "make test        install what is needed, build, run every test lane (at most 20 minutes on two cores)"
	@echo "make build       the release build: build/release/bin/flotilla"
	@echo "make check       what every commit passes: dev build (ASan, UBSan), unit, spec, tidy"
	@echo "make test-deep   MINUTES=60: kills, power cuts, seeds, fuzzing, for as long as told"
	@echo "make test-mutations  known bugs of consensus and of the catalog, compiled in one by one: who notices"
	@echo "make bench       benchmarks beside their peers, interleaved (make deps-bench first)"
	@echo "make install     PREFIX=/usr/local: the program, the client library, the Lua scripts"
	@echo "make lint        clang-tidy over the whole tree; make format: clang-format in place"

deps:
	@scripts/deps.sh build
deps-test:
	@scripts/deps.sh build test
deps-bench:
	@scripts/deps.sh build test bench

build: deps
	@cmake --preset release >/dev/null
	@cmake --build --preset release -j$(JOBS) --target product

build-all: deps-test
	@cmake --preset release >/dev/null
	@cmake --build --preset release -j$(JOBS)

build-dev: deps-test
	@cmake --preset dev >/dev/null
	@cmake --build --preset dev -j$(JOBS)

check: build-dev
	@cd build/dev && ctest -L 'unit|spec|tidy' --output-on-failure -j$(JOBS)

demo: build
	@scripts/demo.sh

test: deps-test
	@scripts/test.sh

test-deep: deps-test
	@scripts/test-deep.sh $(MINUTES)

test-mutations: build-all
	@scripts/test-mutations.sh
	@scripts/layer-mutations.sh catalog

bench: build-all
	@scripts/bench.sh

install: build
	@cmake --install build/release --prefix $(PREFIX)

uninstall:
	@xargs -r rm -fv < build/release/install_manifest.txt

lint: build-dev
	@scripts/lint.sh

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build
