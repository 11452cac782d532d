# Every target makes the virtual environment it needs and asks for nothing installed by hand.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
BENCH_VENV ?= .venv-benchmarks
# Tools that build the package warn of what is no fault here, such as an editable installation.
PIP = PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet
STUDIES = quality columns teaching ties auction auction_cascade cascade implicit_feedback day ctr \
	index_recall million pareto budget replicas
# Small products gain nothing from more BLAS threads, and processes share the cores better.
export OPENBLAS_NUM_THREADS = 1

.PHONY: demo test lint bench bench-studies docs clean

$(VENV)/demo: EXTRAS = data,plots,serving
$(VENV)/dev: EXTRAS = dev
$(VENV)/docs: EXTRAS = docs,data,plots
# The peers have a virtual environment of their own: nothing else needs them.
$(BENCH_VENV)/benchmarks: EXTRAS = benchmarks
$(BENCH_VENV)/benchmarks: override VENV = $(BENCH_VENV)
$(VENV)/demo $(VENV)/dev $(VENV)/docs $(BENCH_VENV)/benchmarks: setup.cfg pyproject.toml
	@echo "Installing skdistill[$(EXTRAS)] into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip
	@$(PIP) --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(VENV)/demo
	@echo "1 of 3: a ranker, students, and what they have to beat"
	@$(BIN)/python examples/plot_distillation.py --out out
	@echo "2 of 3: towers that retrieve as the ranker would"
	@$(BIN)/python examples/plot_retrieval.py --out out
	@echo "3 of 3: a cascade of all stages, and the sizes that it needs"
	@$(BIN)/python examples/plot_cascade.py --out out
	@echo "Tables and pictures are in out/. What they mean: docs/demo.md."
	@echo "Next, your own ranker: docs/from_a_lightgbm_file.md. Try it without a file of yours:"
	@echo "    $(BIN)/python examples/readme.py"

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# Two processes share the cores: with more threads each, those of LightGBM wait for each other.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
	$(BIN)/python -m benchmarks --short

# All benchmarks of speed, into the tables of docs/benchmarks.md, and the floors of the short form.
bench: $(BENCH_VENV)/benchmarks
	$(BENCH_VENV)/bin/python -m benchmarks --threads 1 2 --write-docs --out out
	$(BENCH_VENV)/bin/python -m benchmarks --short --record

# The studies of quality, which take hours.
bench-studies: $(BENCH_VENV)/benchmarks
	for study in $(STUDIES); do $(BENCH_VENV)/bin/python -m benchmarks $$study || exit 1; done

docs: $(VENV)/docs
	$(BIN)/sphinx-build -q -W docs docs/_build

clean:
	rm -rf $(VENV) $(BENCH_VENV) out build docs/_build
