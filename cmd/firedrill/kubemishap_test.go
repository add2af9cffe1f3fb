package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"firedrill/drills/verdict"
	"firedrill/lab"
)

// hurt is the quick scenario with a fault that stays until it is undone: a pod that is
// cut off by Chaos Mesh; longest is when the drill gives up.
func hurt(t *testing.T, longest string) string {
	t.Helper()
	return podKill(t, append(with("chaos-mesh", "      with:\n        revertWithin: 10s\n        networkPartition: {direction: both, externalTargets: [10.61.0.1]}\n"),
		`duration: 2m`, "duration: "+longest)...)
}

// The runner is killed with SIGKILL after every single journal append of a drill: the
// watchdog, or recover, puts everything back.
func TestKilledInTheClusterAfterEveryAppend(t *testing.T) {
	l := cluster(t)
	scenario := hurt(t, "2s")
	for n := 1; ; n++ {
		env := []string{dieAfter + "=" + strconv.Itoa(n)}
		watched := n%2 == 0
		if !watched {
			env = append(env, noWatchdog+"=1")
		}
		dir := filepath.Join(t.TempDir(), "run")
		out := l.with(env...).run(t, "run", scenario, "--lab", l.lab, "--out", dir, "--var", "component=web")
		if out.code != -1 {
			require.Greater(t, n, 4, "the drill has fewer appends than it should: %s", out.stderr)
			t.Logf("%d appends, each followed by a SIGKILL", n-1)
			l.whole(t)
			return
		}
		if watched {
			l.waitForWatchdog(t)
		}
		first := l.run(t, "recover")
		require.Zero(t, first.code, "append %d: %s%s", n, first.stdout, first.stderr)
		l.whole(t)
		l.noChaos(t)
	}
}

// noChaos fails the test if an object of Chaos Mesh is left.
func (l *clusterLab) noChaos(t *testing.T) {
	t.Helper()
	for _, resource := range []string{"podchaos", "networkchaos"} {
		of := podChaos
		of.Resource = resource
		list, err := l.objects.Resource(of).Namespace(lab.ShopNamespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		assert.Empty(t, list.Items)
	}
}

// The API server dies in the middle of the drill and comes back: whatever was measured
// is not the drill's doing alone, and everything is put back.
func TestAPIServerDies(t *testing.T) {
	l := cluster(t)
	res, out := l.amid(t, hurt(t, "20s"), "web", map[string]func(){" confirmed pod-gone": func() {
		l.kill(t, "kube-apiserver")
		<-time.After(3 * time.Second)
		l.mend(t)
	}})
	require.Equal(t, verdict.ExitInconclusive, out.code, out.stderr)
	assert.Contains(t, res.Reasons[0], "the platform of web did not answer in phase ")
	assert.Equal(t, "clean", res.Cleanup.Verdict)
	t.Log(res.Sentence, res.Reasons)
	l.mend(t)
	l.whole(t)
	l.noChaos(t)
}

// Chaos Mesh's controller dies while a fault of its is in force: nobody undoes it, and
// the result says so. Once it is back, recover is all that it takes.
func TestChaosControllerDies(t *testing.T) {
	l := cluster(t)
	res, out := l.amid(t, hurt(t, "4s"), "web", map[string]func(){" confirmed pod-gone": func() { l.kill(t, "chaos-controller-manager") }})
	t.Log(res.Sentence, res.Reasons)
	require.Equal(t, verdict.ExitDirty, out.code, out.stderr)
	require.NotEmpty(t, res.Cleanup.Leftovers)
	l.mend(t)
	again := l.run(t, "recover")
	assert.Zero(t, again.code, again.stderr)
	l.whole(t)
	l.noChaos(t)
}

// The credentials expire in the middle of the drill: what cannot be undone without
// them is dirty, until there are others.
func TestCredentialsExpire(t *testing.T) {
	l := cluster(t)
	good, err := clientcmd.LoadFromFile(l.now.Kubeconfig)
	require.NoError(t, err)
	access := filepath.Join(t.TempDir(), "access")
	require.NoError(t, clientcmd.WriteToFile(*good, access))
	file := l.topologyWith(t, `kubeconfig: .*`, "kubeconfig: "+access)
	dir := filepath.Join(t.TempDir(), "run")
	out := l.watched(t, map[string]func(){" confirmed pod-gone": func() {
		bad := good.DeepCopy()
		for _, u := range bad.AuthInfos {
			u.Token = wrong
		}
		require.NoError(t, clientcmd.WriteToFile(*bad, access))
	}}, "run", hurt(t, "5s"), "--topology", file, "--out", dir, "--var", "component=web")
	res := l.result(t, dir, out)
	t.Log(res.Sentence, res.Reasons)
	require.Equal(t, verdict.ExitDirty, out.code, out.stderr)
	assert.Contains(t, strings.Join(res.Cleanup.Leftovers, "\n"), "does not accept the credentials")
	assert.NotContains(t, out.stderr, wrong)
	require.NoError(t, clientcmd.WriteToFile(*good, access))
	again := l.run(t, "recover")
	assert.Zero(t, again.code, again.stderr)
	l.whole(t)
	l.noChaos(t)
}

// The namespace is deleted in the middle of the drill: the fault is gone with what it
// was done to, and so is what was to be restored.
func TestNamespaceIsDeleted(t *testing.T) {
	l := cluster(t)
	file := l.topologyWith(t, `kubeconfig: (.*)`, "kubeconfig: $1\n      settle: 5s")
	dir := filepath.Join(t.TempDir(), "run")
	out := l.watched(t, map[string]func(){" confirmed pod-gone": func() {
		require.NoError(t, l.client.CoreV1().Namespaces().Delete(t.Context(), lab.ShopNamespace, metav1.DeleteOptions{}))
	}}, "run", hurt(t, "5s"), "--topology", file, "--out", dir, "--var", "component=web")
	res := l.result(t, dir, out)
	t.Log(res.Sentence, res.Reasons)
	require.Contains(t, []int{verdict.ExitDirty, verdict.ExitAborted, verdict.ExitInconclusive}, out.code, out.stderr)
	require.Eventually(t, func() bool {
		_, err := l.client.CoreV1().Namespaces().Get(t.Context(), lab.ShopNamespace, metav1.GetOptions{})
		return err != nil
	}, time.Minute, 100*time.Millisecond)
	l.mend(t)
	again := l.run(t, "recover")
	assert.Zero(t, again.code, again.stderr)
	l.whole(t)
}

// topologyWith writes a copy of the lab's topology file with a regular expression
// replaced.
func (l *clusterLab) topologyWith(t *testing.T, was, is string) string {
	t.Helper()
	text, err := os.ReadFile(l.now.Topology)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "topology.yaml")
	require.NoError(t, os.WriteFile(file, []byte(replaced(t, string(text), was, is)), 0o600))
	return file
}

// amid is a drill of a component during which something happens.
func (l *clusterLab) amid(t *testing.T, scenario, component string, on map[string]func()) (verdict.Result, output) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	out := l.watched(t, on, "run", scenario, "--lab", l.lab, "--out", dir, "--var", "component="+component)
	return l.result(t, dir, out), out
}
