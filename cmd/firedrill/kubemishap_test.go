package main

import (
	"fmt"
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

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
	"firedrill/lab"
)

// hurt is the quick scenario with a fault that stays until it is undone: a pod that is
// cut off by Chaos Mesh; longest is when the drill gives up.
func hurt(t *testing.T, longest string, replace ...string) string {
	t.Helper()
	return podKill(t, append(append(with("chaos-mesh", "      with:\n        revertWithin: 10s\n        networkPartition: {direction: both, externalTargets: [10.61.0.1]}\n"),
		`duration: 2m`, "duration: "+longest), replace...)...)
}

// remedied is the quick scenario with a fault of the Kubernetes API that stays until it
// is undone, and a remedy that does not help and has to be undone, too.
func remedied(t *testing.T, replace ...string) string {
	t.Helper()
	const remedy = "healAfter: 200ms\n  remediation:\n    - name: tell-operator\n      kind: kube-annotate\n      target: {component: api}\n" +
		"      with: {object: deployment/api, annotations: {example.com/failing: \"true\"}}\n"
	return podKill(t, append(append(with("workload-scale", "      with: {replicas: 2}\n"),
		`inform: true`, "inform: false", `healAfter: 1m`, remedy, `duration: 2m`, "duration: 1s"), replace...)...)
}

// The runner is killed with SIGKILL after every single journal append of a drill: the
// watchdog, or recover, puts everything back.
func TestClusterKilledAfterEveryAppend(t *testing.T) {
	l := cluster(t)
	scenario := hurt(t, "1s", `baseline: 2s`, "baseline: 1s")
	for n := 1; ; n++ {
		if seen, killed := l.killedAfter(t, scenario, n, "web"); !killed {
			require.Greater(t, n, 7, "the drill has fewer appends than it should: %s", seen)
			t.Logf("%d appends, each followed by a SIGKILL", n-1)
			break
		}
	}
	l.whole(t)
	l.noChaos(t)
}

// The same with a fault of the Kubernetes API and a remedy: killed when the remedy is
// about to act on top of the fault, and when the fault is undone and the remedy is not.
func TestClusterKilledWithARemedy(t *testing.T) {
	l := cluster(t)
	scenario := remedied(t, `baseline: 2s`, "baseline: 1s")
	for _, c := range []struct {
		append int
		at     string
	}{{5, "remedy-began"}, {6, "reverting"}} {
		seen, killed := l.killedAfter(t, scenario, c.append, "api")
		require.True(t, killed, "append %d: %s", c.append, seen)
		assert.Contains(t, seen, `"type":"confirmed"`, "append %d: the fault was in force", c.append)
		assert.Contains(t, seen, `"type":"`+c.at+`"`, "append %d", c.append)
	}
}

// killedAfter runs a drill whose runner is killed after the nth append to the journal, and
// sees to it that everything is put back, by the watchdog where n is even. It returns what
// the runner had recorded; killed is false if there are fewer appends, and seen what it said.
func (l *clusterLab) killedAfter(t *testing.T, scenario string, n int, component string) (seen string, killed bool) {
	t.Helper()
	before := l.scaled(t, component)
	env := []string{dieAfter + "=" + strconv.Itoa(n)}
	watched := n%2 == 0
	if !watched {
		env = append(env, noWatchdog+"=1")
	}
	began := time.Now()
	dir := filepath.Join(t.TempDir(), "run")
	out := l.with(env...).run(t, "run", scenario, "--lab", l.lab, "--out", dir, "--var", "component="+component)
	if out.code != -1 {
		return out.stderr, false
	}
	died := time.Since(began)
	events, _ := os.ReadFile(filepath.Join(dir, timeline.EventsFile)) // there may be none yet
	if watched {
		l.waitForWatchdog(t)
	}
	first := l.run(t, "recover")
	require.Zero(t, first.code, "append %d: %s%s", n, first.stdout, first.stderr)
	l.whole(t)
	l.noChaos(t)
	assert.Equal(t, before, l.scaled(t, component), "append %d", n)
	t.Logf("append %d: killed after %s, all was put back and looked at %s later", n, died.Round(time.Millisecond), (time.Since(began) - died).Round(time.Millisecond))
	return string(events), true
}

// scaled is what a drill may change of a Deployment.
func (l *clusterLab) scaled(t *testing.T, name string) string {
	t.Helper()
	d, err := l.client.AppsV1().Deployments(lab.ShopNamespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return fmt.Sprint(*d.Spec.Replicas, d.Annotations)
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
func TestClusterAPIServerDies(t *testing.T) {
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
func TestClusterChaosControllerDies(t *testing.T) {
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
func TestClusterCredentialsExpire(t *testing.T) {
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
func TestClusterNamespaceIsDeleted(t *testing.T) {
	l := cluster(t)
	file := l.topologyWith(t, `kubeconfig: (.*)`, "kubeconfig: $1\n      settle: 5s")
	dir := filepath.Join(t.TempDir(), "run")
	out := l.watched(t, map[string]func(){" confirmed pod-gone": func() {
		require.NoError(t, l.client.CoreV1().Namespaces().Delete(t.Context(), lab.ShopNamespace, metav1.DeleteOptions{}))
	}}, "run", hurt(t, "5s"), "--topology", file, "--out", dir, "--var", "component=web")
	res := l.result(t, dir, out)
	t.Log(res.Sentence, res.Reasons, res.Cleanup, res.Faults[0].Revert)
	// What the pods were cut off by is gone with them, or was taken away in time; that they
	// are not there again cannot be mended without the namespace.
	require.Equal(t, verdict.ExitDirty, out.code, out.stderr)
	require.NotEmpty(t, res.Cleanup.Leftovers)
	assert.Contains(t, strings.Join(res.Cleanup.Leftovers, "\n"), `no pod fits app=web in namespace shop`)
	assert.Contains(t, []string{"gone", "clean"}, res.Faults[0].Revert)
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
