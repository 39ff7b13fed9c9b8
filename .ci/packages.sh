#!/usr/bin/env bash
# The Debian packages that the suites need. Together and first: two suites side by side must not meet at the package manager.
set -euo pipefail

declare -A needed=(
    [browser]="chromium fonts-dejavu-core nodejs npm"
    [containers]="podman podman-docker buildah runc uidmap debootstrap charliecloud-runtime charliecloud-common squashfs-tools"
    [slurm]="slurm-wlm munge"
)

suites=("${@:-}")
[ -n "${suites[0]}" ] || suites=("${!needed[@]}")
absent=()
for suite in "${suites[@]}"; do
    for package in ${needed[$suite]}; do
        # npm and node may have come another way
        case $package in
        nodejs) command -v node >/dev/null && continue ;;
        npm) command -v npm >/dev/null && continue ;;
        esac
        [[ $(dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null) == *" ok installed" ]] || absent+=("$package")
    done
done
if ((${#absent[@]})); then
    timeout 300 apt-get update -q
    DEBIAN_FRONTEND=noninteractive timeout 900 apt-get install -q -y --no-install-recommends "${absent[@]}"
fi
