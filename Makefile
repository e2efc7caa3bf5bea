# `make` lists the targets. Everything here is also a plain cargo command, once `make setup` has run.
.DEFAULT_GOAL := help
.PHONY: help demo test lint fmt bench scores setup check crash-test
KILLS ?= 200
# Tests of the program wait about as much as they compute.
TEST_THREADS ?= $(shell expr 2 '*' "$$(nproc)")

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## the whole system on a seeded week of activity
	cargo run --locked --release -- demo

test: setup lint ## formatting, lints, all tests and the house rules: what CI runs
	@bash scripts/kafka.sh
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --locked --workspace --no-fail-fast

lint: setup ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: ## format everything
	cargo fmt --all

crash-test: setup ## kill -9 a long job, and jobs between the steps of their responses, KILLS times (200) each
	AERIE_KILLS=$(KILLS) cargo test --locked --test e2e -- --nocapture --test-threads 1 crash::killed each_step::killed

bench: setup ## benchmarks
	cargo bench --locked

scores: setup ## docs/scores.md from SEEDS seeds of generated activity (10); takes hours
	cargo build --locked --release
	bash scripts/scores.sh

setup: ## install what is missing and compile RocksDB once
	@bash scripts/setup.sh

check: setup ## the quick half: compile everything, then the house rules
	cargo check --locked --workspace --all-targets
	cargo test --locked --test tidy
