.PHONY: setup repro test slow lint format lock
setup:
	./run setup
repro:
	./run repro
test:
	./run test
slow:
	./run test -m slow
lint:
	./run ruff check .
	./run ruff format --check .
	./run mypy
format:
	./run ruff format .
	./run ruff check --fix .
lock:
	./run uv pip compile --universal --python-version 3.11 --extra dev --no-annotate --no-header --no-emit-index-url pyproject.toml -o requirements.lock
