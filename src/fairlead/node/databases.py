"""The images of databases, for hosts that have Debian's package: an entrypoint of ours with the image's variables.

Like the images' own it makes the database where there is none yet, as the user that the package made, runs what is in
/docker-entrypoint-initdb.d, and then becomes the server. What the host keeps in its own database is left alone.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from fairlead.node.environment import PATH
from fairlead.node.images import Image

USUAL_USERS = (999, 70, 26, 1000, 1001)
"""Whom manifests run PostgreSQL as: the users of the image, of its alpine edition, and of others."""


def images() -> dict[str, Image]:
    """The databases by the names of their images."""
    return {"postgres": _postgres(), "mysql": _mariadb(), "mariadb": _mariadb()}


def _postgres() -> Image:
    """Debian keeps each version's programs in a folder of its own; the newest one is meant."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=_version)
    folder = folders[-1] if folders else ""
    return Image(
        entrypoint=("sh", "-c", _FIRST_STEPS + _POSTGRES, "postgres"),
        command=("postgres",),
        environment={
            "PATH": f"{folder}:{PATH}",
            "PGDATA": "/var/lib/postgresql/data",
            "PGHOST": "/tmp",  # noqa: S108 -- of the socket: whoever the container is can write there
            "LANG": "C.UTF-8",
        },
        files={"/etc/passwd": _with_users(Path("/etc/passwd").read_text(), USUAL_USERS)},
        needs=os.path.join(folder, "postgres"),
        package="postgresql",
    )


def _with_users(users: str, numbers: Iterable[int]) -> str:
    """The text of a passwd(5) file with users of these numbers, where it has none: initdb asks for its own name."""
    known = {line.split(":")[2] for line in users.splitlines() if line.count(":") > 2}
    missing = [number for number in numbers if str(number) not in known]
    return users + "".join(f"postgres-{n}:x:{n}:{n}::/var/lib/postgresql:/bin/sh\n" for n in missing)


def _version(folder: str) -> int:
    number = folder.split("/")[4]
    return int(number) if number.isdecimal() else 0


def _mariadb() -> Image:
    return Image(
        entrypoint=("sh", "-c", _FIRST_STEPS + _MARIADB, "mariadbd"),
        command=("mariadbd",),
        needs="mariadbd",
        package="mariadb-server",
    )


_FIRST_STEPS = """
set -eu
fail() { echo "Error: $*" >&2; exit 1; }
quoted() { printf %s "$1" | sed "s/'/''/g"; }
# Calls $1 with each file of SQL, packed or not; runs or reads those of the shell.
each_script() {
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) "$1" < "$file" ;;
            *.sql.gz) gunzip -c "$file" | "$1" ;;
        esac
    done
}
"""

_POSTGRES = """
case "${1-}" in -*) set -- postgres "$@" ;; esac
[ "${1-}" = postgres ] || exec "$@"
user="${POSTGRES_USER:-postgres}"
mkdir -p "$PGDATA" 2> /dev/null && [ -w "$PGDATA" ] || { export PGDATA=/tmp/data; mkdir -p "$PGDATA"; }
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres: "$PGDATA" 2> /dev/null ||
        fail "PostgreSQL does not run as root, and in an ordinary user's lab root cannot become another user:" \\
            "give the container a securityContext.runAsUser, for example 999."
    as="setpriv --reuid=postgres --regid=postgres --init-groups --"
fi
sql() { $as psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 --username "$user" --dbname "${POSTGRES_DB:-$user}"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password="${POSTGRES_PASSWORD-}"
    [ -z "${POSTGRES_PASSWORD_FILE-}" ] || password="$(cat "$POSTGRES_PASSWORD_FILE")"
    [ -n "$password" ] || [ "${POSTGRES_HOST_AUTH_METHOD-}" = trust ] ||
        fail "Database is uninitialized and superuser password is not specified: set POSTGRES_PASSWORD."
    secret="$(mktemp)"
    printf '%s\\n' "$password" > "$secret"
    [ -z "$as" ] || chown postgres: "$secret"
    $as initdb --username="$user" ${password:+--pwfile="$secret"} --auth-local=trust --auth-host=trust \\
        --encoding=UTF8 ${POSTGRES_INITDB_ARGS-}
    rm "$secret"
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$PGDATA/pg_hba.conf"
    printf '%s\\n' "listen_addresses = '*'" "unix_socket_directories = '$PGHOST'" >> "$PGDATA/postgresql.conf"
    $as pg_ctl --silent --wait -o "-c listen_addresses=''" start
    $as psql --quiet --username "$user" --dbname postgres --tuples-only --command \\
        "SELECT 1 FROM pg_database WHERE datname = '$(quoted "${POSTGRES_DB:-$user}")'" | grep -q 1 ||
        $as createdb --username "$user" "${POSTGRES_DB:-$user}"
    each_script sql
    $as pg_ctl --silent --wait --mode fast stop
fi
exec $as "$@"
"""

