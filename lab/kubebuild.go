package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// kubernetesFiles are what the parts of a cluster are built from: go.mod and go.sum
// of a Go module each, whose tools are the programs, and the program of the pods.
//
//go:embed kubernetes/*.mod kubernetes/*.sum kubernetes/shop/*.go
var kubernetesFiles embed.FS

// The parts that are built; install.sh has the same.
const (
	etcdPart  = "etcd"
	kubePart  = "cluster"
	chaosPart = "chaosmesh"
	shopPart  = "shop"
)

// partDir is where a part is kept; made from anything else it is kept elsewhere.
func partDir(cache, part string) string {
	h := sha256.New()
	for name, text := range kubernetesSources() {
		if name == part+".mod" {
			h.Write(text)
		}
	}
	if part == shopPart {
		entries, err := kubernetesFiles.ReadDir("kubernetes/shop")
		if err != nil {
			panic(err) // it is part of the program
		}
		for _, e := range entries { // sorted by name
			if !strings.HasSuffix(e.Name(), "_test.go") {
				h.Write(kubernetesSources()["shop/"+e.Name()])
			}
		}
	}
	return filepath.Join(cache, "kubernetes", fmt.Sprintf("%s-%x", part, h.Sum(nil)[:4]))
}

// kubernetesSources are the files by their names below SOURCES of install.sh.
func kubernetesSources() map[string][]byte {
	all := map[string][]byte{}
	err := fs.WalkDir(kubernetesFiles, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[strings.TrimPrefix(name, "kubernetes/")], err = kubernetesFiles.ReadFile(name)
		return err
	})
	if err != nil {
		panic(err) // it is part of the program
	}
	return all
}

// program is the path of a program of a part.
func (k *kubernetes) program(part, name string) string {
	return filepath.Join(partDir(k.cache, part), "bin", name)
}

// built tells whether every part is in the cache.
func (k *kubernetes) built() bool { return KubernetesBuilt(k.cache) }

// KubernetesBuilt tells whether the cache has what the lab kubernetes runs.
func KubernetesBuilt(cache string) bool {
	for _, part := range []string{etcdPart, kubePart, chaosPart, shopPart} {
		if _, err := os.Stat(partDir(cache, part)); err != nil {
			return false
		}
	}
	return true
}

// buildKubernetes builds what is missing in the cache.
func buildKubernetes(ctx context.Context, cache string, progress func(string)) error {
	dir, err := os.MkdirTemp("", "fd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, text := range kubernetesSources() {
		if err := os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "sh", "-s", "--", "kubernetes", filepath.Join(cache, "kubernetes"), dir)
	cmd.Stdin = strings.NewReader(installer)
	if err := tell(cmd, progress); err != nil {
		return fmt.Errorf("build Kubernetes (lab/install.sh kubernetes): %w", err)
	}
	return nil
}

// tell runs a command and hands on what it says, line by line; an error has the end
// of it.
func tell(cmd *exec.Cmd, progress func(string)) error {
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	// With all that it started: a compiler must not go on for nobody.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return err
	}
	var last []byte
	for in := bufio.NewScanner(said); in.Scan(); {
		last = append(append(last, in.Bytes()...), '\n')
		last = last[max(0, len(last)-4000):]
		if progress != nil {
			progress(in.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(last))
	}
	return nil
}
