package kube

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
)

// claims is what an API server of version 1.36 puts into a token.
const claims = `{"aud":["https://kubernetes.default.svc"],"exp":1795179600,"iss":"https://kubernetes.default.svc",
"kubernetes.io":{"namespace":"firedrill","node":{"name":"node-a","uid":"n-1"},"pod":{"name":"drill-x","uid":"p-1"},
"serviceaccount":{"name":"firedrill","uid":"s-1"},"warnafter":1763643607},"sub":"system:serviceaccount:firedrill:firedrill"}`

func token(t *testing.T, payload string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	text := "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestOwnPodIsReadFromTheToken(t *testing.T) {
	own, ok := ownBy(token(t, claims))
	require.True(t, ok)
	assert.Equal(t, "firedrill", own.Namespace)
	assert.Equal(t, "drill-x", own.Pod.Name)
	assert.Equal(t, types.UID("p-1"), own.Pod.UID)
}

func TestNoOwnPod(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(broken, []byte("opaque"), 0o600))
	for name, path := range map[string]string{
		"no token":                           filepath.Join(t.TempDir(), "none"),
		"a token that is no JWT":             broken,
		"a token that was made for no pod":   token(t, `{"kubernetes.io":{"namespace":"firedrill"}}`),
		"a token whose claims are something": token(t, `[]`),
	} {
		_, ok := ownBy(path)
		assert.False(t, ok, name)
	}
}

func TestSelfIsSpared(t *testing.T) {
	own, ok := ownBy(token(t, claims))
	require.True(t, ok)
	require.ErrorContains(t, own.spare("p-1"), "pod drill-x in namespace firedrill is the one that firedrill itself runs in")
	for _, other := range []types.UID{"p-2", ""} {
		require.NoError(t, own.spare(other))
	}
	require.NoError(t, Spare("p-1"), "no test runs in a pod of that id")
}
