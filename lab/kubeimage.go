package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	for ref, entry := range map[string]string{shopImage: "/shop", pauseImage: "/pause"} {
		i := image{ref: ref, entry: entry, files: []imageFile{{entry[1:], k.program(shopPart, "shop")}}}
		if err := k.importImage(ctx, n, i); err != nil {
			return err
		}
	}
	return nil
}

// importImage hands a node one image.
func (k *kubernetes) importImage(ctx context.Context, n node, i image) error {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := i.write(w)
		w.CloseWithError(err)
		packed <- err
	}()
	cmd := exec.CommandContext(ctx, "ctr", "--address="+k.containerdSocket(n), "--namespace=k8s.io",
		"images", "import", "--snapshotter=overlayfs", "-")
	cmd.Stdin = r
	out, err := cmd.CombinedOutput()
	r.Close() // who still writes learns that nobody reads
	failed := <-packed
	if err == nil {
		return failed
	}
	if failed != nil && !errors.Is(failed, io.ErrClosedPipe) {
		err = failed
	}
	return fmt.Errorf("import image %s on %s: %w: %s", i.ref, n.name, err, lastLines(out))
}

// image is a container image of one layer.
type image struct {
	// ref is its name, entry the program that its containers run.
	ref, entry string
	// user is who they run it as, unless they say otherwise; "" is root.
	user  string
	files []imageFile
}

// imageFile is a file of an image, and where that is taken from.
type imageFile struct{ name, from string }

// write packs the image in the format of docker save. The same files give the same
// bytes. A program can be large: it is read twice rather than held.
func (i image) write(w io.Writer) error {
	digest := sha256.New()
	size, err := i.layer(digest)
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": "1970-01-01T00:00:00Z",
		"config": map[string]any{"Entrypoint": []string{i.entry}, "User": i.user},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", digest.Sum(nil))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{i.ref}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	if err := t.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: size}); err != nil {
		return err
	}
	if _, err := i.layer(t); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{"config.json", config}, {"manifest.json", manifest}} {
		if err := addFile(t, f.name, 0o644, int64(len(f.text)), bytes.NewReader(f.text)); err != nil {
			return err
		}
	}
	return t.Close()
}

// layer packs the files and returns how many bytes that made.
func (i image) layer(w io.Writer) (size int64, err error) {
	n := &counter{to: w}
	t := tar.NewWriter(n)
	for _, f := range i.files {
		if err := addProgram(t, f); err != nil {
			return 0, err
		}
	}
	err = t.Close()
	return n.size, err
}

func addProgram(t *tar.Writer, f imageFile) error {
	in, err := os.Open(f.from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	return addFile(t, f.name, 0o755, info.Size(), in)
}

func addFile(t *tar.Writer, name string, mode, size int64, from io.Reader) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(t, from)
	return err
}

// counter counts what is written.
type counter struct {
	to   io.Writer
	size int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.size += int64(n)
	return n, err
}
