package injectors

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	utilexec "k8s.io/client-go/util/exec"

	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/kube"
)

// image is what commands a container knows, and what becomes of them.
type image map[string]error

var errNoFile = errors.New(`exec: "x": executable file not found in $PATH`)

// in makes a fault run its commands in a container of that image; ran has what it ran.
func (m image) in(t *testing.T, with string) (i *containerExecKill, ran *[]string) {
	t.Helper()
	i, ran = fault(t, "container-exec-kill", with).(*containerExecKill), new([]string)
	i.exec = func(_ context.Context, _ *kube.Cluster, _ podRef, _ string, argv []string) error {
		*ran = append(*ran, strings.Join(argv, " "))
		err, ok := m[argv[0]]
		if !ok {
			return errNoFile
		}
		return err
	}
	return i, ran
}

// restarted does what a kubelet does with a container that has ended.
func (f *fakeCluster) restarted(name string, ready bool) {
	f.t.Helper()
	p := get[*corev1.Pod](f, podsResource, "shop", name)
	p.Status.ContainerStatuses[0].ContainerID = "containerd://2"
	p.Status.ContainerStatuses[0].RestartCount++
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	if ready {
		p.Status.Conditions[0].Status = corev1.ConditionTrue
	}
	update(f, "pods", p)
}

func TestContainerExecKill(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		image image
		with  string
		ran   []string
	}{
		"kill":    {image{"kill": nil}, `{}`, []string{"kill -0 1", "kill -TERM 1"}},
		"sh":      {image{"sh": nil}, `{"signal":"INT"}`, []string{"kill -0 1", "sh -c kill -0 1", "sh -c kill -INT 1"}},
		"command": {image{"/app": nil}, `{"command":["/app","quit"]}`, []string{"/app quit"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			to := f.target(f.api(nil), 1)
			i, ran := c.image.in(t, c.with)
			u, err := i.Prepare(t.Context(), to)
			require.NoError(t, err)
			assert.Equal(t, "wait until the kubelet has started container api of pod shop/api-1-0 again", u.Says)
			require.NoError(t, i.Revert(t.Context(), u), "before inject")
			require.NoError(t, i.Inject(t.Context(), to, u))
			assert.Equal(t, c.ran, *ran)
			_, err = sees(t, i, to, u, 50*time.Millisecond)
			require.ErrorContains(t, err, "container api of pod shop/api-1-0 goes on running: its process may have no handler")
			f.restarted("api-1-0", false)
			by, err := sees(t, i, to, u, 10*time.Second)
			require.NoError(t, err)
			assert.Equal(t, "container api of pod shop/api-1-0: its kubelet says that it has ended", by)
			require.ErrorContains(t, briefly(t, i, u), "pod shop/api-1-0 is not ready")
			f.restarted("api-1-0", true)
			require.NoError(t, i.Revert(t.Context(), u))
			require.ErrorContains(t, i.Inject(t.Context(), to, u), "it was started again meanwhile")
			f.allowed(i, to.Component)
		})
	}
}

// The process takes the command that ended it, or the connection, along.
func TestContainerExecKillIsCutShort(t *testing.T) {
	f := newFake(t)
	to := f.target(f.api(nil), 1)
	i, _ := image{"kill": nil}.in(t, `{}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	i.exec = func(context.Context, *kube.Cluster, podRef, string, []string) error {
		f.restarted("api-1-0", true)
		return utilexec.CodeExitError{Code: 137, Err: errors.New("exit 137")}
	}
	require.NoError(t, i.Inject(t.Context(), to, u))
}

func TestContainerExecKillRefuses(t *testing.T) {
	yes := true
	for name, c := range map[string]struct {
		how  string
		pod  func(*corev1.Pod)
		want string
	}{
		"distroless": {`{}`, func(*corev1.Pod) {}, "the image of container api of pod shop/api-1-0 has neither kill nor sh: name a command of its own"},
		"container":  {`{"container":"x"}`, func(*corev1.Pod) {}, "pod shop/api-1-0 has no container x: it has api"},
		"never":      {`{}`, func(p *corev1.Pod) { p.Spec.RestartPolicy = "Never" }, "nobody would start its container again"},
		"host":       {`{"command":["x"]}`, func(p *corev1.Pod) { p.Spec.HostPID = true }, "process 1 there is the node's own"},
		"shared":     {`{}`, func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = &yes }, "process 1 is none of theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			p := pod("api-1-0")
			c.pod(p)
			update(f, "pods", p)
			i, ran := image{}.in(t, c.how)
			_, err := i.Prepare(t.Context(), f.target(f.api(nil), 1))
			assert.ErrorContains(t, err, c.want)
			for _, argv := range *ran {
				assert.Contains(t, argv, "kill -0 1", "tried, and no more")
			}
		})
	}
	_, err := All(builtin.Kinds()).Build("container-exec-kill", json.RawMessage(`{"signal":"KILL"}`))
	assert.ErrorContains(t, err, "Linux does not let a container kill its own process 1 that way")
}
