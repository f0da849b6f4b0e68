# taskq: make && make install && make installcheck
EXTENSION  = taskq
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" taskq.control)

MODULE_big = taskq
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

PG_CPPFLAGS = -I$(srcdir)/src -DTASKQ_VERSION=\"$(EXTVERSION)\"
# TESTING=1 adds what tests need and nobody else should have: a clock to set, ways
# to misbehave, places to wait at.
ifdef TESTING
PG_CPPFLAGS += -DTASKQ_TESTING
endif
# Strict builds for developers and CI; users' compilers are never held to it.
ifdef WERROR
PG_CFLAGS += -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-clobbered
endif
ifdef COVERAGE
PG_CFLAGS += --coverage
SHLIB_LINK += --coverage
EXTRA_CLEAN += src/*.gcda src/*.gcno src/*/*.gcda src/*/*.gcno
endif

# Only what SQL and the postmaster call is visible from outside.
ifeq ($(shell uname),Linux)
SHLIB_LINK += -Wl,--version-script=src/taskq.map
endif

DATA = $(wildcard sql/taskq--*--*.sql)
DATA_built = sql/taskq--$(EXTVERSION).sql
# Pages share a directory with those of other extensions, so their names begin with
# taskq, and links follow them.
PAGES = $(patsubst doc/%.md,taskq-%.md,$(filter-out doc/taskq.md doc/internals.md,$(wildcard doc/*.md))) taskq.md taskq-README.md taskq-CHANGELOG.md
DOCS = $(addprefix doc/installed/,$(PAGES))
EXTRA_CLEAN += doc/installed output_iso tmp_check results regression.diffs regression.out

include test/lists.mk
# Tests that move the clock, or have something misbehave, need a build with TESTING=1.
ifndef TESTING
REGRESS := $(filter-out $(NEED_TESTING),$(REGRESS))
ISOLATION := $(filter-out $(NEED_TESTING),$(ISOLATION))
endif
# Whichever specs are asked for, the one that creates their functions runs first.
override ISOLATION := $(if $(strip $(ISOLATION)),helpers $(filter-out helpers,$(ISOLATION)))
REGRESS_OPTS = --inputdir=test --load-extension=pgtap
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=taskq
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The script that is installed, from its parts in the order in which they build on each other.
SQL_PARTS = head vocabulary tables clock handler queue limit budget pool external_worker enqueue claim lease settle retry error current result decide checkpoint frames run look access tenants views read_events columns rights installation
sql/taskq--$(EXTVERSION).sql: $(SQL_PARTS:%=sql/parts/%.sql) taskq.control
	cat $(SQL_PARTS:%=sql/parts/%.sql) >$@

all: $(DOCS)
doc/installed/taskq.md: doc/taskq.md script/installed-page
	@mkdir -p $(@D)
	script/installed-page $< >$@
doc/installed/taskq-%.md: doc/%.md script/installed-page
	@mkdir -p $(@D)
	script/installed-page $< >$@
doc/installed/taskq-%.md: %.md script/installed-page
	@mkdir -p $(@D)
	script/installed-page $< >$@
# PGXS looks for them by the names that they have here
uninstall: uninstall-pages
uninstall-pages:
	rm -f $(addprefix '$(DESTDIR)$(docdir)/$(docmoduledir)'/,$(PAGES))

ifndef TESTING
installcheck: say-skipped
say-skipped:
	@echo 'skipped, as they need a build with TESTING=1: $(NEED_TESTING)'
endif

# A switch changes every object, so each set of switches is a build of its own.
$(OBJS): src/*.h src/*/*.h Makefile .build-switches
.build-switches: FORCE
	@echo '$(PG_CPPFLAGS) $(PG_CFLAGS) $(PG_CONFIG)' | cmp -s - $@ || echo '$(PG_CPPFLAGS) $(PG_CFLAGS) $(PG_CONFIG)' >$@
FORCE:

.PHONY: uninstall-pages say-skipped lint format privileges signatures dist bench FORCE
lint:
	test/check_house.sh
format:
	clang-format -i src/*.[ch] src/*/*.[ch]
privileges:
	script/privileges
signatures:
	script/signatures
dist:
	git archive --format zip --prefix=$(EXTENSION)-$(EXTVERSION)/ -o $(EXTENSION)-$(EXTVERSION).zip HEAD
bench:
	bench/run --quick
