package injectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"

	"firedrill/drills/topology/kube"
)

// execIn runs a command in a container of a pod, to its end.
type execIn func(ctx context.Context, c *kube.Cluster, in podRef, container string, argv []string) error

// execInPod runs it through the exec API, as "kubectl exec" does.
func execInPod(ctx context.Context, c *kube.Cluster, in podRef, container string, argv []string) error {
	doing := fmt.Sprintf("run %q in container %s of %s", strings.Join(argv, " "), container, in)
	url := c.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(in.Place.Namespace).Name(in.Place.Pod).
		SubResource("exec").VersionedParams(&corev1.PodExecOptions{
		Container: container, Command: argv, Stdout: true, Stderr: true,
	}, scheme.ParameterCodec).URL()
	socket, err := remotecommand.NewWebSocketExecutor(c.Config, "GET", url.String())
	if err != nil {
		return c.Explain(doing, err)
	}
	spdy, err := remotecommand.NewSPDYExecutor(c.Config, "POST", url)
	if err != nil {
		return c.Explain(doing, err)
	}
	e, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return c.Explain(doing, err)
	}
	var said transcript
	err = e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &said, Stderr: &said})
	if text := strings.TrimSpace(said.String()); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, beginning(text))
	}
	return c.Explain(doing, err)
}

// transcript is what a command says on both of its streams, which come at the same time.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(b)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// beginning is the beginning of a long text.
func beginning(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return text[:min(len(text), 200)]
}

// exitCode is that of a command that ended; -1 if the error is of another sort.
func exitCode(err error) int {
	if ended, ok := errors.AsType[utilexec.CodeExitError](err); ok {
		return ended.Code
	}
	return -1
}

// noProgram tells whether the container has no such program.
func noProgram(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return exitCode(err) == 126 || exitCode(err) == 127 ||
		strings.Contains(text, "executable file not found") || strings.Contains(text, "no such file or directory")
}

// containerOf finds a container of a pod: that of the name, or else the main one.
func containerOf(p livePod, name string) (*corev1.Container, error) {
	name = cmp.Or(name, p.pod.Annotations["kubectl.kubernetes.io/default-container"], p.pod.Spec.Containers[0].Name)
	var have []string
	for i := range p.pod.Spec.Containers {
		c := &p.pod.Spec.Containers[i]
		if c.Name == name {
			return c, nil
		}
		have = append(have, c.Name)
	}
	return nil, fmt.Errorf("%s has no container %s: it has %s", p, name, strings.Join(have, ", "))
}
