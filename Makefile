# Everything a developer or a CI machine does here has a target. One target folder and one profile
# (dev, with optimised dependencies) serve build, tests and demo, so nothing is built twice.

SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
GRISTMILL ?= $(TARGET)/debug/gristmill
GUESTS ?= $(TARGET)/guests
KAFKA_LIBS ?= $(TARGET)/kafka
REGISTRY ?= $(TARGET)/registry
COLLECTOR ?= $(TARGET)/collector
PEERS ?= $(TARGET)/peers
export TARGET GRISTMILL GUESTS KAFKA_LIBS REGISTRY COLLECTOR PEERS

# Only a machine that builds once gains nothing by incremental compilation.
ifdef CI
export CARGO_INCREMENTAL := 0
endif

CARGO := tests/scripts/cargo.sh
# The same packages and targets everywhere: another choice would build dependencies anew.
ALL := --workspace --all-targets --locked
SEEDS ?= 100000

.PHONY: help setup build guests kafka registry collector peers test demo bench bench-kafka chaos \
	sim mutants fmt lint clean fmt-check tidy deny advisories plugins unit doctest e2e \
	image image-build

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing; quick when nothing is
	@tests/scripts/setup.sh

build: ## Build the host and all tests (15 to 25 minutes on 2 cores the first time)
	@$(CARGO) build $(ALL)

guests: build ## Build all Wasm guests into target/guests
	@tests/scripts/guests.sh

kafka: ## Fetch Apache Kafka, which the end-to-end tests start
	@tests/scripts/server.sh kafka $(KAFKA_LIBS) copy

registry: ## Fetch a schema registry, which the end-to-end tests start
	@tests/scripts/server.sh registry $(REGISTRY) unpack

collector: ## Build an OpenTelemetry Collector, which the end-to-end tests start
	@tests/scripts/collector.sh $(COLLECTOR)

peers: ## Build what Gristmill is measured beside on Kafka
	@tests/scripts/peers.sh

test: ## Set up, then run every test, stage by stage; what CI runs
	@tests/scripts/test.sh setup fmt-check tidy deny build lint plugins guests kafka registry \
		collector unit doctest e2e image

demo: setup guests ## Set up, build, and play the ticketing story
	@tests/scripts/demo.sh examples/ticketing/demo.sh

# The guests are built by the developer's binary; what is measured is a release.
bench: guests collector ## Measure throughput and latency (release build; takes long the first time)
	@$(CARGO) build --release --locked -p gristmill-cli
	@GRISTMILL=$(TARGET)/release/gristmill \
		$(CARGO) run --release --locked -p gristmill-tests --bin bench -- $(ARGS)

bench-kafka: guests kafka peers ## Measure Gristmill and its peers side by side on one Kafka broker
	@$(CARGO) build --release --locked -p gristmill-cli
	@$(CARGO) build --release --locked -p gristmill-tests --bins
	@GRISTMILL=$(TARGET)/release/gristmill $(TARGET)/release/bench_kafka $(ARGS)

# Only chaos on Kafka needs one.
CHAOS_KAFKA := $(foreach word,--kafka --wire --storm --brokers,$(findstring $(word),$(ARGS)))
CHAOS_NEEDS := guests $(if $(strip $(CHAOS_KAFKA)),kafka)

chaos: $(CHAOS_NEEDS) ## Kill and disturb running hosts for minutes, and count events
	@$(CARGO) run --locked -p gristmill-tests --bin chaos -- $(ARGS)

sim: ## Run the simulator over many histories: make sim SEEDS=1000000
	@$(CARGO) run --release --locked -p gristmill-sim --bin sim -- --seeds $(SEEDS) $(ARGS)

mutants: ## Plant every bug in turn and print which promise it breaks, and how soon that is seen
	@$(CARGO) run --release --locked -p gristmill-sim --bin mutants -- $(ARGS)

fmt: ## Format all Rust code
	@tests/scripts/fmt.sh

lint: ## Clippy and rustdoc, warnings are errors
	@$(CARGO) clippy $(ALL) -- -D warnings
	@RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked

fmt-check: ## Fail where `make fmt` would change something
	@tests/scripts/fmt.sh --check

tidy: ## The house rules that a machine can check
	@$(CARGO) test -q -p gristmill-tidy --locked

deny: ## Licences, bans and sources of all dependencies
	@tests/scripts/deny.sh licenses bans sources

advisories: ## Known vulnerabilities of dependencies (needs network to the advisory database)
	@tests/scripts/deny.sh advisories

plugins: ## Lint and test the SDKs and guests natively
	@tests/scripts/plugins.sh

# Always the whole workspace, and targets by name: of some crates alone, cargo would build what they
# depend on once more, with fewer features.
unit: guests ## Unit and integration tests of every crate
	@$(CARGO) test -q --workspace --locked --no-fail-fast --lib --bins --examples --test all

doctest: ## Examples in documentation
	@$(CARGO) test -q --workspace --locked --doc

e2e: guests kafka registry collector ## End-to-end tests, on the built binary
	@$(CARGO) test -q --workspace --locked --no-fail-fast --test e2e --test kafka_api

image: build ## Build the container image from the built binary, and run it
	@tests/image/run.sh

image-build: ## Build the container image entirely inside a container
	@tests/image/build.sh

clean: ## Delete everything that was built
	@cargo clean
