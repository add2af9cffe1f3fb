#!/bin/sh
# Gets what the labs run. Idempotent; says what it does; Debian and Ubuntu.
#
#   lab/install.sh                 install missing packages (root or sudo);
#                                  no service is started
#   lab/install.sh packages        print the missing packages, change nothing
#   lab/install.sh mysql8 [DIR]    unpack a real MySQL server below DIR, without
#                                  installing it (no root needed)
#   lab/install.sh llm-packages    the same with what the labs llm* need
#   lab/install.sh llm [DIR [VERSIONS]]
#                                  get the gateway of the lab llm into DIR with npm,
#                                  by the lock file in VERSIONS (no root needed)
#   lab/install.sh kubernetes-packages
#                                  the same with what the lab kubernetes needs
#   lab/install.sh kubernetes [DIR [SOURCES]]
#                                  build Kubernetes, etcd and Chaos Mesh below DIR
#                                  from their Go modules, as SOURCES say (no root
#                                  needed; Go is)
set -eu

say() { printf '%s\n' "lab/install.sh: $*" >&2; }

wanted="mariadb-server haproxy nftables iproute2"
models="" # not empty: what the labs of models need, too
cluster="" # not empty: what the lab kubernetes needs, too

missing() {
	for p in $wanted; do
		case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in
		*' installed') ;;
		*) printf '%s\n' "$p" ;;
		esac
	done
	if [ -n "$models" ]; then
		# Node.js often comes from elsewhere, and then brings npm along.
		command -v node >/dev/null || echo nodejs
		command -v npm >/dev/null || echo npm
	fi
	[ -n "$cluster" ] || return 0
	# Docker's own packages bring these along, and exclude the distribution's.
	if ! command -v containerd >/dev/null || ! command -v ctr >/dev/null; then echo containerd; fi
	command -v runc >/dev/null || echo runc
	command -v cc >/dev/null || echo gcc libc6-dev # the Chaos Mesh daemon is built with it
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
		say "everything is installed: $wanted${models:+ nodejs npm}${cluster:+ containerd runc}"
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
		for unit in mariadb haproxy containerd; do
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
	has=$(node -p 'process.versions.node.split(".")[0]') || { say "missing node: lab/install.sh llm-packages"; exit 1; }
	[ "$has" -ge 18 ] || { say "Node.js $has is too old for the gateway: want 18 or newer"; exit 1; }
	command -v npm >/dev/null || { say "missing npm: lab/install.sh llm-packages"; exit 1; }
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

# Each part is built in a directory of its own, named after what it is built from,
# and takes its place when it is whole: whoever interrupts this loses one part. The
# go.sum of each part fixes what its modules contain.
build_kubernetes() {
	command -v go >/dev/null || { say "missing go: install Go $(sed -n 's/^go //p' "$2/cluster.mod") or newer"; exit 1; }
	target=$1
	mkdir -p "$target"
	# One at a time; the lock ends with this program.
	exec 9>"$target/.lock"
	flock 9
	rm -rf "$target"/.new-*
	trap 'rm -rf "$target"/.new-*' EXIT
	trap 'exit 130' INT TERM
	for part in etcd cluster chaosmesh shop; do
		build_part "$1" "$2" "$part"
	done
	say "Kubernetes is built: $1"
}

