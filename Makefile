# make demo     install what is missing, build everything, run a first container (as root)
# make bundles  make all of bundles/ ready to run: root file systems, and config.json where it depends on the host
# make test     all gates: ruff, mypy, the tests of the house, of units, of the kernel and of scenarios, then test-vm
# make test-vm  the tests that want cgroup v2, systemd, AppArmor or CRIU, in an emulated machine (docs/testing.md)
# make conformance  judge pyrunc by the cases of conformance/, and the cases by broken runtimes (docs/conformance.md)
# make bench    time every command against runc and crun (ROUNDS=30)
# make bench-shim  time containerd with pyrunc's shim against its own (ROUNDS=30)
# make hot      find out anew which functions the image puts together (launcher/hot.txt); as root
# make man      write the man pages to build/man
# make          only build .venv with pyrunc in it: .venv/bin/pyrunc
# make clean    remove everything that was made
#
# PYTHON=... chooses the interpreter; otherwise the distribution's own is taken if it is 3.11 or newer.

PYTHON ?= $(shell tools/find-python)
ROUNDS ?= 30
VENV := .venv
STAMPS := $(VENV)/stamps
PIP := $(VENV)/bin/python -m pip --quiet --disable-pip-version-check

# $(call install,GROUP): the requirements of one group of pyproject.toml.
define install
@echo "installing into $(VENV):" $$($(VENV)/bin/python tools/requirements.py $(1))
@$(VENV)/bin/python tools/requirements.py $(1) | xargs -d '\n' $(PIP) install
endef

# A package comes from its sources, and also from the directories, whose time changes when a file is removed.
SOURCES := $(shell find pyrunc launcher -name __pycache__ -prune -o \( -type d -o -name '*.py' -o -name '*.[ch]' -o -name hot.txt \) -print)
CHECKED := $(wildcard pyrunc tests bundles conformance tools)

# In CI a test whose host lacks something fails instead of being skipped.
ifdef CI
export PYRUNC_CI := 1
endif

.DELETE_ON_ERROR:
.PHONY: all bundles conformance demo test test-vm lint types pytest bench bench-shim hot protos man deps-demo deps-test install-deps help clean

all: $(STAMPS)/pyrunc

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

demo: deps-demo $(STAMPS)/pyrunc
	@$(VENV)/bin/python bundles/rootfs.py bundles/hello/rootfs
	@test "$$(id -u)" = 0 || { echo "make demo: the hello bundle is root's: sudo make demo" >&2; exit 1; }
	$(VENV)/bin/pyrunc run --bundle bundles/hello hello

bundles: deps-demo $(STAMPS)/pyrunc
	@$(VENV)/bin/python -m bundles

test: deps-test $(STAMPS)/dev $(STAMPS)/pyrunc
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy $(CHECKED)
	$(foreach program,$(wildcard bundles/*-*/*.py),$(VENV)/bin/mypy $(program) &&) true
	$(VENV)/bin/python -m pytest tests
	$(VENV)/bin/python -m conformance --runtime $(VENV)/bin/pyrunc
	$(VENV)/bin/python -m tests.vm test

conformance: deps-test $(STAMPS)/pyrunc
	$(VENV)/bin/python -m conformance --runtime $(VENV)/bin/pyrunc
	$(VENV)/bin/python -m conformance --self-test --runtime $(VENV)/bin/pyrunc

test-vm: deps-test $(STAMPS)/venv
	$(VENV)/bin/python -m tests.vm test

bench: deps-test $(STAMPS)/pyrunc
	$(VENV)/bin/python -m tests.bench --rounds $(ROUNDS)

bench-shim: deps-test $(STAMPS)/dev $(STAMPS)/pyrunc
	$(VENV)/bin/python -m tests.bench.shim --rounds $(ROUNDS)

hot: deps-test $(STAMPS)/dev
	$(VENV)/bin/python -m tests.bench.hot

# The modules of pyrunc/shim/protos from the .proto files beside them.
protos: $(STAMPS)/dev
	$(VENV)/bin/python tools/protos.py

man:
	$(PYTHON) tools/man.py build/man

lint: $(STAMPS)/dev
	$(VENV)/bin/ruff check .

types: $(STAMPS)/dev
	$(VENV)/bin/mypy $(CHECKED)
	$(foreach program,$(wildcard bundles/*-*/*.py),$(VENV)/bin/mypy $(program) &&) true

pytest: $(STAMPS)/dev $(STAMPS)/pyrunc
	$(VENV)/bin/python -m pytest tests

install-deps: deps-test

deps-demo deps-test: deps-%:
	@tools/install-deps "$(PYTHON)" $*

# The stamps say what of .venv is up to date: itself, the development tools, the installed pyrunc.
$(STAMPS)/venv: pyproject.toml tools/requirements.py | deps-demo
	@test -x $(VENV)/bin/python || echo "making $(VENV) with $(PYTHON)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(call install,build)
	$(call install,run)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(STAMPS)/venv
	$(call install,dev)
	@touch $@

# Without `build` nothing of a removed module is left over. A second or two, so only when a source is newer.
$(STAMPS)/pyrunc: $(STAMPS)/venv setup.py pyproject.toml $(SOURCES) $(wildcard oci-spec/*.json docs/man/*.txt)
	@echo "installing pyrunc into $(VENV)"
	@rm -rf build
	@$(PIP) install --no-deps --no-build-isolation --force-reinstall .
# pip keeps to itself what the build says.
	@sed 's/^/pyrunc has no image, every command will take 5 to 10 ms more: /' $(VENV)/lib/*/*-packages/pyrunc/no-image 2>/dev/null || true
	@touch $@

clean:
	$(PYTHON) -m bundles --clean
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
