// Package kube knows Kubernetes: how its API is reached, the component kinds
// "kubernetes" (the pods of a workload) and "kubernetes-nodes", and the control
// "kubernetes" of members that are pods.
package kube

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// Access says how the API server is reached.
type Access struct {
	// Kubeconfig is the path of a kubeconfig file; default: the environment's
	// KUBECONFIG, then the user's, then the credentials of the pod that firedrill
	// runs in.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Context is the context in that file; default: its current one.
	Context string `json:"context,omitempty"`
}

// Cluster is an API server with credentials for it.
type Cluster struct {
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	Config  *rest.Config
	// Namespace is the one of the context, "default" without.
	Namespace string
	// Says names the API server and the credentials for people.
	Says string
}

// The client's own limits: a drill asks much at once, and seldom.
const (
	queriesPerSecond = 100
	queriesBurst     = 1000
)

// opened are the clusters that are in use: what talks to one shares its connections.
var opened = struct {
	sync.Mutex
	by map[key]*Cluster
}{by: map[key]*Cluster{}}

// key tells clusters apart; a file that was written anew is read anew.
type key struct {
	Access
	env  string
	time time.Time
}

func (a Access) key() key {
	k := key{Access: a}
	if a.Kubeconfig == "" {
		k.env = os.Getenv(clientcmd.RecommendedConfigPathEnvVar)
	} else if info, err := os.Stat(a.Kubeconfig); err == nil {
		k.time = info.ModTime()
	}
	return k
}

// Use makes Open return c for this access, until restore is called: for tests of
// logic that needs no API server.
func (a Access) Use(c *Cluster) (restore func()) {
	opened.Lock()
	defer opened.Unlock()
	k := a.key()
	opened.by[k] = c
	return func() {
		opened.Lock()
		defer opened.Unlock()
		delete(opened.by, k)
	}
}

// Open makes the clients. It reads files and contacts nothing.
func (a Access) Open() (*Cluster, error) {
	opened.Lock()
	defer opened.Unlock()
	k := a.key()
	if c := opened.by[k]; c != nil {
		return c, nil
	}
	c, err := a.open()
	if err == nil {
		opened.by[k] = c
	}
	return c, err
}

func (a Access) open() (*Cluster, error) {
	// The client tells what went wrong twice: by errors, and on standard error, where
	// people watch a drill.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = a.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: a.Context})
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("access to Kubernetes (%s): %w", a, err)
	}
	c := &Cluster{Config: config, Says: fmt.Sprintf("API server %s (%s)", config.Host, a)}
	if c.Namespace, _, err = loader.Namespace(); err != nil {
		return nil, fmt.Errorf("access to Kubernetes (%s): %w", a, err)
	}
	config.QPS, config.Burst, config.UserAgent = queriesPerSecond, queriesBurst, "firedrill"
	if c.Client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("access to Kubernetes (%s): %w", a, err)
	}
	if c.Dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("access to Kubernetes (%s): %w", a, err)
	}
	return c, nil
}

// String says where the credentials come from.
func (a Access) String() string {
	from := "kubeconfig " + a.Kubeconfig
	if a.Kubeconfig == "" {
		from = "default credentials"
	}
	if a.Context != "" {
		from += ", context " + a.Context
	}
	return from
}

// Explain adds to an error of the API what was attempted, where, and what to do.
func (c *Cluster) Explain(attempt string, err error) error {
	var dial *url.Error
	switch {
	case err == nil:
		return nil
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: %s does not accept the credentials: have they expired? %w", attempt, c.Says, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: not allowed at %s: grant it (firedrill kinds --rbac SCENARIO prints the manifests): %w", attempt, c.Says, err)
	case errors.As(err, &dial):
		return fmt.Errorf("%s: no answer from %s: is it up, and reached from here? %w", attempt, c.Says, err)
	}
	return fmt.Errorf("%s: %s: %w", attempt, c.Says, err)
}