_MARIADB = """
case "${1-}" in -*) set -- mariadbd "$@" ;; esac
case "${1-}" in mysqld | mariadbd) shift ;; *) exec "$@" ;; esac
data=/var/lib/mysql
mountpoint -q "$data" || data=/tmp/mysql  # there is the host's own database
value() { eval "printf %s \\"\\${MARIADB_$1-\\${MYSQL_$1-}}\\""; }
from_file() {
    file="$(value "$1_FILE")"
    if [ -n "$file" ]; then cat "$file"; else value "$1"; fi
}
mkdir -p "$data" /run/mysqld
as=
if [ "$(id -u)" = 0 ]; then
    getent passwd mysql > /dev/null && owner=mysql || owner=nobody
    chown "$owner" "$data" /run/mysqld 2> /dev/null || owner=root  # an ordinary user's lab has no other
    as="--user=$owner"
fi
socket=/run/mysqld/mysqld.sock
sql() { mariadb --user=root --socket="$socket" ${db:+"$db"}; }
if [ ! -d "$data/mysql" ]; then
    password="$(from_file ROOT_PASSWORD)"
    none="$(value ALLOW_EMPTY_PASSWORD)$(value ALLOW_EMPTY_ROOT_PASSWORD)$(value RANDOM_ROOT_PASSWORD)"
    [ -n "$password$none" ] ||
        fail "Database is uninitialized and password option is not specified: set MYSQL_ROOT_PASSWORD."
    mariadb-install-db --datadir="$data" $as --auth-root-authentication-method=normal --skip-test-db > /dev/null
    mariadbd --datadir="$data" $as --socket="$socket" --skip-networking &
    server=$!
    until mariadb-admin --user=root --socket="$socket" ping > /dev/null 2>&1 ||
        echo 'SELECT 1' | db= sql > /dev/null 2>&1; do
        kill -0 "$server" || fail "the server ended while the database was made"
        sleep 0.1
    done
    db=
    name="$(value DATABASE)" account="$(value USER)"
    [ -z "$name" ] || echo "CREATE DATABASE IF NOT EXISTS \\`$name\\`" | sql
    if [ -n "$account" ]; then
        echo "CREATE USER '$(quoted "$account")'@'%' IDENTIFIED BY '$(quoted "$(from_file PASSWORD)")'" | sql
        [ -z "$name" ] || echo "GRANT ALL ON \\`$name\\`.* TO '$(quoted "$account")'@'%'" | sql
    fi
    db="$name"
    each_script sql
    db=
    printf '%s;\\n' "DROP USER IF EXISTS root@'127.0.0.1', root@'::1', root@'$(hostname)'" \\
        "CREATE USER root@'%' IDENTIFIED BY '$(quoted "$password")'" \\
        "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION" \\
        "ALTER USER root@localhost IDENTIFIED BY '$(quoted "$password")'" | sql
    kill "$server"
    wait "$server"
fi
exec mariadbd --datadir="$data" $as --socket="$socket" --bind-address='*' "$@"
"""
