#!/bin/sh
# Make every password once, at random, and the URLs that hold them: one file each, nothing printed.
#
#   ./make-secrets.sh [FOLDER]                                  for compose.yaml: ./secrets
#   DB_HOST=localhost REDIS_HOST=localhost ./make-secrets.sh /etc/spresso/secrets
#
# The folder is closed to others; its files are open, because engines mount each one alone for another user.
set -eu
folder=${1:-$(dirname "$0")/secrets}
if [ -e "$folder" ]; then
    echo "$folder is there already; move it away to make new passwords" >&2
    exit 1
fi
umask 077
making=$folder.making
rm -rf "$making"
mkdir -p "$making"

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

catalog=$(password)
redis=$(password)
printf '%s' "$catalog" >"$making/catalog_password"
printf 'postgresql://spresso:%s@%s/spresso' "$catalog" "${DB_HOST:-postgres}" >"$making/catalog_url"
printf 'requirepass %s\n' "$redis" >"$making/redis_auth"
printf 'redis://:%s@%s/0' "$redis" "${REDIS_HOST:-redis}" >"$making/broker_url"
password >"$making/postgres_password"
password >"$making/dashboard_password"
chmod 0444 "$making"/*
mv "$making" "$folder"
echo "$folder: $(find "$folder" -type f | wc -l | tr -d ' ') files. Keep a copy where you keep passwords." >&2