build_part() {
	to=$1/$(part_name "$2" "$3")
	if [ -e "$to" ]; then
		say "$3 is there: $to"
		return
	fi
	new=$(mktemp -d "$1/.new-XXXXXX")
	mkdir "$new/src" "$new/bin"
	if [ "$3" = shop ]; then
		cp "$2"/shop/*.go "$new/src"
		rm -f "$new"/src/*_test.go
		printf 'module shop\n\ngo 1.26.0\n' >"$new/src/go.mod"
		programs=.
	else
		cp "$2/$3.mod" "$new/src/go.mod"
		cp "$2/$3.sum" "$new/src/go.sum"
		# The programs are the module's tools.
		programs=$(cd "$new/src" && go mod edit -json | sed -n '/"Tool"/,/]/s/.*"Path": "\(.*\)".*/\1/p')
	fi
	flags='-s -w'
	if [ "$3" = cluster ]; then # clients ask for the version
		version=$(sed -n 's|.*k8s.io/kubernetes v\([0-9.]*\).*|\1|p' "$2/cluster.mod")
		minor=${version#*.}
		for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
			flags="$flags -X $package.gitVersion=v$version -X $package.gitMajor=${version%%.*} -X $package.gitMinor=${minor%%.*}"
		done
	fi
	# All at once: while one program is linked, what another needs is compiled.
	in_c='' others=''
	for program in $programs; do
		case $program in
		*/chaos-daemon) in_c=$program ;; # it speaks to a kernel module in C
		*) others="$others $program" ;;
		esac
	done
	# shellcheck disable=SC2086 # a list of packages
	build_programs 0 $others
	if [ -n "$in_c" ]; then
		command -v cc >/dev/null || { say "missing cc: apt-get install --no-install-recommends gcc libc6-dev"; exit 1; }
		build_programs 1 "$in_c"
	fi
	[ ! -e "$new/bin/server" ] || mv "$new/bin/server" "$new/bin/etcd"
	if [ "$3" = chaosmesh ]; then
		# From the types that the controller is built with. The module's own manifests
		# may be older: then the API server drops fields that the webhooks set, and each
		# update of such an object is refused as a change.
		say "writing the definitions of Chaos Mesh's kinds"
		(cd "$new/src" && env GOWORK=off "$new/bin/controller-gen" crd:ignoreUnexportedFields=true,crdVersions=v1 \
			paths=github.com/chaos-mesh/chaos-mesh/api/v1alpha1 output:crd:stdout >"$new/crd.yaml")
		rm "$new/bin/controller-gen"
	fi
	rm -rf "$new/src"
	chmod -R a+rX,u+w "$new"
	mv -T "$new" "$to"
}

# Programs are named after the last part of their packages' paths. By the tags the
# standard library is the same with and without C: else whatever uses the network, nearly
# everything, would be compiled twice.
build_programs() {
	cgo=$1
	shift
	for program in "$@"; do
		name=$(basename "${program%/v[0-9]*}")
		case $name in server) name=etcd ;; .) name=shop ;; esac
		say "building $name"
	done
	(cd "$new/src" && env CGO_ENABLED="$cgo" GOWORK=off go build -tags netgo,osusergo -trimpath -buildvcs=false \
		-ldflags "$flags" -o "$new/bin/" "$@")
}

# The name of a part's directory; lab/kubebuild.go has the same.
part_name() {
	if [ "$2" = shop ]; then
		set -- "$1" "$2" "$(LC_ALL=C; for f in "$1"/shop/*.go; do case $f in *_test.go) ;; *) cat "$f" ;; esac; done | sha256sum)"
	else
		set -- "$1" "$2" "$(sha256sum <"$1/$2.mod")"
	fi
	printf '%s-%.8s\n' "$2" "$3"
}
sources=$(dirname "$0")/kubernetes

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
llm-packages)
	models=yes
	install_packages
	;;
kubernetes-packages)
	cluster=yes
	wanted="$wanted containernetworking-plugins conntrack ipset iptables util-linux"
	install_packages
	;;
mysql8) fetch_mysql "${2:-$(cache)/mysql}" ;;
llm) fetch_gateway "${2:-$(gateway_dir)}" "${3:-$versions}" ;;
kubernetes) build_kubernetes "${2:-$(cache)/kubernetes}" "${3:-$sources}" ;;
*)
	say "unknown word '$1': want nothing, packages, mysql8, llm-packages, llm, kubernetes-packages or kubernetes"
	exit 2
	;;
esac
