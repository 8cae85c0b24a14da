# Thin names over CMake presets. `make demo` and `make test` are all that a newcomer needs (README.md).
.PHONY: deps build check demo test test-deep bench install clean
JOBS ?= $(shell nproc)

build:
	@cmake --preset release >/dev/null
	@cmake --build --preset release -j$(JOBS)

build-dev:
	@cmake --preset dev >/dev/null
	@cmake --build --preset dev -j$(JOBS)

check: build-dev
	@cd build/dev && ctest -L 'unit|spec|tidy' --output-on-failure -j$(JOBS)

clean:
	rm -rf build
