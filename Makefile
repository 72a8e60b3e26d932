# What a person can do here. `make` lists the targets.

BIND ?= 127.0.0.1
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help run test check loom bench bench-quick ci soak fuzz docs fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: ## build and serve the demo on BIND:PORT (127.0.0.1:8000)
	@tools/setup cargo cc
	cargo run --release --locked -- demo --bind $(BIND):$(PORT)

test: ## everything that proves it: units, simulation, fuzz replay, integration, docs
	@tools/setup cargo cc python3 valgrind
	cargo test --workspace --locked

check: ## before each commit: format, lints, rules, units (3 minutes)
	cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo run -q --locked -p corewise-tools -- tidy && cargo test -q --workspace --lib --bins --locked

loom: ## how shards and workers wait for each other, under the memory model (a part of test)
	cargo test --locked --lib offload::tests::kernels

bench: ## CPU per request beside the bare ring loop, by wrk (minutes)
	@tools/setup cargo cc wrk
	cargo build --release --locked --workspace && target/release/corewise-bench http $(ARGS)

bench-quick: ## the same in short rounds: a first look, no verdict
	@$(MAKE) --no-print-directory bench ARGS="--quick $(ARGS)"

ci: ## exactly what CI runs
	@tools/setup cargo cc python3 valgrind
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo run -q --locked -p corewise-tools -- tidy
	@$(MAKE) --no-print-directory test
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
	cargo run -q --release --locked -p corewise-bench -- instructions

soak: ## the tests that need minutes each
	cargo test --release --locked --test it -- --ignored --test-threads 1

fuzz: ## 20 million executions of the mutator (COREWISE_FUZZ_EXECUTIONS, COREWISE_FUZZ_SEED)
	COREWISE_FUZZ_EXECUTIONS=$${COREWISE_FUZZ_EXECUTIONS:-20000000} \
		cargo test --release --locked --test fuzz

docs: ## write the generated pages again
	cargo run -q --locked -p corewise-tools -- docs --update

fmt: ## format the code
	cargo fmt --all

clean: ## remove what was built
	cargo clean
