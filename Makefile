# ffstorage: history, tenants, batches and figures for PostgreSQL tables.
#
#   make demo    install what is missing, build, load real data, show it
#   make test    install what is missing, build, run every test
#   make soak    install what is missing, build, run the random and the big tests for an hour
#   make bench   install what is missing, build, measure beside the peers (bench/README.md)
#   make; make install; make installcheck   the usual PGXS targets

EXTENSION = ffstorage
EXTVERSION = 1.0
MODULE_big = ffstorage

# The rooms, callees first: the order of the install script.
ROOMS = base stats tenancy registry temporal batch cache resilience
OBJS = src/ffstorage.o $(patsubst %.c,%.o,$(foreach room,$(ROOMS),$(sort $(wildcard src/$(room)/*.c))))
ROOM_SQL = $(foreach room,$(ROOMS),$(sort $(wildcard src/$(room)/*.sql)))

DATA_built = sql/$(EXTENSION)--$(EXTVERSION).sql
EXTRA_CLEAN = sql/$(EXTENSION)--$(EXTVERSION).sql tmp_check output_iso

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test $(EXPECTED_OPTS)
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. $(EXPECTED_OPTS)
# 15 finds the top-level expected/ by itself, later ones have to be told.
EXPECTED_OPTS = $(if $(filter 15,$(MAJORVERSION)),,--expecteddir=.)

PG_CONFIG ?= pg_config
# Warnings are for our own code: the server's headers count as the system's.
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) -Isrc -DFFS_EXTENSION_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wno-declaration-after-statement
# clang does not see that the server's macros are the system's (format names
# and casts that gcc knows, the parameter of PG_FUNCTION_ARGS), nor all of the
# options that a server built by gcc hands on.
ifneq (,$(findstring clang,$(CC)))
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes \
	-Wno-unused-parameter -Wno-cast-function-type -Wno-cast-function-type-mismatch
endif

ifneq (,$(filter demo test bench soak,$(MAKECMDGOALS)))
demo test bench soak:
	@scripts/$@
.PHONY: demo test bench soak
else
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
$(OBJS): $(wildcard src/*.h src/*/*.h)
endif

sql/$(EXTENSION)--$(EXTVERSION).sql: $(ROOM_SQL)
	@mkdir -p $(@D)
	cat $^ > $@
