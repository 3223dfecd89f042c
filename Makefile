# `make` lists what can be made.

CARGO ?= cargo
BUF = tests/clients/node_modules/.bin/buf
# Named places where the server under test kills itself; never in a release.
TESTING = --features crash-points
# Where cargo builds; what else the targets make is in target/.
TARGET = $(abspath $(or $(CARGO_TARGET_DIR),target))

.PHONY: help demo run test test-deep test-hostile test-seeds test-mutants soak audit bench lint setup clean

help: ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

demo: ## Run the example campaign for two tenants at once over SMTP, and have a reader unsubscribe.
	@tests/setup.sh cc python3 sink
	$(CARGO) run --locked --release --example demo

run: ## Serve on 127.0.0.1:50051 for development, data in ./data.
	@tests/setup.sh cc
	$(CARGO) run --locked --release -- serve --dev

# `hostile` runs alone, one case at a time: it measures memory and who waits.
test: setup ## Run every test, against real servers.
	$(CARGO) test --locked $(TESTING) -- --skip hostile::
	$(CARGO) test --locked $(TESTING) --test it -- hostile:: --test-threads 1

test-deep: setup ## The same, with the full counts of tests/README.md, and on release builds the hostile suite and ten minutes of soak.
	TEST_DEEP=1 PROPTEST_CASES=100000 $(CARGO) test --locked $(TESTING) -- --skip hostile::
	$(MAKE) test-hostile
	HERALD_SOAK_MINUTES=10 $(MAKE) soak

test-hostile: setup ## The hostile suite with its full counts, on a release build.
	$(CARGO) build --locked --release $(TESTING) --target-dir $(TARGET)/hostile
	TEST_DEEP=1 TEST_BINARY=$(TARGET)/hostile/release/herald $(CARGO) test --locked $(TESTING) --test it -- hostile:: --test-threads 1

# Optimised a little: ten thousand programs take a third of the time.
test-seeds: setup ## Only the suites that go by seeds, with their full counts or HERALD_SEEDS=from..to.
	TEST_DEEP=1 CARGO_PROFILE_DEV_OPT_LEVEL=1 $(CARGO) test --locked $(TESTING) --target-dir $(TARGET)/deep --test it -- isolation::programs kills:: listing:: --nocapture

test-mutants: setup ## Plant each fault of tests/mutants and see which suites find it; takes an hour.
	tests/mutants/run.py

soak: ## An hour of everything at once on the release binary; HERALD_SOAK_MINUTES=10 makes it ten minutes.
	@tests/setup.sh cc python3 redis schemas
	$(CARGO) build --locked --release
	$(CARGO) test --locked $(TESTING) --test it -- soak::hours --ignored --nocapture

audit: ## What Herald is made of, and what is known against it; says what cannot be asked from here.
	@tests/setup.sh python3 node audit
	tests/audit/run.sh

bench: ## Measure Herald beside what it is compared with; bench/README.md says how. Takes half an hour.
	@tests/setup.sh cc python3 node redis h2load express
	$(CARGO) build --locked --release
	$(CARGO) build --locked --release --package herald-bench
	$(TARGET)/release/herald-bench $(BENCH)

lint: ## rustfmt, clippy, buf lint, Biome and tsc; a warning is an error.
	@tests/setup.sh cc node clients web
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --all-targets $(TESTING) -- -D warnings
	$(CARGO) clippy --locked --package herald-bench --all-targets -- -D warnings
	$(BUF) lint
	npm run --prefix web/client --silent lint

setup: ## Install what the tests need and is not there.
	@tests/setup.sh cc python3 node clients web chromium redis postgres postfix systemd promtool schemas

clean: ## Remove what was built.
	$(CARGO) clean
	rm -rf tests/clients/node_modules bench/peers/express/node_modules
