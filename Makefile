# What a person can do here. `make` lists the targets.

BIND ?= 127.0.0.1
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help run test check bench bench-offload bench-promise bench-quick peers ci model loom kills
.PHONY: tsan soak fuzz docs fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: ## build and serve the demo on BIND:PORT (127.0.0.1:8000)
	@tools/setup cargo cc
	cargo run --release --locked -- demo --bind $(BIND):$(PORT)

test: ## everything that proves it: units, simulation, model, fuzz replay, integration, docs
	@tools/setup cargo cc python3 valgrind
	cargo test --workspace --locked

check: ## before each commit: format, lints, rules, units without the model (3 minutes)
	cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo run -q --locked -p corewise-tools -- tidy
	cargo test -q --workspace --exclude corewise-model --lib --bins --locked

bench: ## this server beside others, all columns (half an hour; ARGS="--columns close")
	@tools/setup cargo cc wrk
	cargo build --release --locked --workspace && target/release/corewise bench $(ARGS)

bench-quick: ## a first look in under 5 minutes
	@$(MAKE) --no-print-directory bench ARGS="--quick $(ARGS)"

bench-offload: ## what a job for another process costs, beside what the machine allows (2 minutes)
	@tools/setup cargo cc python3
	cargo build --release --locked --workspace && target/release/corewise-bench offload $(ARGS)

bench-promise: ## heavy requests beside light ones, and too many of them; as root (20 minutes)
	@tools/setup cargo cc
	cargo build --release --locked --workspace && \
		PATH="$(CURDIR)/bench/peers/target/python/bin:$$PATH" \
		target/release/corewise-bench promise $(ARGS)

peers: ## build, install and try the servers that the bench compares with
	@tools/setup cargo cc
	cargo build --release --locked --manifest-path bench/peers/Cargo.toml
	@tools/setup go haproxy h2o lighttpd nginx python3
	cd bench/peers/go && go build -o ../target/release/peer-go .
	python3 -m venv bench/peers/target/python
	bench/peers/target/python/bin/pip install -q -r bench/peers/python/requirements.txt
	cargo test -q --locked -p corewise-bench --bin corewise-bench every_peer -- --ignored

ci: ## exactly what CI runs
	@tools/setup cargo cc python3 valgrind
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo run -q --locked -p corewise-tools -- tidy
	@$(MAKE) --no-print-directory test
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
	cargo run -q --release --locked -p corewise-bench -- instructions

model: ## the slot protocol in every order, and how each defect fails (CASE=name for one)
	@tools/setup cargo cc
	cargo run -q --release --locked -p corewise-model -- $(CASE)

loom: ## how shards and workers wait for each other, under the memory model (a part of test)
	cargo test --locked --lib offload::tests::kernels

kills: ## real processes of the slot protocol die and write garbage (a part of test; ARGS=name)
	@tools/setup cargo cc python3
	cargo test --locked --test offload -- $(ARGS)

tsan: ## the slot protocol under ThreadSanitizer, and a late write that it must report
	@tools/setup cargo cc
	@ls $$(rustc --print target-libdir)/librustc-*tsan.a >/dev/null 2>&1 || { echo \
		"error: this Rust has no ThreadSanitizer; that for x86_64-unknown-linux-gnu has"; exit 1; }
	RUSTC_BOOTSTRAP=1 \
	RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg corewise_tsan" \
		cargo test --locked --target-dir target/tsan --test offload \
		--target $$(rustc -vV | sed -n 's/^host: //p')

soak: ## storms, every kill, stories (hours; COREWISE_STORM_SECONDS, _KILLS, COREWISE_STORY_TIMES)
	@tools/setup cargo cc python3
	cargo test --release --locked --test offload -- --ignored
	COREWISE_STORY_TIMES=$${COREWISE_STORY_TIMES:-20} \
		cargo test --release --locked --test it -- offload:: --test-threads 1

fuzz: ## 20 million executions of the mutator (COREWISE_FUZZ_EXECUTIONS, COREWISE_FUZZ_SEED)
	COREWISE_FUZZ_EXECUTIONS=$${COREWISE_FUZZ_EXECUTIONS:-20000000} \
		cargo test --release --locked --test fuzz

docs: ## write the generated pages again
	cargo run -q --locked -p corewise-tools -- docs --update

fmt: ## format the code
	cargo fmt --all

clean: ## remove what was built
	cargo clean
