#!/bin/sh
# Gets what the labs run. Idempotent; says what it does; Debian and Ubuntu.
#
#   lab/install.sh                 install missing packages (root or sudo);
#                                  no service is started
#   lab/install.sh packages        print the missing packages, change nothing
#   lab/install.sh mysql8 [DIR]    unpack a real MySQL server below DIR, without
#                                  installing it (no root needed)
#   lab/install.sh llm [DIR [VERSIONS]]
#                                  get the gateway of the lab llm into DIR with npm,
#                                  by the lock file in VERSIONS (no root needed)
set -eu

say() { printf '%s\n' "lab/install.sh: $*" >&2; }

wanted="mariadb-server haproxy nftables iproute2"

missing() {
	for p in $wanted; do
		case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in
		*' installed') ;;
		*) printf '%s\n' "$p" ;;
		esac
	done
	# Node.js often comes from elsewhere, and then brings npm along.
	command -v node >/dev/null || echo nodejs
	command -v npm >/dev/null || echo npm
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

# While packages install, policy-rc.d forbids that their services start
# (invoke-rc.d(8)). One that is there already is put back as it was.
policy=/usr/sbin/policy-rc.d

install_packages() {
	packages=$(missing | tr '\n' ' ')
	if [ -z "$packages" ]; then
		say "everything is installed: $wanted nodejs npm"
		return
	fi
	say "installing: $packages"
	if [ -e $policy ]; then
		as_root mv $policy $policy.firedrill
	fi
	trap restore_policy EXIT
	trap 'exit 130' INT TERM
	printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
	as_root chmod 755 $policy
	as_root apt-get update -q
	# shellcheck disable=SC2086 # a list of package names
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
	disable_services
}

restore_policy() {
	if [ -e $policy.firedrill ]; then
		as_root mv $policy.firedrill $policy
	else
		as_root rm -f $policy
	fi
}

# A package enables its service for the next boot; the labs need none of them.
disable_services() {
	if [ -d /run/systemd/system ]; then
		for unit in mariadb haproxy; do
			case " $packages " in
			*" $unit"*) as_root systemctl disable --quiet $unit && say "service $unit is not started at boot" ;;
			esac
		done
	fi
}

# The distribution's MySQL cannot be installed beside MariaDB, and Debian's stable
# releases have none. So its packages are downloaded with an apt state of their
# own, which knows no installed package, checked by apt as ever, and unpacked:
# program and libraries together, down to libc.
fetch_mysql() {
	root=$1/root
	if [ -e "$1/complete" ]; then
		say "MySQL is there: $root"
		return
	fi
	mkdir -p "$1"
	work=$(mktemp -d "$1/.new-XXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM
	chmod 755 "$work"
	mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/none" "$work/root"
	: >"$work/status"
	choose_source
	set -- "$1" -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
		-o Dir::Cache::archives="$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o Dir::Etc::SourceList="$source" -o Dir::Etc::SourceParts="$parts" \
		-o APT::Sandbox::User="$(id -un)" -o APT::Update::Post-Invoke::= -o Acquire::Languages=none
	target=$1
	shift
	# A mirror that lags is no reason to fail: signatures are checked all the same.
	set -- "$@" -o Acquire::Check-Valid-Until=false
	say "downloading $package (about 70 MB)"
	apt-get "$@" update -qq
	apt-get "$@" install -qq -y --no-install-recommends --download-only "$package" >"$work/log"
	for deb in "$work"/archives/*.deb; do
		dpkg-deb -x "$deb" "$work/root"
	done
	rm -rf "$root"
	mv "$work/root" "$root"
	: >"$target/complete"
	say "MySQL is unpacked: $root"
}

choose_source() {
	for package in mysql-server-core-8.4 mysql-server-core-8.0; do
		case $(apt-cache policy $package 2>/dev/null) in
		*'Candidate: (none)'* | '') ;;
		*)
			source=/etc/apt/sources.list parts=/etc/apt/sources.list.d
			return
			;;
		esac
	done
	package=mysql-server-core source=$work/sources.list parts=$work/none
	key=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -e $key ] || { say "missing $key: apt-get install debian-archive-keyring"; exit 1; }
	# The mirror that this machine uses anyway has the other suites, too.
	mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep '/debian/*$' | sort -u | head -n 1)
	[ -n "$mirror" ] || { say "no Debian mirror in this machine's apt sources: add one"; exit 1; }
	printf 'deb [signed-by=%s] %s sid main\n' "$key" "$mirror" >"$source"
}

# npm takes the packages from the registry that it is set up with and compares them
# with the digests of the lock file; no script of any package is run.
fetch_gateway() {
	if [ -e "$1" ]; then
		say "the gateway is there: $1"
		return
	fi
	has=$(node -p 'process.versions.node.split(".")[0]') || { say "missing node: apt-get install nodejs"; exit 1; }
	[ "$has" -ge 18 ] || { say "Node.js $has is too old for the gateway: want 18 or newer"; exit 1; }
	command -v npm >/dev/null || { say "missing npm: apt-get install --no-install-recommends npm"; exit 1; }
	mkdir -p "$(dirname "$1")"
	work=$(mktemp -d "$1.new-XXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM
	cp "$2/package.json" "$2/package-lock.json" "$work"
	say "downloading the gateway (25 MB)"
	(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null </dev/null)
	chmod -R a+rX "$work"
	mv -T "$work" "$1"
	say "the gateway is installed: $1"
}

# The gateway's place in the cache; lab/gatewayportkey.go looks there.
gateway_dir() {
	printf '%s/gateway-%.8s\n' "$(cache)" "$(sha256sum "$versions/package-lock.json")"
}
versions=$(dirname "$0")/gateway

cache() {
	if [ "$(id -u)" = 0 ]; then echo /var/cache/firedrill; else echo "${XDG_CACHE_HOME:-$HOME/.cache}/firedrill"; fi
}

case ${1-} in
'') install_packages ;;
packages) missing ;;
mysql8) fetch_mysql "${2:-$(cache)/mysql}" ;;
llm) fetch_gateway "${2:-$(gateway_dir)}" "${3:-$versions}" ;;
*)
	say "unknown word '$1': want nothing, packages, mysql8 or llm"
	exit 2
	;;
esac
