package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"

	"firedrill/drills/journal"
	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
	"firedrill/lab"
	"firedrill/lab/labtest"
)

// runnerNamespace is where the manifests put the runner.
const runnerNamespace = "firedrill"

// deployed is firedrill in the lab's cluster, by its manifests.
type deployed struct {
	*clusterLab
	// volume is the directory that is FIREDRILL_HOME in the pods.
	volume string
	mapper meta.RESTMapper
}

// A drill runs in the cluster that it drills: with the rights that were printed for it,
// not as root, on a file system that it cannot write to. Its pod is killed and evicted
// in mid-drill: the next one puts back what is left, and drills.
func TestClusterRunsADrill(t *testing.T) {
	real(t)
	program := buildForImage(t)
	d := deploy(t, cluster(t), program())
	t.Run("by the calendar", func(t *testing.T) { runsFromCronJob(t, d) })
	t.Run("killed", func(t *testing.T) { survivesKill(t, d) })
	t.Run("evicted", func(t *testing.T) { survivesEviction(t, d) })
	t.Run("own pod", func(t *testing.T) { sparesItself(t, d) })
	d.whole(t)
}

// buildForImage builds the program as the image's recipe does, while the cluster starts.
func buildForImage(t *testing.T) (program func() string) {
	t.Helper()
	recipe, err := os.ReadFile("../../ci/image/Dockerfile")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*) -o /root/firedrill \./cmd/firedrill$`).FindSubmatch(recipe)
	require.NotNil(t, found, "the recipe has a line that builds")
	path := filepath.Join(t.TempDir(), "firedrill")
	build := exec.Command("sh", "-c", string(found[1])+` -o "$0" .`, path)
	said := new(strings.Builder)
	build.Stdout, build.Stderr = said, said
	require.NoError(t, build.Start())
	return func() string {
		require.NoError(t, build.Wait(), said)
		return path
	}
}

// deploy applies the manifests, with a directory of this host as the volume, as the lab
// has nobody who makes volumes, and with a scenario that takes seconds.
func deploy(t *testing.T, l *clusterLab, program string) *deployed {
	t.Helper()
	require.NoError(t, lab.ImportFiredrill(t.Context(), l.home, l.lab, program))
	config := l.config(t)
	client, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	groups, err := restmapper.GetAPIGroupResources(client)
	require.NoError(t, err)
	d := &deployed{clusterLab: l, volume: filepath.Join(labtest.Dir(t), "runs"), mapper: restmapper.NewDiscoveryRESTMapper(groups)}
	require.NoError(t, os.Mkdir(d.volume, 0o700))
	require.NoError(t, os.Chown(d.volume, 65532, 65532))
	d.apply(t, objectsOf(t, "base/namespace.yaml")...)
	d.apply(t, objectsOf(t, "base/rbac.yaml")...)
	d.apply(t, objectsOf(t, "base/runs.yaml")...)
	d.apply(t, &corev1.PersistentVolume{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"}, ObjectMeta: metav1.ObjectMeta{Name: "firedrill-runs"},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: d.volume, Type: new(corev1.HostPathDirectory)},
			},
			ClaimRef: &corev1.ObjectReference{Namespace: runnerNamespace, Name: "firedrill-runs"},
		},
	})
	d.configure(t)
	return d
}

// configure makes the ConfigMap that Kustomize would generate. The lab has no name
// server for Services.
func (d *deployed) configure(t *testing.T) {
	t.Helper()
	topology, err := os.ReadFile(filepath.Join(manifests, "base/topology.yaml"))
	require.NoError(t, err)
	scenario, err := os.ReadFile(podKill(t))
	require.NoError(t, err)
	require.Contains(t, string(topology), "api.shop.svc:80")
	d.files(t, "firedrill", string(scenario), strings.ReplaceAll(string(topology), "api.shop.svc:80", d.address(t, "api")))
}

// files makes a ConfigMap of a scenario and a topology.
func (d *deployed) files(t *testing.T, name, scenario, topology string) {
	t.Helper()
	d.apply(t, &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: runnerNamespace},
		Data: map[string]string{"scenario.yaml": scenario, "topology.yaml": topology},
	})
}

// apply creates objects, which go with the test.
func (d *deployed) apply(t *testing.T, objects ...runtime.Object) {
	t.Helper()
	for _, o := range objects {
		u := loose(t, o)
		kind := u.GroupVersionKind()
		m, err := d.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		require.NoError(t, err)
		at := d.objects.Resource(m.Resource).Namespace(u.GetNamespace())
		_, err = at.Create(t.Context(), u, metav1.CreateOptions{})
		require.NoError(t, err, "%s %s", kind.Kind, u.GetName())
		t.Cleanup(func() {
			// What is in the namespace goes with it.
			if u.GetNamespace() != runnerNamespace {
				assert.NoError(t, at.Delete(context.Background(), u.GetName(), metav1.DeleteOptions{}))
			}
		})
	}
}

// start makes a Job of what the manifests say, which uses the lab's image.
func (d *deployed) start(t *testing.T, name string, spec batchv1.JobSpec) *jobUnderWay {
	t.Helper()
	c := &spec.Template.Spec.Containers[0]
	c.Image, c.ImagePullPolicy = lab.FiredrillImage, corev1.PullNever
	j := &jobUnderWay{deployed: d, name: name, before: d.runs(t)}
	d.apply(t, &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, Spec: spec,
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: runnerNamespace},
	})
	return j
}

// runs are the run directories on the volume, oldest first.
func (d *deployed) runs(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(d.volume, "runs", "*"))
	require.NoError(t, err)
	return dirs
}

// jobUnderWay is a Job with the runs that were there before it.
type jobUnderWay struct {
	*deployed
	name   string
	before []string
}

// mine are the Job's own runs.
func (j *jobUnderWay) mine(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(j.runs(t), func(dir string) bool { return slices.Contains(j.before, dir) })
}

// pods are the Job's, oldest first.
func (j *jobUnderWay) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := j.client.CoreV1().Pods(runnerNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + j.name})
	require.NoError(t, err)
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return list.Items
}

// breaks waits until the fault is there, and returns the pod that made it.
func (j *jobUnderWay) breaks(t *testing.T) corev1.Pod {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, dir := range j.mine(t) {
			rec, err := timeline.Read(dir)
			if err != nil {
				continue
			}
			for _, e := range rec.Events {
				if c, ok := e.Payload.(timeline.Confirmed); ok && c.Err == "" {
					return true
				}
			}
		}
		return false
	}, time.Minute, 20*time.Millisecond, "no fault comes about: %s", j.log(t))
	pods := j.pods(t)
	require.Len(t, pods, 1)
	return pods[0]
}

// log is what the Job's pods said.
func (j *jobUnderWay) log(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, p := range j.pods(t) {
		said, err := j.client.CoreV1().Pods(runnerNamespace).GetLogs(p.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
		fmt.Fprintf(&all, "%s (%s %s):\n%s\n", p.Name, p.Status.Phase, p.Status.Message, said)
		if err != nil {
			fmt.Fprintln(&all, err)
		}
	}
	return all.String()
}

// completes waits for the Job's success and returns the results of its runs, and with
// what its pods ended, oldest first.
func (j *jobUnderWay) completes(t *testing.T) (results []verdict.Result, codes []int32) {
	t.Helper()
	require.Eventually(t, func() bool {
		job, err := j.client.BatchV1().Jobs(runnerNamespace).Get(t.Context(), j.name, metav1.GetOptions{})
		require.NoError(t, err)
		for _, c := range job.Status.Conditions {
			if c.Status != corev1.ConditionTrue {
				continue
			}
			require.NotEqual(t, batchv1.JobFailed, c.Type, "%s: %s", c.Message, j.log(t))
			if c.Type == batchv1.JobComplete {
				return true
			}
		}
		return false
	}, 2*time.Minute, 100*time.Millisecond)
	for _, dir := range j.mine(t) {
		results = append(results, j.read(t, dir))
	}
	for _, p := range j.pods(t) {
		require.Len(t, p.Status.ContainerStatuses, 1)
		require.NotNil(t, p.Status.ContainerStatuses[0].State.Terminated, p.Name)
		codes = append(codes, p.Status.ContainerStatuses[0].State.Terminated.ExitCode)
	}
	left, err := journal.List(filepath.Join(j.volume, "journal"))
	require.NoError(t, err)
	assert.Empty(t, left, "a journal that nobody has dealt with")
	return results, codes
}

// runsFromCronJob: the Job that the CronJob makes is met, as kubectl create job
// --from=cronjob/firedrill has it.
func runsFromCronJob(t *testing.T, d *deployed) {
	cron := objectOf[*batchv1.CronJob](t, "schedule/cronjob.yaml")
	d.apply(t, cron.DeepCopy())
	j := d.start(t, "now", cron.Spec.JobTemplate.Spec)
	results, codes := j.completes(t)
	require.Len(t, results, 1)
	assert.Equal(t, []int32{verdict.ExitMet}, codes)
	assert.Equal(t, verdict.Met, results[0].Verdict)
	assert.FileExists(t, filepath.Join(j.mine(t)[0], "report.html"))
	assert.Contains(t, j.log(t), "MET  pod-kill on shop")
	out := d.run(t, "verify", j.mine(t)[0])
	assert.Zero(t, out.code, out.stdout)
}

// survivesKill: every process of the container dies at once, the watchdog too, as when
// its memory is up or its node is lost.
func survivesKill(t *testing.T, d *deployed) {
	j := d.start(t, "killed", objectOf[*batchv1.Job](t, "drill/job.yaml").Spec)
	require.NoError(t, syscall.Kill(processOf(t, j.breaks(t)), syscall.SIGKILL))
	results, codes := j.completes(t)
	require.Equal(t, []int32{137, verdict.ExitMet}, codes)
	j.recovered(t, results, true)
	assert.Regexp(t, `run [0-9a-f]+: pod-gone: (clean|gone)`, j.log(t), "the second pod says what it put back")
}

// survivesEviction: a pod that is evicted puts everything back itself, and is not
// counted.
func survivesEviction(t *testing.T, d *deployed) {
	j := d.start(t, "evicted", objectOf[*batchv1.Job](t, "drill/job.yaml").Spec)
	p := j.breaks(t)
	require.NoError(t, d.client.PolicyV1().Evictions(runnerNamespace).Evict(t.Context(), &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: runnerNamespace},
	}))
	results, codes := j.completes(t)
	require.Equal(t, verdict.ExitMet, int(codes[len(codes)-1]))
	j.recovered(t, results, false)
	job, err := d.client.BatchV1().Jobs(runnerNamespace).Get(t.Context(), j.name, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Zero(t, job.Status.Failed, "an eviction is nobody's failure")
}

// sparesItself: a selector that fits the runner's own pod does not make it kill itself.
func sparesItself(t *testing.T, d *deployed) {
	d.files(t, "suicide", `apiVersion: firedrill/v1
