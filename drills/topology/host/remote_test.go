package host_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"firedrill/drills/topology/host"
)

func (s *sshd) spec() host.Spec {
	return host.Spec{SSH: "op@" + s.address, KeyFile: s.keyFile, KnownHosts: s.knownHosts}
}

func remoteRun(t *testing.T, s host.Spec, argv []string, stdin string) (host.Output, error) {
	t.Helper()
	h, err := s.Open()
	require.NoError(t, err)
	return h.Run(t.Context(), argv, stdin)
}

func TestRemoteRun(t *testing.T) {
	s := startSSHD(t, "")
	argv := []string{"sh", "-c", `cat; printf '%s|' "$@" >&2`, "sh", "it's", "$HOME", "a b", ""}
	out, err := remoteRun(t, s.spec(), argv, "hello")
	require.NoError(t, err)
	assert.Equal(t, host.Output{Stdout: "hello", Stderr: "it's|$HOME|a b||"}, out)

	_, err = remoteRun(t, s.spec(), []string{"sh", "-c", "echo one >&2; echo two >&2; exit 3", "hush"}, "")
	assert.EqualError(t, err, "run sh on op@"+s.address+": exit code 3: one")
	assert.Equal(t, 3, host.Code(err))
}

func TestRemoteRefusesAHostWithAnotherKey(t *testing.T) {
	s := startSSHD(t, "")
	other, _ := key(t)
	s.know(t, other.PublicKey())
	_, err := remoteRun(t, s.spec(), []string{"true"}, "")
	require.Error(t, err)
	assert.ErrorContains(t, err, "refused")
	assert.ErrorContains(t, err, ssh.FingerprintSHA256(s.hostKey.PublicKey()))
	assert.ErrorContains(t, err, s.knownHosts)
}

func TestRemoteRefusesAHostThatIsNotKnown(t *testing.T) {
	s := startSSHD(t, "")
	require.NoError(t, os.WriteFile(s.knownHosts, nil, 0o600))
	_, err := remoteRun(t, s.spec(), []string{"true"}, "")
	assert.ErrorContains(t, err, "has no key in "+s.knownHosts)
	require.NoError(t, os.Remove(s.knownHosts))
	_, err = remoteRun(t, s.spec(), []string{"true"}, "")
	assert.ErrorContains(t, err, s.knownHosts)
}

func TestRemoteKeys(t *testing.T) {
	s := startSSHD(t, "open sesame")
	spec := s.spec()
	_, err := remoteRun(t, spec, []string{"true"}, "")
	assert.ErrorContains(t, err, "passphrase")

	t.Setenv("FIREDRILL_TEST_PASSPHRASE", "wrong-one")
	spec.Passphrase = "env:FIREDRILL_TEST_PASSPHRASE"
	_, err = remoteRun(t, spec, []string{"true"}, "")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "wrong-one")

	t.Setenv("FIREDRILL_TEST_PASSPHRASE", "open sesame")
	_, err = remoteRun(t, spec, []string{"true"}, "")
	require.NoError(t, err)

	stranger := startSSHD(t, "")
	spec = s.spec()
	spec.KeyFile = stranger.keyFile
	_, err = remoteRun(t, spec, []string{"true"}, "")
	assert.ErrorContains(t, err, "log in as op")
}

func TestRemoteUsesTheAgent(t *testing.T) {
	s := startSSHD(t, "")
	b, err := os.ReadFile(s.keyFile)
	require.NoError(t, err)
	private, err := ssh.ParseRawPrivateKey(b)
	require.NoError(t, err)
	ring := agent.NewKeyring()
	require.NoError(t, ring.Add(agent.AddedKey{PrivateKey: private}))
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "agent"))
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(ring, c)
		}
	}()
	t.Setenv("HOME", dir) // no key files there
	spec := s.spec()
	spec.KeyFile = ""
	_, err = remoteRun(t, spec, []string{"true"}, "")
	assert.ErrorContains(t, err, "no private key")
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(dir, "agent"))
	_, err = remoteRun(t, spec, []string{"true"}, "")
	require.NoError(t, err)
}

func TestRemoteRunEndsWithItsContext(t *testing.T) {
	s := startSSHD(t, "")
	h, err := s.spec().Open()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err = h.Run(ctx, []string{"sleep", "3"}, "")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(begin), 2*time.Second)
	assert.Contains(t, <-s.signals, "KILL")
}

func TestRemoteRunEndsWithItsContextBeforeTheLogin(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	require.NoError(t, err)
	defer l.Close()
	s := startSSHD(t, "")
	s.address = l.Addr().String()
	s.know(t, s.hostKey.PublicKey())
	h, err := s.spec().Open()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = h.Run(ctx, []string{"true"}, "")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestSpecsThatNameNoHost(t *testing.T) {
	for _, bad := range []string{"op@", ":22", "@:22"} {
		_, err := host.Spec{SSH: bad}.Open()
		assert.ErrorContains(t, err, "want [user@]host[:port]", bad)
	}
	_, err := host.Spec{KeyFile: "k"}.Open()
	assert.ErrorContains(t, err, "need ssh")
}
