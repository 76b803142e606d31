# What `sam build` runs, from the root of the repository. ARCHITECTURE is set by the Makefile that includes this.
# The interpreter only runs pip; with Python 3.13 it compiles the code too, which makes cold starts faster.
PYTHON ?= $(shell python3.13 -c 'import pip; print("python3.13")' 2>/dev/null || echo python3)
PACKAGE := $(PYTHON) infra/build/package.py --architecture $(ARCHITECTURE) --into "$(ARTIFACTS_DIR)"

.PHONY: build-ApiFunction build-EventsFunction build-StreamFunction build-TimersFunction build-SweepFunction

build-ApiFunction:
	$(PACKAGE) functions/api/levante_api

build-EventsFunction:
	$(PACKAGE) --program functions/events/run.sh functions/events/levante_events

build-StreamFunction build-TimersFunction build-SweepFunction:
	$(PACKAGE) functions/dispatcher/levante_dispatcher
