# Everything here works on a fresh Debian, Ubuntu or macOS with cargo installed.
.PHONY: help test bench ci lint pulsar-up pulsar-down

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

test: ## every test, with its own PostgreSQL and Pulsar; ARGS='-p eventstore' for a part
	@scripts/test $(ARGS)

bench: ## the benchmarks, with their own PostgreSQL and Pulsar
	@scripts/bench $(ARGS)

ci: ## what CI runs
	@.ci/run

lint: ## formatting and clippy
	@cargo fmt --all --check && cargo lint

pulsar-up: ## a Pulsar standalone on ports 6650 and 8080
	@scripts/install
	@scripts/pulsar up

pulsar-down: ## stops it; its data stay in .tracking/pulsar
	@scripts/pulsar down
