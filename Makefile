# How to build, run and test Saccade. `make` alone lists the commands.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# ccache goes first in PATH, not into CC and CXX: cargo would take other variables for another build.
export PATH := /usr/lib/ccache:$(PATH):$(HOME)/.cargo/bin

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# Links to virtual environments, which .ci/venv keeps in $SACCADE_VENVS.
CLIENTS := $(CURDIR)/.venv
KEYSTONE := $(CURDIR)/.venv-keystone
# Arguments for the daemon: make serve ARGS="--data-dir ./data"
ARGS ?=
# How long to fuzz, each target.
MINUTES ?= 5

BUILD_PACKAGES := g++ make pkg-config libclang-dev libssl-dev ccache
TEST_PACKAGES := $(BUILD_PACKAGES) python3-venv qemu-utils strace memcached haproxy \
	ceph-mon ceph-osd ceph-common radosgw

.PHONY: help serve build test test-model bench fmt fuzz clients keystone build-packages test-packages

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

serve: build ## build a release, start the daemon on 127.0.0.1:9292
	@exec "$(TARGET)/release/saccade" serve $(ARGS)

build: build-packages ## build a release: target/release/saccade
	@if ! compgen -G "$(TARGET)/release/build/librocksdb-sys-*/out/librocksdb.a" >/dev/null; then
		echo "building RocksDB takes about 15 minutes the first time (two cores); later builds take one"
	fi
	cargo build --release --locked

test: test-packages clients keystone ## format, lints, every test, with the real clients and Keystone
	@begun=$$SECONDS
	log=$$(mktemp)
	trap 'rm -f "$$log"' EXIT
	set -x
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo check --manifest-path fuzz/Cargo.toml --target-dir "$(TARGET)" --locked ||
		{ echo "is its lock file behind? cargo update --workspace --manifest-path fuzz/Cargo.toml"; exit 1; }
	{ set +x; } 2>/dev/null
	failed=
	# Most tests wait for a daemon: more of them than processors.
	export RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(( $$(nproc) * 2 ))}
	export SACCADE_CLIENTS="$(CLIENTS)/bin" SACCADE_KEYSTONE="$(KEYSTONE)/bin"
	cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$$log" || failed=yes
	tests/services/ceph down "$(TARGET)/services/ceph"
	.ci/count "$$log"
	echo "$$(( (SECONDS - begun) / 60 )) min $$(( (SECONDS - begun) % 60 )) s"
	[ -z "$$failed" ]

test-model: build-packages ## the model of uploads, deletions and recovery to its full depth: minutes
	cargo test --lib --locked protocol::model -- --ignored --nocapture

bench: build-packages ## the benchmarks of benches/
	cargo bench --workspace --locked

fmt: ## format the code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

fuzz: build-packages ## fuzz every parser of outside bytes: make fuzz MINUTES=60 (needs nightly and cargo-fuzz)
	@if ! cargo +nightly --version >/dev/null 2>&1; then
		echo "fuzzing needs a nightly toolchain: rustup toolchain install nightly" >&2
		exit 1
	fi
	if ! cargo fuzz --version >/dev/null 2>&1; then
		echo "fuzzing needs cargo-fuzz: cargo install cargo-fuzz" >&2
		exit 1
	fi
	for target in $$(cargo +nightly fuzz list); do
		cargo +nightly fuzz run "$$target" -- -max_total_time=$$(( $(MINUTES) * 60 ))
	done

clients: test-packages ## the stock OpenStack clients, from pip, linked as .venv
	@.ci/venv "$(CLIENTS)" tests/clients/requirements.txt

keystone: test-packages ## Keystone for the tests, from pip, linked as .venv-keystone
	@.ci/venv "$(KEYSTONE)" tests/keystone/requirements.txt

build-packages:
	@.ci/packages $(BUILD_PACKAGES)
	.ci/rust

test-packages:
	@.ci/packages $(TEST_PACKAGES)
	.ci/rust
