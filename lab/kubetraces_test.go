package lab_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// traces are what a cluster could leave on the host that does not bear its name:
// interfaces, rules, settings of the kernel, and files, control groups and namespaces
// where Kubernetes and its like make them by default. Other clusters may come and go
// meanwhile.
func traces(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{"rules": {nft(t)}}
	links, err := os.ReadDir("/sys/class/net")
	require.NoError(t, err)
	for _, l := range links {
		found["interfaces"] = append(found["interfaces"], l.Name())
	}
	for _, p := range []string{
		"/sys/fs/cgroup/kubepods*", "/sys/fs/cgroup/*/kubepods*", "/run/netns/cni-*",
		"/var/lib/kubelet*", "/var/lib/cni*", "/var/lib/containerd*", "/run/containerd*", "/var/log/pods*", "/var/log/containers*",
		"/usr/libexec/kubernetes*", "/opt/containerd*", "/etc/kubernetes*", "/etc/cni*", "/usr/local/bin/nsexec", "/run/xtables.lock",
	} {
		paths, err := filepath.Glob(p)
		require.NoError(t, err)
		found["files"] = append(found["files"], paths...)
	}
	for _, p := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/netfilter/nf_conntrack_max",
	} {
		b, err := os.ReadFile("/proc/sys/" + p)
		if !errors.Is(err, os.ErrNotExist) {
			require.NoError(t, err)
			found["settings"] = append(found["settings"], p+" = "+string(b))
		}
	}
	return found
}

// named are what bears a cluster's name: processes by their arguments and control
// groups, which are also those of pods, and control groups, namespaces and mounts.
func named(t *testing.T, id string) (found []string) {
	t.Helper()
	for _, p := range []string{
		"/sys/fs/cgroup/firedrill-" + id, "/sys/fs/cgroup/*/firedrill-" + id,
		"/run/netns/firedrill-" + id + "*", "/var/lib/firedrill/" + id,
	} {
		paths, err := filepath.Glob(p)
		require.NoError(t, err)
		found = append(found, paths...)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, id) {
			found = append(found, "mount "+line)
		}
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, dir := range dirs {
		args, _ := os.ReadFile(dir + "/cmdline") // it may have ended by now
		groups, _ := os.ReadFile(dir + "/cgroup")
		if len(args) > 0 && strings.Contains(string(args)+string(groups), id) {
			found = append(found, "process "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}
