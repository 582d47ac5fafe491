#!/usr/bin/env bash
# Installs, on Debian and Ubuntu, the programs that the tests need and npm does not bring: curl for those of the
# example and of the README, PgBouncer for test/data-source/pooler, and a PostgreSQL with psql and pg_dump for
# test/migrations. As root, or with sudo.
set -euo pipefail

missing=()
command -v curl >/dev/null || missing+=(curl)
# Debian puts it where ordinary users don't look.
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
# The programs of the server are in the folder of its version.
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
[ ${#missing[@]} -gt 0 ] || exit 0

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -qq
# In run level 1 the package starts no service of its own; the tests start what they need.
as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
