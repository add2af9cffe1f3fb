package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/control/controltest"
)

func TestMissingSaysWhatToInstall(t *testing.T) {
	assert.ErrorContains(t, missing("haproxy", "nftables"), "apt-get install --no-install-recommends haproxy nftables")
}

func TestInstallerKnowsEveryPackage(t *testing.T) {
	for _, p := range []string{
		"mariadb-server", "haproxy", "nftables", "iproute2", "nodejs", "npm",
		"containerd", "runc", "containernetworking-plugins", "conntrack", "ipset", "iptables", "util-linux", "gcc libc6-dev",
	} {
		assert.Contains(t, installer, p)
	}
	out, err := exec.Command("sh", "-n", "install.sh").CombinedOutput()
	require.NoError(t, err, string(out))
}

// The lock file names digests and no registry: that is for npm to know.
func TestGatewayIsPinned(t *testing.T) {
	var lock struct {
		Packages map[string]struct{ Version, Resolved, Integrity string }
	}
	require.NoError(t, json.Unmarshal([]byte(gatewayFile("package-lock.json")), &lock))
	assert.Equal(t, "1.15.2", lock.Packages["node_modules/@portkey-ai/gateway"].Version)
	for name, p := range lock.Packages {
		if name == "" {
			continue // the set itself
		}
		assert.NotEmpty(t, p.Integrity, name)
		assert.Empty(t, p.Resolved, name)
	}
}

func TestInstallerPutsTheGatewayWhereLabsLook(t *testing.T) {
	controltest.Real(t)
	cache, err := CacheDir()
	require.NoError(t, err)
	out, err := exec.Command("sh", "install.sh", "llm").CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), gatewayDir(cache))
}

func TestPlacesAreShortAndOfOneHome(t *testing.T) {
	for _, d := range definitions() {
		home := "/" + strings.Repeat("long/", 30)
		a, err := open(home, d.Name, nil)
		require.NoError(t, err)
		for _, socket := range sockets(a.make) {
			assert.LessOrEqual(t, len(socket), 97, "some servers bind a temporary name first: %s", socket)
		}
		b, err := open("/other", d.Name, nil)
		require.NoError(t, err)
		assert.NotEqual(t, a.places.servers, b.places.servers)
	}
}

func sockets(l topologyLab) (paths []string) {
	switch l := l.(type) {
	case *databases:
		for _, s := range l.servers {
			paths = append(paths, s.socket())
		}
		return append(paths, l.proxy.Socket())
	case *kubernetes:
		for _, n := range l.nodes {
			paths = append(paths, l.containerdSocket(n)+".ttrpc")
		}
	case *models:
		for _, p := range l.processes() {
			paths = append(paths, l.socket(p.name))
		}
	}
	return paths
}

func TestStartRefusesATakenAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.9.9:0")
	require.NoError(t, err)
	defer l.Close()
	err = free(t.Context(), "", l.Addr().String())
	assert.ErrorContains(t, err, fmt.Sprintf("wait for address %s to be free", l.Addr()))
}

func TestInsideSaysWhichNamespaceIsMissing(t *testing.T) {
	_, err := DialInside(context.Background(), "/run/netns/firedrill-none", "tcp", "127.0.0.1:1")
	assert.ErrorContains(t, err, "/run/netns/firedrill-none")
}
