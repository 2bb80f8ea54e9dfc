SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

LAB      := bin/lab
FAILOVER := bin/failover
TOOLS    := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pgcat-failover/tools

GOLANGCI_VERSION := v2.15.0

# A cluster to work on: the one of KUBECONFIG where it is set, else the embedded one, which is started. Without a
# PgCat (or its stand-in) for the embedded one this stops, with exit code 3, before anything is deployed.
CLUSTER = if [ -z "$${KUBECONFIG:-}" ]; then \
	    $(LAB) pgcat; $(LAB) up; KUBECONFIG="$$($(LAB) kubeconfig)"; PATH="$$($(LAB) path):$$PATH"; export KUBECONFIG PATH; \
	  else echo "cluster: $$KUBECONFIG"; fi

INSTALL = kubectl apply -f manifests/rbac/ -f workflows/

.PHONY: help
help: ## show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

.PHONY: bin
bin:
	@go build -o bin/ ./cmd/lab ./cmd/failover ./cmd/bench

.PHONY: demo
demo: bin ## a cluster, PgCat, Postgres, every scenario through Argo, one table; the record under ./runs/
	@$(CLUSTER); $(INSTALL); $(FAILOVER) submit

.PHONY: run
run: bin ## one scenario without Argo, from here: make run S=primary
	@$(CLUSTER); $(FAILOVER) run --scenario $(or $(S),$(error say which scenario: make run S=primary))

.PHONY: restore
restore: bin ## put everything back and prove it
	@KUBECONFIG="$${KUBECONFIG:-$$($(LAB) kubeconfig)}" $(FAILOVER) restore

.PHONY: lab-up lab-down
lab-up: bin ## start the embedded cluster
	@$(LAB) up
lab-down: bin ## take it down, without a trace
	@$(LAB) down

# What the tests need of a bare Debian machine: a C compiler for -race, a real Postgres for what is said in SQL, and ip and
# iptables to lose packets with (without these those tests are skipped, and say so). Debian's own cluster, which the package
# would start, is not wanted.
.PHONY: test-deps
test-deps:
	@missing=; command -v gcc >/dev/null || missing="gcc libc6-dev"; \
	command -v ip >/dev/null || missing="$$missing iproute2"; command -v iptables >/dev/null || missing="$$missing iptables"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$$missing postgresql"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then echo "not installed, and this is not root on Debian: $$missing"; exit 0; fi; \
	echo "installing Debian packages: $$missing"; \
	if [ ! -e /etc/postgresql-common/createcluster.conf ]; then \
	  mkdir -p /etc/postgresql-common; echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf; fi; \
	export DEBIAN_FRONTEND=noninteractive; apt-get -q update >/dev/null && \
	apt-get -q install -y --no-install-recommends -o Dpkg::Options::=--force-confold $$missing >/dev/null

.PHONY: check
check: test-deps $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) ## format, vet, lint, unit tests with -race, workflow contracts
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go mod verify >/dev/null
	go vet ./...
	$(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) run ./...
	go test -race -short ./...

$(TOOLS)/golangci-lint-$(GOLANGCI_VERSION):
	@echo "building golangci-lint $(GOLANGCI_VERSION), once, a few minutes"
	@mkdir -p $(TOOLS)
	GOFLAGS= GOBIN=$(TOOLS)/build go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(TOOLS)/build/golangci-lint $@ && rmdir $(TOOLS)/build

.PHONY: test
test: check test-standin test-lab e2e ## everything there is: make check, the stand-in's own, the lab's own, the product on a real cluster

.PHONY: test-standin
test-standin: ## the stand-in against its recordings of the real PgCat, and real clients through it
	go test -race ./cmd/pgcat-sim/...

.PHONY: test-lab
test-lab: ## a second lab beside the first: up, up again, killed, up, down without a trace
	go test -tags lab -count=1 -timeout 30m -v ./cmd/lab/

.PHONY: e2e
e2e: bin ## the product as its users use it, on a real cluster; a lab that it starts it takes down again
	@if [ -n "$${KUBECONFIG:-}" ]; then $(E2E); exit; fi; \
	rc=0; $(LAB) pgcat || rc=$$?; \
	if [ $$rc = 3 ]; then echo "skipped: no PgCat"; exit 0; elif [ $$rc != 0 ]; then exit $$rc; fi; \
	if ! $(LAB) status >/dev/null 2>&1; then trap '$(LAB) down' EXIT; fi; \
	$(CLUSTER); $(LAB) images; $(E2E)

E2E = $(INSTALL) >/dev/null; go test -tags e2e -count=1 -timeout 45m -v ./steps/e2e/

.PHONY: bench
bench: bin ## wall times against the same workflows made of sleeps, and the lab's figures; BENCH=--cold adds its cold start
	@own=$${KUBECONFIG:-}; $(CLUSTER); $(INSTALL) >/dev/null; bin/bench $$([ -n "$$own" ] || echo --lab) $(BENCH)

.PHONY: image
image: bin ## the steps' image as dist/failover.tar, for `docker load` or a registry of your own
	@mkdir -p dist && $(LAB) image --out dist/failover.tar failover
