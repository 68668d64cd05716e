# make demo | test | test-slow | test-isa | test-cluster | test-oldest | lint | docs | soak | bench | bench-gpu | bench-peers | study | models | leakage-ablation | resume | clean      (see README.md)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDY ?= demo
CORES ?= all
PROFILE ?= default
# Snakemake for a study: its log in a file and its errors last, or with VERBOSE=1 all of its own output. On a cluster the
# cores are those of each job. A module, not the script beside Python: that one does not start where the folder's path
# has both a space and a dollar or a quote.
VERBOSE ?=
run = $(BIN)/python -m $(if $(VERBOSE),snakemake,siwcc.jobs.run_study logs/$(1)/snakemake.log) \
    --workflow-profile profiles/$(PROFILE) $(if $(filter slurm,$(PROFILE)),,--cores $(CORES))
OVERLAY = resources/studies/$(STUDY).yaml
# What else Snakemake is to be told: ARGS="--config 'datasets={vfdb: {path: /where/it/is/vfdb}}'"
ARGS ?=
# Four studies in one, so it has a Snakefile of its own.
SNAKEFILE = $(if $(filter leakage-ablation,$(STUDY)),workflow/leakage_ablation.smk,Snakefile)

# The versions of Python for which `make check-lock` finds every package; pyproject.toml and README name the same.
PYTHONS := 3.11 3.12 3.13
# The Python of the environment, or the one that will make it. Stops with one line if its version is not supported.
used_python = $(shell test -x $(BIN)/python && echo $(BIN)/python || echo $(PYTHON))
python_version = $(shell $(used_python) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
require_python = $(if $(filter $(PYTHONS),$(python_version)),,$(error Python \
    $(or $(python_version),of unknown version) ($(used_python)) is not supported. Supported: $(PYTHONS). Choose one: make PYTHON=python3.12))

# As many tests at once: each starts programs of its own.
TEST_PROCESSES ?= logical --maxprocesses 4
CLUSTER_TESTS ?= cluster
ISA ?= -- -n $(TEST_PROCESSES) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo known-study study models leakage-ablation resume test test-slow test-isa test-cluster test-oldest lint docs docs-serve docs-links fuzz soak audit bench bench-gpu bench-peers lock check-lock clean

help:
	@echo "make demo            the whole pipeline on synthetic data, to a report"
	@echo "make test            the fast tests: every promise once, a few minutes"
	@echo "make test-slow       the other tests: kills of whole studies, full disks, every network exported, ..."
	@echo "make test-isa        the numeric tests under each instruction set of this machine; ISA='--settings avx2'"
	@echo "make test-cluster    the study through a real SLURM on this machine: root and Debian only"
	@echo "make test-oldest     the layer and the networks with the oldest torch and numpy that are supported"
	@echo "make lint            formatters and checkers"
	@echo "make docs            build the documentation site, to site/"
	@echo "make docs-serve      build the site and serve it on this machine; PORT=8000"
	@echo "make docs-links      check the external links of the pages, from the network"
	@echo "make fuzz            2,000 damaged files under every reader; CASES=, SEED= and WORKERS= change that"
	@echo "make soak            kill a study again and again; KILLS=50, SEED=1, STUDY=tiny, CORES=2, TWIN=, OUT=, ARGS="
	@echo "make audit           known vulnerabilities of the installed packages, from the network"
	@echo "make lock            requirements.lock from pyproject.toml, then check-lock; ARGS=--upgrade for newer versions"
	@echo "make check-lock      resolve the lock for each supported Python and platform, without an installation"
	@echo "make bench           how fast it is here: docs/explanation/performance.md; BENCH=--quick for a trial"
	@echo "make bench-gpu       the same on a CUDA device, next to what its roofline allows; without one: BENCH='--device cpu --quick'"
	@echo "make bench-peers     landmarker on the cells of the finished study localiser-herlev; PEERS='--budget 130 480'"
	@echo "make study STUDY=x   the study resources/studies/x.yaml; without STUDY: their list"
	@echo "make models STUDY=x  train and measure the networks in models/ again: STUDY=localiser, localiser-herlev or onsets-both"
	@echo "make leakage-ablation  what the paper's protocol hides: its two leaks, removed one at a time"
	@echo "make resume STUDY=x  go on with a study whose process was killed; ARGS= as it was started with"
	@echo "                     demo, study and resume on a cluster or with several GPUs: PROFILE=slurm, workstation;"
	@echo "                     with all of Snakemake's output: VERBOSE=1; without a run: ARGS=-n"
	@echo "make clean           remove the environment and what the demo made; other studies stay"

# torch first and without a hash: its file differs by platform. The rest is locked with hashes.
TORCH := "torch==2.13.0"
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(require_python)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (once, a few minutes)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check $(TORCH)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(VENV)/.ready

demo: setup
	@$(call run,demo) --configfile resources/studies/demo.yaml
	@$(BIN)/python -m siwcc.cli.main show results/demo

# STUDY has a default for `make resume`; `make study` is to be given one. Listed without the environment, so at once.
OFFERED := $(basename $(notdir $(wildcard resources/studies/*.yaml)))
list_studies = for name in $(OFFERED); do printf '  %-25s' "$$name"; sed -n 's/^. Tests: //p' "resources/studies/$$name.yaml"; done

known-study:
	@$(if $(filter $(call asked,STUDY,),$(OFFERED)),:,{ echo "make study: give STUDY=<name>, one of:"; $(list_studies); } >&2; exit 2)

study: known-study setup
	@$(call run,$(STUDY)) --snakefile $(SNAKEFILE) --configfile $(OVERLAY) $(ARGS)

# The networks in models/: of localisers each of every fold, and one of all of them; of detectors each of every fold.
MODELS_localiser = ecg/none/heatmap
MODELS_localiser-herlev = nuclei/none/unet
MODELS_onsets-both = onsets
SHIPPED = models/$(if $(filter onsets,$(MODELS_$(STUDY))),ecg/onsets,$(firstword $(subst /, ,$(MODELS_$(STUDY)))))
OF_FOLDS = $(patsubst %,results/$(STUDY)/$(MODELS_$(STUDY))/%/seed42/model.pt,fold1 fold2 fold3 fold4 fold5 all)
MODEL_FILES = $(if $(filter onsets,$(MODELS_$(STUDY))),results/$(STUDY)/onsets/onsets.json,$(OF_FOLDS))

models: setup
	@test -n "$(MODELS_$(STUDY))" || { echo "make models: give STUDY=localiser, localiser-herlev or onsets-both"; exit 2; }
	@$(BIN)/python workflow/unlock.py --configfile $(OVERLAY) $(ARGS)
	@$(call run,$(STUDY)) --configfile $(OVERLAY) $(ARGS) -- $(MODEL_FILES)
	@$(BIN)/python workflow/ship_models.py results/$(STUDY)/$(MODELS_$(STUDY)) $(SHIPPED)

leakage-ablation:
	@$(MAKE) study STUDY=leakage-ablation

resume: setup
	@$(BIN)/python workflow/unlock.py --snakefile $(SNAKEFILE) --configfile $(OVERLAY) $(ARGS)
	@$(call run,$(STUDY)) --snakefile $(SNAKEFILE) --configfile $(OVERLAY) $(ARGS)

test: setup
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

test-slow: setup
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -m "slow and not cluster"

test-isa: setup
	@$(BIN)/python tests/isa_run.py $(ISA)

test-cluster: setup
	@$(BIN)/python -m pytest -m "$(CLUSTER_TESTS)" tests/cluster

# An environment of its own with the lower bound of everything that the package itself needs. Nothing locks it.
OLDEST := .venv-oldest
LOWER_BOUNDS = import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
    needed = project["dependencies"] + project["optional-dependencies"]["predict"]; \
    print(*[item.replace(">=", "==") + ".*" for item in needed])
$(OLDEST)/.ready: pyproject.toml Makefile
	@test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	@echo "setting up $(OLDEST) (once, a few minutes)"
	@set -f; bounds=$$($(OLDEST)/bin/python -c '$(LOWER_BOUNDS)') && \
	    $(OLDEST)/bin/python -m pip install -qq --disable-pip-version-check $$bounds psutil pytest setuptools
	@touch $@

test-oldest: $(OLDEST)/.ready
	@$(OLDEST)/bin/python -m pytest tests/nn/test_coordinate_channels.py tests/nn/test_paper_networks.py tests/nn/test_heatmap_networks.py tests/training/test_checkpoint.py

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/snakefmt --check Snakefile rules workflow
	@$(BIN)/snakemake --lint
	@$(BIN)/snakemake --snakefile workflow/leakage_ablation.smk --lint

# All pages are read again: the reference is made from the code, and the notebook runs it.
docs: setup
	@$(BIN)/sphinx-build -W --keep-going --quiet --fresh-env --doctree-dir build/doctrees docs site
	@rm -rf jupyter_execute
	@echo "site/index.html"

docs-serve: docs
	@$(BIN)/python -m http.server --directory site --bind 127.0.0.1 $(or $(PORT),8000)

docs-links: setup
	@$(BIN)/sphinx-build --quiet -b linkcheck --doctree-dir build/doctrees docs build/linkcheck

fuzz: setup
	@$(BIN)/python tests/fuzz/fuzz_run.py --cases $(or $(CASES),2000) --seed $(or $(SEED),1) --workers $(or $(WORKERS),1)

# STUDY and CORES have defaults of other targets: what was not asked for is not taken over.
asked = $(if $(filter file,$(origin $(1))),$(2),$($(1)))
soak: setup
	@$(BIN)/python tests/soak/soak_run.py --kills $(or $(KILLS),50) --seed $(or $(SEED),1) \
	    --study $(call asked,STUDY,tiny) --cores $(call asked,CORES,2) $(if $(TWIN),--twin $(TWIN)) \
	    $(if $(OUT),--out $(OUT)) -- $(ARGS)

# In an environment of its own, so that what is looked at is what was locked.
audit: setup
	@test -x $(VENV)/audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)/audit && \
	    $(VENV)/audit/bin/python -m pip install -qq --disable-pip-version-check pip-audit; }
	@$(VENV)/audit/bin/pip-audit --skip-editable --path $$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

bench: setup
	@$(BIN)/python -m benchmarks $(BENCH)

bench-gpu: setup
	@$(BIN)/python -m benchmarks.gpu $(BENCH)

# An environment of its own for the peer: nothing of it is needed by the package.
PEERS_VENV := .venv-peers
$(PEERS_VENV)/.ready: benchmarks/peers/requirements.txt
	@$(require_python)
	@test -x $(PEERS_VENV)/bin/python || $(PYTHON) -m venv $(PEERS_VENV)
	@echo "setting up $(PEERS_VENV) (once, a few minutes)"
	@$(PEERS_VENV)/bin/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

bench-peers: setup $(PEERS_VENV)/.ready
	@$(BIN)/python -m benchmarks.peers --python $(PEERS_VENV)/bin/python $(PEERS)

# In an environment of its own: neither command needs that of the study.
UV := $(VENV)/uv/bin/uv
$(UV):
	@test -x $(VENV)/uv/bin/python || $(PYTHON) -m venv $(VENV)/uv
	@$(VENV)/uv/bin/python -m pip install -qq --disable-pip-version-check "uv==0.13.9"

# One set of versions for every supported Python and platform, with markers. A version that is in the lock stays, unless
# ARGS=--upgrade. Packages of CUDA come with torch, not from here.
lock: $(UV)
	@cp requirements.lock $(VENV)/all.lock
	@echo $(TORCH) | $(UV) pip compile --quiet --python $(VENV)/uv/bin/python --python-version $(firstword $(PYTHONS)) \
	    --universal --fork-strategy fewest --all-extras --generate-hashes --no-header --no-emit-package torch \
	    --output-file $(VENV)/all.lock $(ARGS) pyproject.toml -
	@awk 'NR == 1 {print "# Every package but torch, with hashes; made by `make lock`. torch comes first, see the Makefile."} \
	    /^[a-z]/ {skip = /^(siwcc|torch|triton|nvidia|cuda)/} /^# The following/ {exit} !skip && NF && !/^#/' $(VENV)/all.lock > requirements.lock
	@$(MAKE) --no-print-directory check-lock

check-lock: $(UV)
	@$(VENV)/uv/bin/python workflow/check_lock.py $(UV) $(TORCH) $(PYTHONS)

# Studies that took hours are not removed: results/<study>, data/ and logs/ are the user's.
clean:
	rm -rf $(VENV) $(OLDEST) $(PEERS_VENV) results/demo logs/demo data/*/demo_ecg* data/*/demo_nuclei* build *.egg-info
	rm -rf site jupyter_execute .pytest_cache .mypy_cache .ruff_cache
