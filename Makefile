# firedrill: every command that people and CI use.
SHELL := /bin/sh
.DEFAULT_GOAL := help

GOLANGCI_LINT_VERSION := v2.15.0
SCENARIO ?= scenarios/library/mysql-primary-loss.yaml
LAB      ?= mysql

# Programs that are built with the race detector wait for a second before they end,
# and the tests start many.
export GORACE := atexit_sleep_ms=0

# Both halves of the program's own tests run at once: most of either is waiting.
TEST = go test -race -vet=off -timeout 40m

# What a lab needs beyond the packages of all.
NEEDS = $(if $(filter llm%,$(LAB)),llm) $(filter mysql8 kubernetes,$(LAB))

# The tests of these take longest: they begin first.
LONG = ./injectors ./lab ./drills/remedies ./drills/sampling/truthtest ./drills/topology/mysql ./drills/topology/kube ./probes

.PHONY: help drill test build lint bench generate check-generated packages mysql8 llm kubernetes clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

drill: packages $(NEEDS) build ## Run the main drill on real servers in a lab (SCENARIO=…, LAB=…)
	bin/firedrill run $(SCENARIO) --lab $(LAB); code=$$?; bin/firedrill lab down $(LAB); exit $$code

test: packages mysql8 llm kubernetes build check-generated lint ## Everything that CI runs
	go vet ./...
	@code=0; $(TEST) -p 2 $(LONG) $$(go list ./... | grep -v '^firedrill/cmd/firedrill$$') || code=1; \
	mkdir -p bin; $(TEST) -run '^TestCluster' ./cmd/firedrill >bin/test-cluster.log 2>&1 & cluster=$$!; \
	$(TEST) -skip '^TestCluster' ./cmd/firedrill || code=1; \
	wait $$cluster || code=1; cat bin/test-cluster.log; exit $$code

build: ## Build bin/firedrill
	CGO_ENABLED=0 go build -trimpath -o bin/firedrill ./cmd/firedrill

lint: .bin/golangci-lint-$(GOLANGCI_LINT_VERSION) ## Lint, formatting included
	$< run ./...

bench: ## Run every benchmark
	go test -run '^$$' -bench . -benchmem -timeout 60m ./...

generate: ## Write the schemas and the reference pages anew
	go generate ./...

check-generated: generate
	git diff --exit-code -- scenarios/schema docs/reference

packages: ## Install the Debian packages that the labs need, if any is missing
	lab/install.sh

mysql8: ## Fetch the MySQL server of the lab mysql8, if it is missing
	lab/install.sh mysql8

llm: ## Fetch the gateway of the lab llm, if it is missing
	lab/install.sh llm-packages
	lab/install.sh llm

kubernetes: ## Build what the lab kubernetes runs, if it is missing (10 minutes)
	lab/install.sh kubernetes-packages
	lab/install.sh kubernetes

# golangci-lint is built from its module, in a place of its own.
.bin/golangci-lint-$(GOLANGCI_LINT_VERSION):
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv .bin/golangci-lint $@

clean: ## Remove what was built
	rm -rf bin .bin
