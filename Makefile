# taskq: make && make install && make installcheck
EXTENSION  = taskq
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" taskq.control)

MODULE_big = taskq
OBJS = \
	src/access.o \
	src/admit.o \
	src/adopt.o \
	src/args.o \
	src/blame.o \
	src/call.o \
	src/cancel.o \
	src/catalog.o \
	src/checkpoint.o \
	src/claim.o \
	src/claim_job.o \
	src/claimant.o \
	src/clock.o \
	src/complete.o \
	src/contract.o \
	src/crash.o \
	src/current.o \
	src/ddl.o \
	src/decide.o \
	src/describe.o \
	src/dispatch.o \
	src/eligible.o \
	src/enqueue.o \
	src/error.o \
	src/events.o \
	src/explain.o \
	src/fields.o \
	src/fill.o \
	src/frames.o \
	src/guard.o \
	src/guc.o \
	src/handler.o \
	src/histogram.o \
	src/history.o \
	src/horizon.o \
	src/job.o \
	src/kit.o \
	src/launcher.o \
	src/leaf.o \
	src/lease.o \
	src/list_handlers.o \
	src/locks.o \
	src/memory.o \
	src/operator.o \
	src/outcome.o \
	src/owner.o \
	src/payload.o \
	src/pool.o \
	src/queue.o \
	src/read_events.o \
	src/read_frames.o \
	src/ready.o \
	src/ready_entry.o \
	src/ready_lane.o \
	src/ready_xact.o \
	src/recall.o \
	src/recheck.o \
	src/redrive.o \
	src/register.o \
	src/registry.o \
	src/reset.o \
	src/resolve.o \
	src/result.o \
	src/retry.o \
	src/retry_function.o \
	src/roles.o \
	src/route.o \
	src/run.o \
	src/scan.o \
	src/scheduler.o \
	src/settle.o \
	src/shmem.o \
	src/stats.o \
	src/stats_file.o \
	src/status.o \
	src/stepwise.o \
	src/store.o \
	src/stuck.o \
	src/taskq.o \
	src/tenants.o \
	src/timer.o \
	src/unhandled.o \
	src/usercode.o \
	src/version.o \
	src/wait.o \
	src/wake.o \
	src/worker.o

PG_CPPFLAGS = -DTASKQ_VERSION=\"$(EXTVERSION)\"
# TESTING=1 adds what tests need and nobody else should have: a clock to set, ways
# to misbehave, places to wait at.
ifdef TESTING
PG_CPPFLAGS += -DTASKQ_TESTING
OBJS += src/testing.o src/waitpoint.o
else
EXTRA_CLEAN += src/testing.o src/testing.bc src/waitpoint.o src/waitpoint.bc
endif
# Strict builds for developers and CI; users' compilers are never held to it.
ifdef WERROR
PG_CFLAGS += -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-clobbered
endif
ifdef COVERAGE
PG_CFLAGS += --coverage
SHLIB_LINK += --coverage
EXTRA_CLEAN += src/*.gcda src/*.gcno
endif

# Only what SQL and the postmaster call is visible from outside.
ifeq ($(shell uname),Linux)
SHLIB_LINK += -Wl,--version-script=src/taskq.map
endif

DATA = $(wildcard sql/taskq--*--*.sql)
DATA_built = sql/taskq--$(EXTVERSION).sql
DOCS = $(wildcard doc/*.md)
EXTRA_CLEAN += output_iso tmp_check results regression.diffs regression.out

include test/lists.mk
REGRESS_OPTS = --inputdir=test --load-extension=pgtap
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=taskq
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

sql/taskq--$(EXTVERSION).sql: sql/taskq.sql taskq.control
	cp $< $@

# A switch changes every object, so each set of switches is a build of its own.
$(OBJS): src/*.h Makefile .build-switches
.build-switches: FORCE
	@echo '$(PG_CPPFLAGS) $(PG_CFLAGS) $(PG_CONFIG)' | cmp -s - $@ || echo '$(PG_CPPFLAGS) $(PG_CFLAGS) $(PG_CONFIG)' >$@
FORCE:

.PHONY: lint format privileges dist bench FORCE
lint:
	test/check_house.sh
format:
	clang-format -i src/*.c src/*.h
privileges:
	script/privileges
dist:
	git archive --format zip --prefix=$(EXTENSION)-$(EXTVERSION)/ -o $(EXTENSION)-$(EXTVERSION).zip HEAD
bench:
	bench/run --quick
