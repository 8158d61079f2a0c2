# `make help` lists the targets; continuous integration (.ci/run) calls the same ones.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.ONESHELL:
.PHONY: help setup packages packages-running packages-image release install test test-units keys image bundle image-stamp test-image test-life test-image-reproducible test-image-update test-install test-disk test-powercut test-powercut-image lint lab test-crash test-faults test-upload soak demo bench bench-live lock clean

PYTHON ?= python3
SOAK_MINUTES ?= 60
FAULTS ?=
KEYRING ?= build/keys/keyring.pem
KEY ?= build/keys/signing.key
CERT ?= build/keys/signing.pem
DESTDIR ?=
PREFIX ?= /usr/lib/rokubox
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The lock files come from the public registry alone, whatever pip is set to here, and name no index.
LOCK := PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= PIP_EXTRA_INDEX_URL= $(VENV)/pip-tools/bin/pip-compile --no-config --quiet \
	--generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-24s %s\n", $$1, $$2}'

setup: packages $(STAMP)  ## install what is missing: system packages, .venv, and .venv/bin/rokubox

# packages-running: without those for tests; packages-image: those for the appliance's image too.
packages packages-running packages-image:
	@case $@ in packages-running) end='/^# to test/,$$d;';; packages-image) end=;; *) end='/^# to build the app/,$$d;';; esac
	packages=$$(sed "$${end}s/#.*//" packages.apt | xargs)
	if ! command -v dpkg-query apt-get >/dev/null; then echo "no apt here, please provide: $$packages"; exit 0; fi
	missing=""
	for package in $$packages; do
	  [[ $$(dpkg-query -W -f '$${db:Status-Abbrev}' $$package 2>/dev/null) == ?i* ]] || missing+=" $$package"
	done
	[[ -n $$missing ]] || exit 0
	echo "installing system packages:$$missing"
	as_root=""; [[ $$(id -u) == 0 ]] || as_root=sudo
	$$as_root apt-get -qq update
	echo "wireshark-common wireshark-common/install-setuid boolean false" | $$as_root debconf-set-selections
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null

$(STAMP): requirements-dev.lock requirements.in pyproject.toml | packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	touch $@

install: $(if $(DESTDIR),,packages-running)  ## as root: install the services on this Debian 12 machine, or into DESTDIR
	systemd/install "$(DESTDIR)" "$(PREFIX)"

test: setup  ## run all tests
	$(BIN)/python -m pytest

lint: setup  ## check style, types and the layers of the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lab: setup  ## as root: real calls through a mirror port made of namespaces, every sample compared
	$(BIN)/python -m pytest -v -rs tests/lab

test-crash: setup  ## as root: the recorder killed 50 times under 50 calls, every sample compared; 7 minutes
	$(BIN)/python -m tests.crash

test-upload: setup  ## as root: delivery to real servers, hostile ones, and uploaders that are killed; 10 minutes
	$(BIN)/python -m pytest -m "" tests/uploader

test-faults: setup  ## as root: the fault matrix injected for real, nobody falsely accused; 20 minutes. FAULTS="--healthy-minutes 30"
	$(BIN)/python -m tests.faults $(FAULTS)

soak: setup  ## as root: 200 calls at a time for SOAK_MINUTES (60), memory, files, drops and every sample watched
	$(BIN)/python -m tests.crash.soak --minutes $(SOAK_MINUTES)

test-units: setup  ## as root: install into a Debian 12, boot it in a container, record, kill and stall; 5 minutes
	$(BIN)/python -m tests.units

keys: packages-image  ## make development keys for updates in build/keys; never for what customers get
	image/keys build/keys

image: setup packages-image  ## as root: build the appliance's disk image, build/image/rokubox.img; KEYRING=PEM: whose updates it takes; some minutes
	image/build build/image "$(KEYRING)"

bundle: $(if $(wildcard build/image/rokubox.img),,image)  ## a signed update of what `make image` has built, build/image/rokubox-VERSION.raucb; KEY=PEM CERT=PEM: who signs
	image/bundle build/image "$(KEY)" "$(CERT)" "$(KEYRING)"

release: image  ## as root: what a technician is given, build/release: the image packed, rokubox-flash, the steps
	image/release build/image/rokubox.img build/release

test-life: image  ## as root: boot the image's system in a container: a medium taken, network, share, SSH, status page; 1 minute
	$(BIN)/python -m tests.image.life build/image/tree

test-image: image  ## as root: boot the image in an emulated machine, provision, record, hang and damage it; every sample compared; 20 minutes
	$(BIN)/python -m tests.image build/image/rokubox.img
	$(BIN)/python -m tests.image.stamp --write

test-image-update: image  ## as root: updates of the emulated box, good ones and bad ones; 40 minutes
	$(BIN)/python -m tests.image.update build/image build/keys

test-install: image  ## as root: a bare emulated machine, a stick with the image, a technician at its console; 10 minutes
	$(BIN)/python -m tests.image.install build/image/rokubox.img

test-disk: image  ## as root: the data partition made, cut off in the making, encrypted, grown, destroyed; 40 minutes
	$(BIN)/python -m tests.image.disk build/image/rokubox.img

test-image-reproducible: setup packages-image  ## as root: build the image twice from nothing, in two folders, compare bit by bit; 15 minutes
	$(BIN)/python -m tests.image.reproducible

image-stamp: setup  ## say whether the image was tested as it is now (.ci/image.stamp)
	@$(BIN)/python -m tests.image.stamp

test-powercut: image  ## as root: cut the power at 100 instants of recording on the image's data partition, compare every sample; 20 minutes
	$(BIN)/python -m tests.powercut build/image/rokubox.img --native
	$(BIN)/python -m tests.powercut.updates build/image/rokubox.img

test-powercut-image: image  ## as root: likewise of the emulated image, 5 disks booted again, on a machine with nothing else to do; an hour
	$(BIN)/python -m tests.powercut build/image/rokubox.img

demo: setup  ## make a capture of a few calls, import it, search and verify the recordings
	$(BIN)/python -m tests.demo --output demo-out

bench: setup  ## measure the import of 500 calls x 60 s beside tshark, what finishing a recording costs, the index, telemetry, and delivery
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.bench_storage
	$(BIN)/python -m tests.bench.bench_index
	$(BIN)/python -m tests.bench.bench_telemetry
	$(BIN)/python -m tests.bench.bench_upload

bench-live: setup  ## as root: measure live recording of 2,000 calls at a mirror port beside tcpdump, in 10 minutes
	$(BIN)/python -m tests.bench.live

lock: setup  ## choose the newest dependencies again and pin them with their hashes
	$(BIN)/python -m venv $(VENV)/pip-tools
	$(VENV)/pip-tools/bin/pip install --quiet --disable-pip-version-check pip-tools
	$(LOCK) --upgrade --output-file requirements.lock requirements.in
	$(LOCK) --upgrade --constraint requirements.lock --output-file requirements-dev.lock requirements-dev.in

clean:  ## remove everything that the other targets made
	rm -rf $(VENV) build demo-out bench-out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
