package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"

	"firedrill/drills/verdict"
	"firedrill/scenarios"
)

// manifests is where the manifests of drills in a cluster are.
const manifests = "../../ci/kubernetes"

// objectsOf are the objects of a file, as Kubernetes' own types read them: a field that
// they do not know fails the test.
func objectsOf(t *testing.T, path string) (objects []runtime.Object) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(manifests, path))
	require.NoError(t, err)
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	for _, doc := range strings.Split("\n"+string(b), "\n---") {
		if !strings.Contains(doc, "\nkind: ") {
			continue // comments only
		}
		o, _, err := strict.Decode([]byte(doc), nil, nil)
		require.NoError(t, err, path)
		objects = append(objects, o)
	}
	require.NotEmpty(t, objects, path)
	return objects
}

// objectOf is the only object of a file.
func objectOf[T runtime.Object](t *testing.T, path string) T {
	t.Helper()
	all := objectsOf(t, path)
	require.Len(t, all, 1, path)
	o, ok := all[0].(T)
	require.True(t, ok, "%s: %T", path, all[0])
	return o
}

// loose is an object as a client that knows no types has it.
func loose(t *testing.T, o runtime.Object) *unstructured.Unstructured {
	t.Helper()
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	require.NoError(t, err)
	u := &unstructured.Unstructured{Object: m}
	unstructured.RemoveNestedField(m, "status")
	return u
}

// Every file is in the kustomization of its directory, which names no other.
func TestKustomizationsAreWhole(t *testing.T) {
	for _, dir := range []string{"base", "drill", "schedule", "recover"} {
		b, err := os.ReadFile(filepath.Join(manifests, dir, "kustomization.yaml"))
		require.NoError(t, err)
		var k struct {
			APIVersion         string `yaml:"apiVersion"`
			Kind               string
			Resources          []string
			ConfigMapGenerator []struct {
				Name, Namespace string
				Files           []string
			} `yaml:"configMapGenerator"`
			Images []struct{ Name, NewName, NewTag string }
		}
		require.NoError(t, yaml.Unmarshal(b, &k), dir)
		named := slices.DeleteFunc(slices.Clone(k.Resources), func(r string) bool { return r == "../base" })
		for _, g := range k.ConfigMapGenerator {
			named = append(named, g.Files...)
		}
		files, err := filepath.Glob(filepath.Join(manifests, dir, "*.yaml"))
		require.NoError(t, err)
		var there []string
		for _, f := range files {
			if name := filepath.Base(f); name != "kustomization.yaml" {
				there = append(there, name)
			}
		}
		slices.Sort(named)
		assert.Equal(t, there, named, dir)
		if dir != "base" {
			assert.Contains(t, k.Resources, "../base")
		}
		for _, r := range k.Resources {
			if r != "../base" {
				objectsOf(t, filepath.Join(dir, r))
			}
		}
	}
}

// The scenario in the manifests is the library's, it fits the topology beside it, and
// what is allowed is what the two need.
func TestManifestsFitTheirScenario(t *testing.T) {
	scenario, topology := filepath.Join(manifests, "base/scenario.yaml"), filepath.Join(manifests, "base/topology.yaml")
	want, err := os.ReadFile("../../scenarios/library/pod-kill.yaml")
	require.NoError(t, err)
	got, err := os.ReadFile(scenario)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "copy scenarios/library/pod-kill.yaml to %s", scenario)
	s, err := scenarios.Load(scenario, nil, entries())
	require.NoError(t, err)
	top, err := scenarios.LoadTopology(topology, entries())
	require.NoError(t, err)
	require.NoError(t, fits(s, top, nil))

	allowed, err := os.ReadFile(filepath.Join(manifests, "base/rbac.yaml"))
	require.NoError(t, err)
	args := []string{"kinds", "--rbac", scenario, "--topology", topology, "--namespace", "firedrill"}
	out := (&program{home: t.TempDir()}).run(t, args...)
	require.Zero(t, out.code, out.stderr)
	assert.Equal(t, out.stdout, string(allowed), "firedrill %s >%s", strings.Join(args, " "), filepath.Join(manifests, "base/rbac.yaml"))
	account := objectsOf(t, "base/rbac.yaml")[0].(*corev1.ServiceAccount)
	pod := objectOf[*batchv1.Job](t, "drill/job.yaml").Spec.Template.Spec
	assert.Equal(t, account.Name, pod.ServiceAccountName)
}

