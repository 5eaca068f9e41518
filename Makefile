# The work is in test-netns/*.sh, test-kube/*.sh and test-cluster/*.sh, each of which says at its top what it does; this is
# the list of what one can ask for.

DESTDIR ?=
CNI_BIN ?= /opt/cni/bin
SKIP_VM ?=
SKIP_CLUSTER ?=
RINGS := checks unit process netns equality kube $(if $(filter 1,$(SKIP_CLUSTER)),,cluster) \
    $(if $(filter 1,$(SKIP_VM)),,vm)

.PHONY: help build plugin image image-check install tools demo test test-unit test-process test-netns test-equality test-kube test-cluster test-cluster-full test-vm fuzz bench measure measure-kube cluster cluster-down clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

build: ## Build the static release binaries: target/dist/rooknet and target/dist/rooknetctl
	@./test-netns/build.sh

# For what needs the plugin alone.
plugin:
	@./test-netns/build.sh rooknet

image: build ## Write the OCI image of both, for a cluster's nodes: target/dist/rooknet-image.tar
	@./deploy/image.sh

image-check: ## Build binaries and image from two checkouts and compare them: the same bytes (minutes)
	@./deploy/image-check.sh

install: ## Put target/dist/rooknet into $(DESTDIR)/opt/cni/bin
	@test -f target/dist/rooknet || ./test-netns/build.sh rooknet
	@./test-netns/install.sh '$(DESTDIR)$(CNI_BIN)'

tools: ## Install cnitool, the reference plugins and what else the demo and the tests call; print where
	@./test-netns/tools.sh

demo: plugin ## Show pods of two nodes on their storage networks, in throw-away namespaces (root)
	@ROOKNET=target/dist/rooknet ./test-netns/demo.sh

test: ## Run all checks and tests (root); SKIP_VM=1, SKIP_CLUSTER=1 leave out what they name
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

test-cluster: ## Run the cases in a Kubernetes of two nodes (root); MULTUS= and WHEREABOUTS= name directories to compare with
	@./test-netns/rings.sh cluster

test-cluster-full: ## The same with 300 pods at once (root)
	@ROOKNET_CLUSTER_PODS=300 ./test-netns/rings.sh cluster

test-vm: ## Run the tests that need ipvlan or VLANs in a virtual machine with Debian's kernel (root)
	@./test-netns/rings.sh vm

fuzz: ## Run each fuzz target for FUZZ_SECONDS (60)
	@./test-netns/fuzz.sh

bench: plugin ## Compare ADD and DEL with the floor, the reference plugins and Multus: BENCH_ROUNDS (40), MULTUS (root)
	@ROOKNET=target/dist/rooknet ./bench/bench.sh

measure: plugin ## Measure ADD and DEL of the demo's OSD with hyperfine (root)
	@ROOKNET=target/dist/rooknet ./test-netns/measure.sh

measure-kube: plugin ## Measure what the API server costs an ADD: medians, their ratio, memory (root)
	@ROOKNET=target/dist/rooknet ./test-kube/measure.sh

cluster: ## Start a Kubernetes with two nodes on this machine, in target/cluster; print how to use it (root)
	@./test-cluster/cluster.sh up

cluster-down: ## Remove it and every trace of it (root)
	@./test-cluster/cluster.sh down

clean: ## Remove what was built; the tools' cache stays
	cargo clean
