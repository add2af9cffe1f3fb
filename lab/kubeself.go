package lab

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// FiredrillImage is firedrill itself as an image: its entry point is /firedrill, and
// it does not run as root. Pods that use it pull nothing (imagePullPolicy: Never).
const FiredrillImage = "firedrill.local/firedrill:lab"

// selfUser is the number that images without root commonly have.
const selfUser = "65532:65532"

// ImportFiredrill hands FiredrillImage to every node of a lab that is a cluster.
// program is the path of firedrill; "" is the program that calls this. A program that
// is linked with libraries (go build with a C compiler around, or with the race
// detector) is packed with them. It is not part of lab up, as nothing but a drill
// with something to run in the cluster needs it; what a node has is not packed again.
func ImportFiredrill(ctx context.Context, home, name, program string) error {
	l, err := open(home, name, nil)
	if err != nil {
		return err
	}
	k, ok := l.make.(*kubernetes)
	if !ok {
		return fmt.Errorf("lab %s has no nodes that could run an image: it is no cluster", name)
	}
	if !l.made() {
		return fmt.Errorf("lab %s is not up: firedrill lab up %s", name, name)
	}
	unlock, err := lock(ctx, home)
	if err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	defer unlock()
	if program == "" {
		// The running one, even if its file was replaced.
		program = fmt.Sprintf("/proc/%d/exe", os.Getpid())
	}
	if err := k.importFiredrill(ctx, program); err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	return nil
}

func (k *kubernetes) importFiredrill(ctx context.Context, program string) error {
	mark, err := markOf(program)
	if err != nil {
		return err
	}
	files, err := linked(ctx, program)
	if err != nil {
		return err
	}
	i := image{ref: FiredrillImage, entry: "/firedrill", user: selfUser, files: append(files, imageFile{"firedrill", program})}
	var calls []func() error
	for _, n := range k.nodes {
		path := filepath.Join(k.dirOf("containerd-"+n.zone), "firedrill.image")
		calls = append(calls, func() error {
			if has, err := os.ReadFile(path); err == nil && string(has) == mark {
				return nil
			}
			if err := k.importImage(ctx, n, i); err != nil {
				return err
			}
			return os.WriteFile(path, []byte(mark), 0o600)
		})
	}
	return concurrently(calls...)
}

// markOf tells one build of a program from another without reading it.
func markOf(program string) (string, error) {
	info, err := os.Stat(program)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes, %d\n", info.Size(), info.ModTime().UnixNano()), nil
}

// linked are the libraries that a program is linked with, and what loads them; none
// for a static program.
func linked(ctx context.Context, program string) ([]imageFile, error) {
	loader, err := loaderOf(program)
	if err != nil || loader == "" {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, loader, "--list", program).Output()
	if err != nil {
		return nil, fmt.Errorf("list the libraries of %s (CGO_ENABLED=0 builds a program without): %w", program, err)
	}
	files := []imageFile{{loader[1:], loader}}
	for line := range strings.Lines(string(out)) { // "libc.so.6 => /lib/libc.so.6 (0x00007f...)"
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != "=>" {
			continue // the loader itself, or what the kernel brings along
		}
		if !strings.HasPrefix(f[2], "/") {
			return nil, fmt.Errorf("library of %s: %s", program, strings.TrimSpace(line))
		}
		files = append(files, imageFile{f[2][1:], f[2]})
	}
	return files, nil
}

// loaderOf is the program that the kernel starts in place of one that has libraries.
func loaderOf(program string) (string, error) {
	f, err := elf.Open(program)
	if err != nil {
		return "", fmt.Errorf("program %s: %w", program, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b, err := io.ReadAll(p.Open())
		if err != nil {
			return "", fmt.Errorf("program %s: %w", program, err)
		}
		loader := strings.TrimRight(string(b), "\x00")
		if !filepath.IsAbs(loader) {
			return "", errors.New("program " + program + " names no loader")
		}
		return loader, nil
	}
	return "", nil
}
