# The work is in test-netns/*.sh, test-kube/*.sh and test-cluster/*.sh, each of which says at its top what it does; this is
# the list of what one can ask for.

DESTDIR ?=
CNI_BIN ?= /opt/cni/bin
SKIP_VM ?=
RINGS := checks unit process netns equality kube $(if $(filter 1,$(SKIP_VM)),,vm)

.PHONY: help build install tools demo test test-unit test-process test-netns test-equality test-kube test-vm fuzz bench measure measure-kube cluster cluster-down clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

build: ## Build the static release binary: target/dist/rooknet
	@./test-netns/build.sh

install: ## Put target/dist/rooknet into $(DESTDIR)/opt/cni/bin
	@test -f target/dist/rooknet || $(MAKE) --no-print-directory build
	@./test-netns/install.sh '$(DESTDIR)$(CNI_BIN)'

tools: ## Install cnitool, the reference plugins and what else the demo and the tests call; print where
	@./test-netns/tools.sh

demo: build ## Show pods of two nodes on their storage networks, in throw-away namespaces (root)
	@ROOKNET=target/dist/rooknet ./test-netns/demo.sh

test: ## Run all checks and tests (root); SKIP_VM=1 leaves the virtual machine out
	@./test-netns/rings.sh $(RINGS)

test-unit: ## Run ring 1: the modules that need no kernel
	@./test-netns/rings.sh unit

test-process: ## Run ring 2: the real binary with stub plugins and injected faults (root)
	@./test-netns/rings.sh process

test-netns: ## Run ring 3: reference plugins, real interfaces and traffic (root)
	@./test-netns/rings.sh netns

test-equality: ## Compare rooknet with the reference plugins, on twin nodes (root)
	@./test-netns/rings.sh equality

test-kube: ## Run ring 4: a real Kubernetes API server, built once on a machine (root)
	@./test-netns/rings.sh kube

test-vm: ## Run the tests that need ipvlan or VLANs in a virtual machine with Debian's kernel (root)
	@./test-netns/rings.sh vm

fuzz: ## Run each fuzz target for FUZZ_SECONDS (60)
	@./test-netns/fuzz.sh

bench: build ## Compare ADD and DEL with the floor, the reference plugins and Multus: BENCH_ROUNDS (40), MULTUS (root)
	@ROOKNET=target/dist/rooknet ./bench/bench.sh

measure: build ## Measure ADD and DEL of the demo's OSD with hyperfine (root)
	@ROOKNET=target/dist/rooknet ./test-netns/measure.sh

measure-kube: build ## Measure what the API server costs an ADD: medians, their ratio, memory (root)
	@ROOKNET=target/dist/rooknet ./test-kube/measure.sh

cluster: ## Start a Kubernetes with two nodes on this machine, in target/cluster; print how to use it (root)
	@./test-cluster/cluster.sh up

cluster-down: ## Remove it and every trace of it (root)
	@./test-cluster/cluster.sh down

clean: ## Remove what was built; the tools' cache stays
	cargo clean
