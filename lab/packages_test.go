package lab

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMissingSaysWhatToInstall(t *testing.T) {
	assert.ErrorContains(t, missing("haproxy", "nftables"), "apt-get install --no-install-recommends haproxy nftables")
}

func TestInstallerKnowsEveryPackage(t *testing.T) {
	for _, p := range []string{"mariadb-server", "haproxy", "nftables", "iproute2"} {
		assert.Contains(t, installer, p)
	}
	out, err := exec.Command("sh", "-n", "install.sh").CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestPlacesAreShortAndOfOneHome(t *testing.T) {
	for _, name := range []string{"mysql", "mysql-semisync", "mysql8"} {
		home := "/" + strings.Repeat("long/", 30)
		a, err := open(home, name, nil)
		require.NoError(t, err)
		for _, s := range a.servers {
			assert.LessOrEqual(t, len(s.socket()), 107)
		}
		assert.LessOrEqual(t, len(a.proxy.Socket()), 97, "HAProxy binds a temporary name first")
		b, err := open("/other", name, nil)
		require.NoError(t, err)
		assert.NotEqual(t, a.places.servers, b.places.servers)
	}
}

func TestStartRefusesATakenAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.9.9:0")
	require.NoError(t, err)
	defer l.Close()
	err = free(t.Context(), "", l.Addr().String())
	assert.ErrorContains(t, err, fmt.Sprintf("wait for address %s to be free", l.Addr()))
}

func TestInsideSaysWhichNamespaceIsMissing(t *testing.T) {
	_, err := dialInside(context.Background(), "/run/netns/firedrill-none", "tcp", "127.0.0.1:1")
	assert.ErrorContains(t, err, "/run/netns/firedrill-none")
}
