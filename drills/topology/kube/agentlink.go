package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"firedrill/drills/vantage"
)

// agentLink attaches to an agent through the API server.
type agentLink struct {
	*Cluster
	agentPod
}

// Connect implements vantage.Link. Whether the stream comes about is known when it is
// read.
func (l *agentLink) Connect(ctx context.Context) (io.ReadWriteCloser, error) {
	pod, err := l.Client.CoreV1().Pods(l.agentPod.Namespace).Get(ctx, l.Name, metav1.GetOptions{})
	if gone(err) {
		return nil, fmt.Errorf("%w: somebody deleted %s", vantage.ErrGone, l.agentPod)
	}
	if err != nil {
		return nil, l.Explain("look at "+l.agentPod.String(), err)
	}
	if !agentRuns(pod) {
		return nil, fmt.Errorf("%w: %s: %s", vantage.ErrGone, l.agentPod, Ailment(pod))
	}
	e, err := l.executor()
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", l.agentPod, err)
	}
	return newAttached(ctx, l, e), nil
}

// executor speaks WebSocket, or SPDY where an older API server or a proxy on the way
// does not.
func (l *agentLink) executor() (remotecommand.Executor, error) {
	url := l.Client.CoreV1().RESTClient().Post().Namespace(l.agentPod.Namespace).Resource("pods").Name(l.Name).
		SubResource("attach").VersionedParams(&corev1.PodAttachOptions{Container: agentName, Stdin: true, Stdout: true}, scheme.ParameterCodec).URL()
	socket, err := remotecommand.NewWebSocketExecutor(l.Config, http.MethodGet, url.String())
	if err != nil {
		return nil, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(l.Config, http.MethodPost, url)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

// attached is one connection to an agent.
type attached struct {
	in     *io.PipeWriter
	out    *io.PipeReader
	cancel context.CancelFunc
	closed sync.Once
	ended  chan struct{}
}

func newAttached(ctx context.Context, l *agentLink, e remotecommand.Executor) *attached {
	ctx, cancel := context.WithCancel(ctx)
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	a := &attached{in: in, out: out, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout})
		if err == nil {
			err = io.EOF
		} else {
			err = l.Explain("attach to "+l.agentPod.String(), err)
		}
		stdout.CloseWithError(err)
		in.Close() // whoever writes is let go; client-go would tell of any other end
	}()
	return a
}

// Read takes what the agent says.
func (a *attached) Read(b []byte) (int, error) { return a.out.Read(b) }

// Write tells the agent something.
func (a *attached) Write(b []byte) (int, error) { return a.in.Write(b) }

// Close ends the connection, and not the agent.
func (a *attached) Close() error {
	a.closed.Do(func() {
		a.in.Close()
		a.cancel()
		a.out.Close()
	})
	<-a.ended
	return nil
}
