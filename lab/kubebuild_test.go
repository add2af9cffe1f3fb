package lab

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/control/controltest"
)

// The installer and the lab agree on where each part is kept.
func TestInstallerBuildsKubernetesWhereTheLabLooks(t *testing.T) {
	controltest.Real(t)
	cache, err := CacheDir()
	require.NoError(t, err)
	require.True(t, KubernetesBuilt(cache), "the cluster is not built: run lab/install.sh kubernetes")
	out, err := exec.Command("sh", "install.sh", "kubernetes").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, part := range []string{etcdPart, kubePart, chaosPart, shopPart} {
		assert.Contains(t, string(out), part+" is there: "+partDir(cache, part))
	}
}