kind: Scenario
metadata: {name: suicide}
spec:
  objectives: {rto: 30s}
  probes:
    - {name: replicas, kind: kubernetes, target: {component: kubernetes}, every: 500ms, timeout: 2s}
  faults:
    - {name: kill, kind: pod-kill, target: {component: kubernetes}}
`, `apiVersion: firedrill/v1
kind: Topology
metadata: {name: itself}
spec:
  components:
    - {name: runner, kind: kubernetes, failover: automatic, with: {namespace: firedrill, selector: job-name=suicide}}
`)
	d.apply(t, &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: "suicide", Namespace: runnerNamespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "firedrill", Namespace: runnerNamespace}},
	})
	spec := objectOf[*batchv1.Job](t, "drill/job.yaml").Spec
	spec.Template.Spec.Volumes[1].ConfigMap.Name = "suicide"
	j := d.start(t, "suicide", spec)
	require.Eventually(t, func() bool {
		job, err := d.client.BatchV1().Jobs(runnerNamespace).Get(t.Context(), j.name, metav1.GetOptions{})
		require.NoError(t, err)
		return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
			return c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue && c.Reason == batchv1.JobReasonPodFailurePolicy
		})
	}, time.Minute, 100*time.Millisecond, "%s", j.log(t))
	pods := j.pods(t)
	require.Len(t, pods, 1)
	assert.Equal(t, int32(verdict.ExitAborted), pods[0].Status.ContainerStatuses[0].State.Terminated.ExitCode)
	assert.Contains(t, j.log(t), "pod "+pods[0].Name+" in namespace firedrill is the one that firedrill itself runs in")
}

// recovered: the first run was aborted, by its own runner or by the next one, which put
// everything back; the second is met.
func (j *jobUnderWay) recovered(t *testing.T, results []verdict.Result, byTheNext bool) {
	t.Helper()
	require.Len(t, results, 2)
	assert.Equal(t, verdict.Aborted, results[0].Verdict)
	assert.Contains(t, results[0].Sentence, "everything was put back")
	assert.Equal(t, verdict.Met, results[1].Verdict)
	rec, err := timeline.Read(j.mine(t)[0])
	require.NoError(t, err)
	require.Empty(t, rec.Broken)
	last, ok := rec.Events[len(rec.Events)-1].Payload.(timeline.Ended)
	require.True(t, ok)
	assert.Equal(t, byTheNext, last.Interrupted)
}

// processOf finds, on this host, the process that a pod's container began with.
func processOf(t *testing.T, p corev1.Pod) int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cgroup")
	require.NoError(t, err)
	for _, path := range paths {
		group, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(group), string(p.UID)) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
		if err == nil && regexp.MustCompile(`(?m)^NSpid:.*\t1$`).Match(status) && strings.HasPrefix(string(status), "Name:\tfiredrill\n") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			require.NoError(t, err)
			return pid
		}
	}
	require.Fail(t, "no process of pod "+p.Name)
	return 0
}
