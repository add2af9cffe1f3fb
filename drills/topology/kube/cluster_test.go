package kube_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"firedrill/drills/topology/kube"
	"firedrill/lab"
	"firedrill/lab/labtest"
)

const (
	clusterLab = "kubernetes"
	soon       = 30 * time.Second
	often      = 100 * time.Millisecond
)

// up is the lab kubernetes, which all real tests of the package share: it is brought
// up by the first and taken down after the last.
var up struct {
	once sync.Once
	home string
	lab.Status
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if up.home != "" {
		if err := errors.Join(lab.Down(context.Background(), up.home, clusterLab), os.RemoveAll(up.home)); err != nil {
			fmt.Fprintln(os.Stderr, "take the lab down:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// cluster returns the lab kubernetes, up and healthy. Tests leave it as it was.
func cluster(t *testing.T) lab.Status {
	t.Helper()
	labtest.Real(t)
	up.once.Do(func() {
		if up.home, up.err = os.MkdirTemp("", "fd-"); up.err != nil {
			return
		}
		ctx := context.WithoutCancel(t.Context()) // others use it after this test
		if _, up.err = lab.Up(ctx, up.home, clusterLab, func(line string) { t.Log(line) }); up.err == nil {
			up.Status, up.err = lab.StatusOf(ctx, up.home, clusterLab)
		}
	})
	require.NoError(t, up.err)
	require.Equal(t, lab.Healthy, up.State, up.Problems)
	return up.Status
}

// access lets the test reach the cluster from outside its namespace: as the
// administrator, or with a token as somebody else. Each name is a client of its own.
func access(t *testing.T, st lab.Status, name, token string) (kube.Access, *kube.Cluster) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", st.Kubeconfig)
	require.NoError(t, err)
	if token != "" {
		config = rest.AnonymousClientConfig(config)
		config.BearerToken = token
	}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return lab.DialInside(ctx, st.Namespace, network, address)
	}
	config.QPS, config.Burst = 100, 200
	c := &kube.Cluster{Config: config, Namespace: lab.ShopNamespace, Says: "API server " + config.Host + " (" + name + ")"}
	c.Client, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	c.Dynamic, err = dynamic.NewForConfig(config)
	require.NoError(t, err)
	a := kube.Access{Kubeconfig: st.Kubeconfig, Context: name}
	t.Cleanup(a.Use(c))
	return a, c
}
