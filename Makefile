# Trunkline: from a fresh Debian 12 to real SIP calls through the appliance.
#
#   make run          install what is missing, build, make a small network, place calls, report
#   make run KEEP=1   the same, and leave the network up to play with
#   make test         everything a change must pass
#   make test-nic     RSS on a NIC that has it, in a guest of QEMU (part of make test)
#   make fuzz         look for datagrams that break sip-core (FUZZ_SECONDS=3600 for long)
#   make bench        measure, and compare with the figures recorded for this kind of machine
#   make compare      measure Kamailio and others beside, in under 20 minutes
#   make connections  420,000 phones on TCP connections that stand: how they answer, what they cost
#
# All but `help` and `clean` need root: they install packages and make network namespaces.

PACKAGES := build-essential pkg-config clang llvm libclang-dev \
            dpdk dpdk-dev libdpdk-dev libbpf-dev libxdp-dev libelf-dev libpcap-dev \
            libsqlite3-dev iproute2 iputils-ping nftables ethtool tcpdump netcat-openbsd procps util-linux \
            sip-tester sipsak sipvicious baresip-core chromium python3-scapy fonts-dejavu-core kamailio valgrind \
            postgresql e2fsprogs mount dnsmasq-base redis-server faketime keepalived bird2
# What test-nic wants beside them.
GUEST_PACKAGES := qemu-system-x86 busybox-static

CARGO    ?= cargo
TARGET   := $(abspath $(or $(CARGO_TARGET_DIR),target))
RELEASE  := $(TARGET)/release
BENCH    := $(RELEASE)/trunkline-bench
MEASURED := --micro $(TARGET)/bench/micro.json --pipeline $(TARGET)/bench/pipeline.json

# Options of `trunkline lab demo`, e.g. make run CALL='--rate 2000 --seconds 5'
CALL     ?=
KEEP     ?=
# Each fuzz target, two at a time.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := parse route rewrite scan register digest frame

.DEFAULT_GOAL := help
.PHONY: help setup build run test test-nic lint unit e2e fuzz measure bench compare connections bench-record clean

help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# install those of these packages that are missing
define install
	@missing="$$(for p in $(1); do \
	  dpkg -s $$p 2>/dev/null | grep -q '^Status: install ok installed' || echo $$p; done)"; \
	missing="$$(echo $$missing)"; \
	if [ -n "$$missing" ]; then \
	  [ "$$(id -u)" = 0 ] || { echo "make setup: run as root to install: $$missing" >&2; exit 2; }; \
	  echo "setup: installing $$missing"; \
	  apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef

setup: ## Install the Debian packages that are missing
	$(call install,$(PACKAGES))
	@command -v $(CARGO) >/dev/null || { echo "make setup: no cargo: install Rust 1.95 or later" >&2; exit 2; }

build: setup ## Build everything in release mode
	$(CARGO) build --release --locked --workspace

run: build ## Place real SIP calls through the appliance (KEEP=1 leaves the lab up)
	@$(RELEASE)/trunkline lab demo --capture $(TARGET)/call.pcap $(if $(KEEP),--keep) $(CALL)

test: lint unit e2e test-nic fuzz ## Lint, unit tests, the whole appliance under test in its lab, fuzzing

lint: setup ## Format and clippy, warnings refused
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

unit: setup
	$(CARGO) test --locked --workspace

e2e: build
	TRUNKLINE_BIN_DIR=$(RELEASE) control/tests/e2e/run.sh $(CARGO)

# A kernel for the guest: Debian's has virtio, VFIO and 9p as modules. It is unpacked, not installed.
GUEST_KERNEL := $(TARGET)/nic
$(GUEST_KERNEL)/.unpacked: | setup
	@rm -rf $(GUEST_KERNEL) && mkdir -p $(GUEST_KERNEL)
	@cd $(GUEST_KERNEL) && apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root \
	  "$$(apt-cache depends --important linux-image-amd64 | awk '/Depends:/ { print $$2; exit }')" && \
	  dpkg-deb --extract linux-image-*.deb . && rm linux-image-*.deb && touch $@

test-nic: build $(GUEST_KERNEL)/.unpacked ## RSS on a NIC that has it: virtio-net on vfio-pci in a guest of QEMU
	$(call install,$(GUEST_PACKAGES))
	TRUNKLINE_BIN_DIR=$(RELEASE) TRUNKLINE_GUEST_KERNEL=$(GUEST_KERNEL) \
	  $(CARGO) test --locked --workspace --test nic -- --ignored --nocapture

fuzz: setup ## Fuzz sip-core: parse, route, rewrite, scan, register, digest, frame, FUZZ_SECONDS=60 each
	cd dataplane/sip/fuzz && $(CARGO) fmt --check && $(CARGO) build $(FUZZ_BUILD)
	@$(MAKE) --no-print-directory -j2 $(FUZZ_TARGETS:%=fuzz-%)

# New inputs are kept in target/fuzz/corpus; what breaks a property is left in target/fuzz/TARGET-*.
FUZZ_BUILD = --release --locked --target-dir $(TARGET)/fuzz
fuzz-%:
	@mkdir -p $(TARGET)/fuzz/corpus/$*
	@cd dataplane/sip/fuzz && $(CARGO) run --quiet $(FUZZ_BUILD) --bin $* -- -dict=sip.dict \
	  -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=1024 \
	  -artifact_prefix=$(TARGET)/fuzz/$*- $(TARGET)/fuzz/corpus/$* seeds ../tests/fixtures \
	  >$(TARGET)/fuzz/$*.log 2>&1 || { tail -n 40 $(TARGET)/fuzz/$*.log; exit 1; }
	@echo "fuzz $*: $$(tail -n 1 $(TARGET)/fuzz/$*.log), nothing found"

measure: build
	@mkdir -p $(TARGET)/bench
	@$(BENCH) pipeline --json $(TARGET)/bench/pipeline.json
	@$(BENCH) micro --json $(TARGET)/bench/micro.json

bench: measure ## Measure, and compare with the figures recorded for this kind of machine
	@$(BENCH) baseline compare $(MEASURED)

compare: build ## This appliance beside its peers, in one run: table and plots in target/bench
	@$(BENCH) compare --output $(TARGET)/bench

connections: build ## 420,000 phones on standing TCP connections: response times and memory for each, in target/bench
	@$(BENCH) connections --json $(TARGET)/bench/connections.json

bench-record: measure ## Measure, and record the figures in bench/baselines
	@$(BENCH) baseline record $(MEASURED)

clean: ## Remove what was built, and the lab
	-@[ ! -x $(RELEASE)/trunkline ] || $(RELEASE)/trunkline lab down
	$(CARGO) clean
