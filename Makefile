# How to build, run and test Saccade. `make` alone lists the commands.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# ccache goes first in PATH, not into CC and CXX: cargo would take other variables for another build.
export PATH := /usr/lib/ccache:$(PATH):$(HOME)/.cargo/bin

BUILT := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# Links to virtual environments, which .ci/venv keeps in $SACCADE_VENVS.
CLIENTS := $(CURDIR)/.venv
KEYSTONE := $(CURDIR)/.venv-keystone
GLANCE := $(CURDIR)/.venv-glance
GLANCE_STORE := $(CURDIR)/.venv-glance-store
# Arguments for the daemon: make serve ARGS="--data-dir ./data"
ARGS ?=
# Write down what Glance answers: make test-against-glance RECORD=1
RECORD ?=
# How long to fuzz, and which target of fuzz/fuzz_targets: all of them share the time.
MINUTES ?= 10
TARGET ?=

BUILD_PACKAGES := g++ make pkg-config libclang-dev libssl-dev ccache
TEST_PACKAGES := $(BUILD_PACKAGES) python3-venv qemu-utils strace memcached haproxy xz-utils zstd bzip2 \
	ceph-mon ceph-osd ceph-common radosgw
# Those that the daemon is compared with, but for Python Glance, which is from pip.
BENCH_PACKAGES := $(BUILD_PACKAGES) nginx-light mariadb-server-core mariadb-client-core strace valgrind

.PHONY: help serve build test test-engines test-model test-against-glance bench bench-daemon bench-instructions fmt \
	fuzz fuzz-coverage fuzz-seeds fuzz-seeded-bugs clients keystone glance glance-store build-packages bench-packages test-packages

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

serve: build ## build a release, start the daemon on 127.0.0.1:9292
	@exec "$(BUILT)/release/saccade" serve $(ARGS)

build: build-packages ## build a release: target/release/saccade
	@if ! compgen -G "$(BUILT)/release/build/librocksdb-sys-*/out/librocksdb.a" >/dev/null; then
		echo "building RocksDB takes about 15 minutes the first time (two cores); later builds take one"
	fi
	cargo build --release --locked

test: test-packages clients keystone glance-store ## format, lints, every test, with the real clients and Keystone
	@begun=$$SECONDS
	log=$$(mktemp)
	trap 'rm -f "$$log"' EXIT
	set -x
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo check --manifest-path fuzz/Cargo.toml --target-dir "$(BUILT)" --locked ||
		{ echo "is its lock file behind? cargo update --workspace --manifest-path fuzz/Cargo.toml"; exit 1; }
	{ set +x; } 2>/dev/null
	failed=
	# Most tests wait for a daemon: more of them than processors.
	export RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(( $$(nproc) * 2 ))}
	export SACCADE_CLIENTS="$(CLIENTS)/bin" SACCADE_KEYSTONE="$(KEYSTONE)/bin" SACCADE_GLANCE_STORE="$(GLANCE_STORE)/bin"
	cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$$log" || failed=yes
	for service in ceph swift; do "tests/services/$$service" down "$(BUILT)/services/$$service"; done
	.ci/count "$$log"
	echo "$$(( (SECONDS - begun) / 60 )) min $$(( (SECONDS - begun) % 60 )) s"
	[ -z "$$failed" ]

test-engines: build-packages ## the store of files with every engine that it can be built with (io_uring)
	cargo clippy -p saccade-store-file --all-targets --features tokio-uring,glommio --locked -- -D warnings
	cargo test -p saccade-store-file --features tokio-uring,glommio --locked

test-model: build-packages ## the model of uploads, deletions and recovery to its full depth: minutes
	cargo test --lib --locked protocol::model -- --ignored --nocapture

test-against-glance: glance ## the same requests to Python Glance, from pip, and to Saccade (RECORD=1 records the answers)
	@SACCADE_GLANCE="$(GLANCE)/bin" RECORD="$(RECORD)" \
		cargo test --test integration --locked differential -- --nocapture

bench: build-packages ## the benchmarks of benches/
	cargo bench --workspace --locked

bench-daemon: bench-packages glance ## the daemon beside nginx and Python Glance: an hour or two, or QUICK=1 (docs/benchmarks/README.md)
	@SACCADE_GLANCE="$(GLANCE)/bin" cargo bench --locked --bench daemon

bench-instructions: bench-packages ## instructions that digests, inspection and requests take: no other load changes them
	@cargo bench --locked --bench instructions

fmt: ## format the code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

fuzz: build-packages ## fuzz every parser of outside bytes, or one: make fuzz MINUTES=60 TARGET=url (needs cargo-fuzz)
	@fuzz/run "$(MINUTES)" "$(BUILT)/cargo-fuzz" $(TARGET)

fuzz-coverage: build-packages ## what of each parser the corpora reach, and what they do not (needs llvm-tools)
	@fuzz/reach --missed "$(BUILT)/cargo-fuzz-coverage" $(TARGET)

fuzz-seeds: build-packages ## make the seeds of fuzz/corpus again (needs qemu-utils)
	@.ci/packages qemu-utils
	fuzz/seed-corpus.py

fuzz-seeded-bugs: build-packages ## put bugs into a copy, and see that the fuzzers find them: minutes
	@.ci/packages rsync patch
	fuzz/seeded-bugs/run "$(BUILT)/cargo-fuzz"

clients: test-packages ## the stock OpenStack clients, from pip, linked as .venv
	@.ci/venv "$(CLIENTS)" tests/clients/requirements.txt

keystone: test-packages ## Keystone for the tests, from pip, linked as .venv-keystone
	@.ci/venv "$(KEYSTONE)" tests/keystone/requirements.txt

glance: test-packages ## Python Glance, from pip, linked as .venv-glance
	@.ci/venv "$(GLANCE)" tests/differential/requirements.txt

glance-store: test-packages ## glance_store for the tests, from pip, linked as .venv-glance-store
	@.ci/venv "$(GLANCE_STORE)" tests/services/glance-store-requirements.txt

build-packages:
	@.ci/packages $(BUILD_PACKAGES)
	.ci/rust

bench-packages:
	@.ci/packages $(BENCH_PACKAGES)
	.ci/rust

test-packages:
	@.ci/packages $(TEST_PACKAGES)
	.ci/rust
