package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// makeNetwork connects the nodes to the lab's namespace with a switch, and routes
// between their pods. What is there is left alone.
func (k *kubernetes) makeNetwork(ctx context.Context) error {
	lab := filepath.Base(k.namespace)
	if run(ctx, "ip", "-n", lab, "link", "show", "nodes") != nil {
		for _, args := range []string{
			"link add nodes type bridge", "addr add " + kubeHost + "/24 dev nodes", "link set nodes up",
			// Where to is decided before kube-proxy's rules are asked.
			"route add " + kubeServices + " dev nodes",
		} {
			if err := run(ctx, append([]string{"ip", "-n", lab}, strings.Fields(args)...)...); err != nil {
				return err
			}
		}
	}
	if err := routes(k.namespace); err != nil {
		return err
	}
	for _, n := range k.nodes {
		if err := k.connect(ctx, n); err != nil {
			return fmt.Errorf("connect %s: %w", n.name, err)
		}
	}
	return nil
}

// connect makes a node's namespace, unless it is whole.
func (k *kubernetes) connect(ctx context.Context, n node) error {
	lab, own := filepath.Base(k.namespace), filepath.Base(n.namespace)
	if run(ctx, "ip", "-n", own, "link", "show", "eth0") == nil && run(ctx, "ip", "-n", lab, "link", "set", n.name, "up") == nil {
		return run(ctx, "ip", "-n", own, "link", "set", "eth0", "up")
	}
	if err := deleteNamespace(ctx, n.namespace); err != nil {
		return err
	}
	if err := addNamespace(ctx, n.namespace); err != nil {
		return err
	}
	cmds := []string{
		"-n " + lab + " link add " + n.name + " type veth peer name eth0 netns " + own,
		"-n " + lab + " link set " + n.name + " master nodes up",
		"-n " + lab + " route replace " + n.pods + " via " + n.ip,
		"-n " + own + " addr add " + n.ip + "/24 dev eth0",
		"-n " + own + " link set eth0 up",
		"-n " + own + " route add default via " + kubeHost,
	}
	for _, other := range k.nodes {
		if other.name != n.name {
			cmds = append(cmds, "-n "+own+" route add "+other.pods+" via "+other.ip)
		}
	}
	for _, args := range cmds {
		if err := run(ctx, append([]string{"ip"}, strings.Fields(args)...)...); err != nil {
			return err
		}
	}
	return routes(n.namespace)
}

// routes lets a namespace pass packets on. What the switch passes on is no business
// of the lab's own rules.
func routes(namespace string) error {
	return inside(namespace, func() error {
		err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
	})
}

// machine makes the mount namespace of a node: what Kubernetes, containerd, CNI and
// Chaos Mesh write at fixed places is written below the node's own directory or to
// memory, and no mount of theirs is seen outside. The settings of the kernel that a
// kubelet changes and that no namespace has of its own are files to it: the host's
// stay as they are.
const machine = `set -e
lab=$1 node=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/keep
mount --bind "$lab" /run/keep
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -p "$lab" /var/lib/kubelet
mount --move /run/keep "$lab"
rmdir /run/keep
mount --bind "$node/kubelet" /var/lib/kubelet
mount --bind "$node/log" /var/log
mount --bind "$node/bin" /usr/local/bin
for f in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
	[ -e /proc/sys/$f ] || continue
	mkdir -p "$node/sysctl/${f%/*}"
	cat /proc/sys/$f >"$node/sysctl/$f"
	mount --bind "$node/sysctl/$f" /proc/sys/$f
done
mount --make-rshared /
`

// nsexec is what the chaos daemon calls to run a program in the namespaces of a
// container; its image has a program for it that is in no registry.
const nsexec = `#!/bin/sh
set -e
enter=
while [ $# -gt 0 ]; do
	case $1 in
	-n) enter="$enter --net=$2"; shift 2 ;;
	-m) enter="$enter --mount=$2"; shift 2 ;;
	-p) enter="$enter --pid=$2"; shift 2 ;;
	-i) enter="$enter --ipc=$2"; shift 2 ;;
	-l) shift ;;
	--) shift; break ;;
	*) break ;;
	esac
done
exec nsenter $enter -- "$@"
`

// makeMachines makes the nodes' mount namespaces and control groups.
func (k *kubernetes) makeMachines(ctx context.Context) error {
	if err := k.makeCgroups(); err != nil {
		return err
	}
	// A namespace is kept by a mount of it, which must not be a shared one.
	dir := filepath.Dir(k.nodes[0].mounts)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if !mounted(dir) {
		if err := run(ctx, "mount", "--bind", "--make-private", dir, dir); err != nil {
			return err
		}
	}
	for _, n := range k.nodes {
		if err := k.makeMachine(ctx, n); err != nil {
			return fmt.Errorf("make machine of %s: %w", n.name, err)
		}
	}
	return nil
}

func (k *kubernetes) makeMachine(ctx context.Context, n node) error {
	for _, dir := range []string{"kubelet", "log", "bin"} {
		if err := os.MkdirAll(filepath.Join(n.dir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(n.dir, "bin", "nsexec"), []byte(nsexec), 0o755); err != nil {
		return err
	}
	if mounted(n.mounts) {
		return nil
	}
	if err := os.WriteFile(n.mounts, nil, 0o600); err != nil {
		return err
	}
	return run(ctx, "unshare", "--mount="+n.mounts, "--propagation=private", "sh", "-c", machine, "sh", k.places.servers, n.dir)
}

// mounted tells whether something is mounted at path.
func mounted(path string) bool {
	for _, m := range mounts() {
		if m.at == path {
			return true
		}
	}
	return false
}

type mount struct{ at, kind string }

// mounts lists this program's mounts (proc_pid_mountinfo(5)).
func mounts() (all []mount) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		_, after, ok := strings.Cut(line, " - ")
		if kind := strings.Fields(after); ok && len(f) > 4 && len(kind) > 0 {
			all = append(all, mount{f[4], kind[0]})
		}
	}
	return all
}