// The three pods differ in nothing but what firedrill is told to do.
func TestPodsOfDrillsAreTheSame(t *testing.T) {
	job := objectOf[*batchv1.Job](t, "drill/job.yaml")
	cron := objectOf[*batchv1.CronJob](t, "schedule/cronjob.yaml")
	again := objectOf[*batchv1.Job](t, "recover/job.yaml")
	assert.Equal(t, job.Spec, cron.Spec.JobTemplate.Spec)
	recovering := again.Spec.Template.DeepCopy()
	require.Len(t, recovering.Spec.Containers, 1)
	assert.Equal(t, []string{"recover"}, recovering.Spec.Containers[0].Args)
	recovering.Spec.Containers[0].Args = job.Spec.Template.Spec.Containers[0].Args
	assert.Equal(t, job.Spec.Template, *recovering)

	out := (&program{home: t.TempDir()}).run(t, append(slices.Clone(job.Spec.Template.Spec.Containers[0].Args), "--help")...)
	assert.Zero(t, out.code, out.stderr)
	assert.Equal(t, batchv1.ForbidConcurrent, cron.Spec.ConcurrencyPolicy)
	require.NotNil(t, cron.Spec.TimeZone)
	require.NotNil(t, cron.Spec.StartingDeadlineSeconds)
}

// Whatever firedrill can end with, the Job knows what to do.
func TestJobKnowsEveryExitCode(t *testing.T) {
	job := objectOf[*batchv1.Job](t, "drill/job.yaml")
	assert.Equal(t, corev1.RestartPolicyNever, job.Spec.Template.Spec.RestartPolicy, "podFailurePolicy needs it")
	require.NotNil(t, job.Spec.BackoffLimit)
	assert.Positive(t, *job.Spec.BackoffLimit)
	// disrupted is what becomes of a pod that was evicted and ended with this code.
	decide := func(code int, disrupted bool) string {
		for _, r := range job.Spec.PodFailurePolicy.Rules {
			switch {
			case r.OnExitCodes != nil && slices.Contains(r.OnExitCodes.Values, int32(code)),
				disrupted && len(r.OnPodConditions) == 1 && r.OnPodConditions[0].Type == corev1.DisruptionTarget:
				return string(r.Action)
			}
		}
		return "Count"
	}
	for code, want := range map[int][2]string{
		verdict.ExitMissed:       {"FailJob", "FailJob"},
		verdict.ExitUsage:        {"FailJob", "FailJob"},
		verdict.ExitAborted:      {"FailJob", "Ignore"},
		verdict.ExitInconclusive: {"FailJob", "FailJob"},
		verdict.ExitDirty:        {"FailJob", "Ignore"},
		137:                      {"Count", "Ignore"},
	} {
		assert.Equal(t, want, [2]string{decide(code, false), decide(code, true)}, "exit code %d", code)
	}
	for _, r := range job.Spec.PodFailurePolicy.Rules {
		if r.OnExitCodes != nil {
			assert.Equal(t, job.Spec.Template.Spec.Containers[0].Name, *r.OnExitCodes.ContainerName)
		}
	}
}

// The program is built the same way for the image as it is by hand, for users of the
// same number as the pods'.
func TestImageFitsThePods(t *testing.T) {
	b, err := os.ReadFile("../../ci/image/Dockerfile")
	require.NoError(t, err)
	pod := objectOf[*batchv1.Job](t, "drill/job.yaml").Spec.Template.Spec
	home := pod.Containers[0].Env[0]
	assert.Equal(t, "FIREDRILL_HOME", home.Name)
	assert.Contains(t, string(b), "ENV FIREDRILL_HOME="+home.Value+"\nVOLUME "+home.Value+"\nUSER 65532:65532\n")
	assert.Equal(t, int64(65532), *pod.SecurityContext.RunAsUser)
	assert.True(t, slices.ContainsFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == home.Value }))
	mod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	for line := range strings.Lines(string(mod)) {
		if version, ok := strings.CutPrefix(line, "go "); ok {
			minor := strings.Join(strings.Split(strings.TrimSpace(version), ".")[:2], ".")
			assert.Contains(t, string(b), "FROM golang:"+minor+" AS build")
		}
	}
	assert.Equal(t, []corev1.Capability{"ALL"}, pod.Containers[0].SecurityContext.Capabilities.Drop)
}
