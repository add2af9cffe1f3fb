package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// cgroup is the control group of everything that the lab's pods run.
func (k *kubernetes) cgroup() string { return "/firedrill-" + filepath.Base(k.places.servers) }

func (k *kubernetes) cgroupOf(n node) string { return k.cgroup() + "/" + n.zone }

// hierarchies are the roots of all control groups, of both versions (cgroups(7)).
func hierarchies() (roots []string) {
	for _, m := range mounts() {
		if m.kind == "cgroup" || m.kind == "cgroup2" {
			roots = append(roots, m.at)
		}
	}
	return roots
}

// makeCgroups makes the nodes' groups, which a kubelet does not make itself.
func (k *kubernetes) makeCgroups() error {
	roots := hierarchies()
	if len(roots) == 0 {
		return errors.New("no control groups are mounted: mount cgroup2 at /sys/fs/cgroup")
	}
	for _, root := range roots {
		for _, n := range k.nodes {
			for _, dir := range []string{root + k.cgroup(), root + k.cgroupOf(n)} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				if err := inheritCpus(dir); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inheritCpus: a cpuset of version 1 begins empty, and nothing can run in it
// (cpuset(7)).
func inheritCpus(dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.TrimSpace(string(own)) != "" {
			continue // another hierarchy
		}
		from, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), from, 0); err != nil {
			return err
		}
	}
	return nil
}

// clean ends what the nodes still run and removes their control groups, mounts and
// namespaces. It is idempotent and needs nothing to be whole.
func (k *kubernetes) clean(ctx context.Context) error {
	// What ends last may have started another.
	for {
		pids, err := k.left()
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			break
		}
		if err := end(ctx, syscall.SIGKILL, pids...); err != nil {
			return err
		}
	}
	if err := k.removeCgroups(ctx); err != nil {
		return err
	}
	dir := filepath.Join(k.places.servers, "mounts")
	for _, path := range append(paths(k.nodes), dir) {
		if !mounted(path) {
			continue
		}
		if err := run(ctx, "umount", path); err != nil {
			return err
		}
	}
	for _, n := range k.nodes {
		if err := deleteNamespace(ctx, n.namespace); err != nil {
			return err
		}
	}
	return nil
}

func paths(nodes []node) (all []string) {
	for _, n := range nodes {
		all = append(all, n.mounts)
	}
	return all
}

// left lists the processes in the lab's control groups and in its nodes' mount
// namespaces.
func (k *kubernetes) left() ([]int, error) {
	spaces := map[uint64]bool{}
	for _, path := range paths(k.nodes) {
		var st unix.Stat_t
		if mounted(path) && unix.Stat(path, &st) == nil {
			spaces[st.Ino] = true
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !alive(pid) {
			continue
		}
		var st unix.Stat_t
		groups, _ := os.ReadFile("/proc/" + e.Name() + "/cgroup")
		if strings.Contains(string(groups), ":"+k.cgroup()+"/") ||
			unix.Stat("/proc/"+e.Name()+"/ns/mnt", &st) == nil && spaces[st.Ino] {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// removeCgroups removes groups from the inside out. The kernel may take a moment
// until a group whose processes have ended is empty.
func (k *kubernetes) removeCgroups(ctx context.Context) error {
	return wait(ctx, "control groups to be empty", func() error {
		for _, root := range hierarchies() {
			var dirs []string
			err := filepath.WalkDir(root+k.cgroup(), func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil //nolint:nilerr // what is gone need not be removed
			})
			if err != nil {
				return err
			}
			for _, dir := range slices.Backward(dirs) {
				if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
		return nil
	})
}
