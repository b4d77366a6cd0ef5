# dashvault. `make` alone lists the commands; each installs what it needs first (Debian 12, sudo when not root).

SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/dashvault
export CACHE
# Outside the checkout, so that the next run, and the next clone, starts warm.
export CARGO_TARGET_DIR ?= $(CACHE)/target

PORT ?= 8080
ADMIN_PORT ?= 9090
DATA ?= data
export PORT ADMIN_PORT DATA

WEB_INPUTS := $(shell find web -name node_modules -prune -o -name dist -prune -o -type f -print 2>/dev/null)

.PHONY: help build demo run test torture bench image-test web clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

build: web ## the web pages and the release programs, linked in bin/
	cargo build --release --locked --workspace --bins
	@mkdir -p bin && ln -sfn "$(CARGO_TARGET_DIR)/release/dashvault" bin/dashvault
	@ln -sfn "$(CARGO_TARGET_DIR)/release/dashvault-worker" bin/dashvault-worker

demo: build ## the vault in ./data with a paired vehicle, a road clip and an insurer's link (ONCE=1 stops after printing them; PORT=8080)
	@.ci/install demo
	@docs/demo.sh $(if $(ONCE),--once)

run: build ## the vault in ./data, empty at first
	@echo "An owner is added beside it with: bin/dashvault owner add --email you@example.org --data $(DATA)"
	bin/dashvault serve --data "$(DATA)" --listen 127.0.0.1:$(PORT) --admin-listen 127.0.0.1:$(ADMIN_PORT)

test: web ## every kind of test, with counts that fit a coffee break
	@.ci/install test
	@.ci/node python3 tests/run.py

torture: web ## the same tests with the full counts
	@.ci/install test
	@DASHVAULT_TORTURE=1 .ci/node python3 tests/run.py

bench: build ## speed and memory as ratios, measured in one run
	@.ci/install test
	@.ci/install bench
	.ci/node cargo bench --locked --workspace --no-fail-fast --bench '*'

image-test: ## builds the container image without an engine and asks it for /readyz
	@.ci/install image
	@tests/image.sh

# The pages are embedded in the service, so they come before it.
web:
	@.ci/install build
	@[ ! -e web/package.json ] || $(MAKE) --no-print-directory web/dist/index.html

web/dist/index.html: $(WEB_INPUTS)
	cd web && ../.ci/node npm ci --no-audit --no-fund && ../.ci/node npm run build
	@touch $@

clean: ## what was built here; the cache and ./data stay
	rm -rf bin web/dist web/node_modules
	cargo clean
