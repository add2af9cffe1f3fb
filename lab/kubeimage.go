package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// The images of the lab: the same program under two names. A container that is made
// to fail runs the second, which does nothing whatever its arguments are.
const (
	shopImage  = "firedrill.local/shop:lab"
	pauseImage = "firedrill.local/pause:lab"
)

// importImages hands a node its images; no registry is asked for any.
func (k *kubernetes) importImages(ctx context.Context, n node) error {
	ctr := []string{"ctr", "--address=" + k.containerdSocket(n), "--namespace=k8s.io"}
	for ref, entry := range map[string]string{shopImage: "/shop", pauseImage: "/pause"} {
		b, err := imageOf(k.program(shopPart, "shop"), ref, entry)
		if err != nil {
			return err
		}
		path := filepath.Join(k.dirOf("containerd-"+n.zone), entry[1:]+".tar")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
		err = run(ctx, append(ctr, "images", "import", "--snapshotter=overlayfs", path)...)
		if err := os.Remove(path); err != nil {
			return err
		}
		if err != nil {
			return fmt.Errorf("import image on %s: %w", n.name, err)
		}
	}
	return nil
}

// imageOf packs a static program into an image of one layer, in the format of
// docker save. The same program gives the same bytes.
func imageOf(program, ref, entry string) ([]byte, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	layer, err := archive(file{entry[1:], 0o755, binary})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": "1970-01-01T00:00:00Z",
		"config": map[string]any{"Entrypoint": []string{entry}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{ref}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return nil, err
	}
	return archive(file{"layer.tar", 0o644, layer}, file{"config.json", 0o644, config}, file{"manifest.json", 0o644, manifest})
}

type file struct {
	name string
	mode int64
	text []byte
}

func archive(files ...file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.text); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}
