# Every target makes the virtual environment it needs and asks for nothing installed by hand.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Small products gain nothing from more BLAS threads, and processes share the cores better.
export OPENBLAS_NUM_THREADS = 1

.PHONY: demo test lint bench bench-rivals docs clean

$(VENV)/demo: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[data,plots]'
	touch $@

$(VENV)/dev: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/docs: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[docs,data,plots]'
	touch $@

demo: $(VENV)/demo
	$(BIN)/python examples/plot_distillation.py --out out
	$(BIN)/python examples/plot_retrieval.py --out out
	$(BIN)/python examples/plot_cascade.py --out out

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal
	$(BIN)/python benchmarks/speed.py --short
	$(BIN)/python benchmarks/towers.py --short
	$(BIN)/python benchmarks/index.py --short
	$(BIN)/python benchmarks/index_recall.py --short
	$(BIN)/python benchmarks/million.py --short
	$(BIN)/python benchmarks/serving.py --short
	$(BIN)/python benchmarks/cascade.py --short
	$(BIN)/python benchmarks/implicit_feedback.py --short
	$(BIN)/python benchmarks/ctr.py --short
	$(BIN)/python benchmarks/quality.py --short

bench: $(VENV)/dev
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/tables.py --part quality
	$(BIN)/python benchmarks/teaching.py
	$(BIN)/python benchmarks/ties.py
	$(BIN)/python benchmarks/auction.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/million.py
	$(BIN)/python benchmarks/index_recall.py
	$(BIN)/python benchmarks/cascade.py

# These two have rivals that nothing else needs: PyTorch, FAISS, implicit.
bench-rivals: $(VENV)/dev
	$(BIN)/python -m pip install --quiet torch faiss-cpu implicit
	$(BIN)/python benchmarks/towers.py
	$(BIN)/python benchmarks/index.py

docs: $(VENV)/docs
	$(BIN)/sphinx-build -q -W docs docs/_build

clean:
	rm -rf $(VENV) out build docs/_build
