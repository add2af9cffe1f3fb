package lab

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func testCluster(t *testing.T) *kubernetes {
	t.Helper()
	l, err := open(t.TempDir(), "kubernetes", nil)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(l.state, 0o700))
	return l.make.(*kubernetes)
}

// What names an object is read without a YAML parser, which takes seconds for the
// kinds of Chaos Mesh. It finds what a parser finds.
func TestManifestsAreReadAsYAMLSays(t *testing.T) {
	k := testCluster(t)
	require.NoError(t, os.WriteFile(filepath.Join(k.state, authorityFile), []byte("certificate"), 0o600))
	shop, err := k.shopManifest()
	require.NoError(t, err)
	chaos, err := k.chaosManifest()
	require.NoError(t, err)
	var kinds []string
	for _, doc := range strings.Split(shop+"\n---\n"+chaos, "\n---") {
		var want object
		require.NoError(t, yaml.Unmarshal([]byte(doc), &want), doc)
		got, err := head(doc)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		kinds = append(kinds, got.Kind+" "+got.Metadata.Name)
	}
	for _, w := range workloads() {
		assert.Contains(t, kinds, "Deployment "+w.Name)
		assert.Contains(t, kinds, "PodDisruptionBudget "+w.Name)
	}
	assert.Contains(t, kinds, "ValidatingWebhookConfiguration chaos-mesh-validation")
	_, err = head("kind: Service\nspec: {}\n")
	assert.ErrorContains(t, err, "no apiVersion or name")
}

func TestObjectsHavePaths(t *testing.T) {
	for path, doc := range map[string]string{
		"/api/v1/namespaces":                        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n",
		"/apis/apps/v1/namespaces/shop/deployments": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\n  namespace: shop\n",
	} {
		o, err := head(doc)
		require.NoError(t, err)
		assert.Equal(t, path, o.collection())
	}
}

// The same program makes the same image, and the image has it.
func TestImagesAreReproducible(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(program, []byte("text"), 0o600))
	i := image{ref: shopImage, entry: "/shop", files: []imageFile{{"shop", program}}}
	var one, two bytes.Buffer
	require.NoError(t, i.write(&one))
	require.NoError(t, i.write(&two))
	assert.Equal(t, one.Bytes(), two.Bytes())
	found := map[string]string{}
	for r := tar.NewReader(&one); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		found[h.Name] = string(b)
	}
	assert.Contains(t, found["manifest.json"], shopImage)
	inner, err := tar.NewReader(strings.NewReader(found["layer.tar"])).Next()
	require.NoError(t, err)
	assert.Equal(t, "shop", inner.Name)
	assert.Equal(t, int64(0o755), inner.Mode)
}

func TestCertificatesAreForTheirAddresses(t *testing.T) {
	ca, err := newAuthority()
	require.NoError(t, err)
	p, err := ca.server("kube-apiserver", kubeHost, "kubernetes")
	require.NoError(t, err)
	c, err := tls.X509KeyPair([]byte(p.cert), []byte(p.key))
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(ca.pem)))
	for _, name := range []string{kubeHost, "kubernetes"} {
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		assert.NoError(t, err, name)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "10.61.0.2"})
	assert.Error(t, err)
}

// Whoever reads arguments or a topology file finds no token.
func TestClusterKeepsTokensOutOfArguments(t *testing.T) {
	k := testCluster(t)
	for _, p := range k.processes() {
		assert.NotContains(t, strings.ToLower(strings.Join(p.argv, " ")), "bearer", p.name)
	}
	s, err := k.describe()
	require.NoError(t, err)
	for _, c := range s.Components {
		assert.NotContains(t, string(c.With), "token")
	}
}

// A program that is linked with libraries is packed with them and with what loads
// them.
func TestLibrariesArePacked(t *testing.T) {
	sh, err := exec.LookPath("sh")
	require.NoError(t, err)
	files, err := linked(t.Context(), sh)
	require.NoError(t, err)
	loader, err := loaderOf(sh)
	require.NoError(t, err)
	require.NotEmpty(t, loader)
	var names []string
	for _, f := range files {
		assert.FileExists(t, f.from)
		assert.Equal(t, f.from, "/"+f.name)
		names = append(names, f.from)
	}
	assert.Equal(t, loader, names[0])
	assert.Contains(t, strings.Join(names, " "), "libc.")
	_, err = linked(t.Context(), "install.sh")
	assert.ErrorContains(t, err, "install.sh")
}

func TestOnlyAClusterTakesImages(t *testing.T) {
	err := ImportFiredrill(t.Context(), t.TempDir(), "mysql", "")
	assert.ErrorContains(t, err, "no cluster")
	err = ImportFiredrill(t.Context(), t.TempDir(), "kubernetes", "")
	assert.ErrorContains(t, err, "firedrill lab up kubernetes")
}
