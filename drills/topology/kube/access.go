// Package kube knows Kubernetes: how its API is reached, the component kinds
// "kubernetes" (the pods of a workload) and "kubernetes-nodes", and the control
// "kubernetes" of members that are pods.
package kube

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// Access says how the API server is reached.
type Access struct {
	// Kubeconfig is the path of a kubeconfig file, or several as in the environment's
	// KUBECONFIG; default: the environment's KUBECONFIG, then the user's, then the
	// credentials of the pod that firedrill runs in.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Context is the context in that file; default: its current one.
	Context string `json:"context,omitempty"`
	// Cluster is the cluster that this must lead to; default: whichever it leads to when
	// a drill begins. A drill notes it for whoever puts things back: that is refused
	// where the context has come to lead to another cluster.
	Cluster ClusterID `json:"cluster,omitzero"`
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

	// from is the access with what was the default when it was opened.
	from Access
}

// The client's own limits: a drill asks much at once, and seldom.
const (
	queriesPerSecond = 100
	queriesBurst     = 1000
)

// opened are the clusters that are in use: what talks to one shares its connections.
var opened = struct {
	sync.Mutex
	by map[Access]inUse
	// now has each opened by one of those that want it at the same time.
	now singleflight.Group
}{by: map[Access]inUse{}}

// inUse is a cluster that was opened.
type inUse struct {
	*Cluster
	// stamp tells the state of the files that it was opened from; a file that was
	// written anew is read anew.
	stamp string
	// given tells that a test has put it in.
	given bool
}

// rules say which files the access is read from.
func (a Access) rules() *clientcmd.ClientConfigLoadingRules {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if paths := filepath.SplitList(a.Kubeconfig); len(paths) > 1 {
		rules.Precedence = paths
	} else {
		rules.ExplicitPath = a.Kubeconfig
	}
	return rules
}

// stamp is another one once one of the files is.
func (a Access) stamp() string {
	var b strings.Builder
	for _, path := range a.rules().GetLoadingPrecedence() {
		b.WriteString(path)
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(&b, " %d %d", info.ModTime().UnixNano(), info.Size())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Use makes Open return c for this access, until restore is called: for tests of
// logic that needs no API server.
func (a Access) Use(c *Cluster) (restore func()) {
	opened.Lock()
	defer opened.Unlock()
	opened.by[a] = inUse{Cluster: c, given: true}
	return func() {
		opened.Lock()
		defer opened.Unlock()
		delete(opened.by, a)
	}
}

func (a Access) inUse() inUse {
	opened.Lock()
	defer opened.Unlock()
	return opened.by[a]
}

func (a Access) use(c *Cluster, stamp string) {
	opened.Lock()
	defer opened.Unlock()
	opened.by[a] = inUse{Cluster: c, stamp: stamp}
}

// Open makes the clients. It reads files, and contacts nothing unless it must lead to a
// certain cluster: then that one is asked once whether it is it. Who has opened that
// before goes on with it where the files have come to lead elsewhere.
func (a Access) Open() (*Cluster, error) {
	have := a.inUse()
	if have.given {
		return have.Cluster, nil
	}
	stamp := a.stamp()
	if have.Cluster != nil && have.stamp == stamp {
		return have.Cluster, nil
	}
	flight := strings.Join([]string{a.Kubeconfig, a.Context, a.Cluster.UID, a.Cluster.Server, a.Cluster.CA, stamp}, "\n")
	c, err, _ := opened.now.Do(flight, func() (any, error) {
		c, err := a.open()
		if err == nil {
			err = a.Cluster.verify(c)
		}
		known := a.Cluster != ClusterID{} && have.Cluster != nil
		if err != nil && known {
			if c = have.Cluster; !errors.Is(err, errElsewhere) {
				return c, nil // it is tried again
			}
			err = nil
		}
		if err == nil {
			a.use(c, stamp)
		}
		return c, err
	})
	if err != nil {
		return nil, err
	}
	return c.(*Cluster), nil
}

// hush keeps the client off standard error, where people watch a drill: it returns
// errors as well.
var hush = sync.OnceFunc(func() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) })

func (a Access) open() (*Cluster, error) {
	hush()
	c, err := a.load()
	if err != nil {
		return nil, fmt.Errorf("access to Kubernetes (%s): %w%s", a, err, a.Cluster.advice())
	}
	c.Config.QPS, c.Config.Burst, c.Config.UserAgent = queriesPerSecond, queriesBurst, "firedrill"
	if c.Client, err = kubernetes.NewForConfig(c.Config); err != nil {
		return nil, fmt.Errorf("access to Kubernetes (%s): %w", a, err)
	}
	if c.Dynamic, err = dynamic.NewForConfig(c.Config); err != nil {
		return nil, fmt.Errorf("access to Kubernetes (%s): %w", a, err)
	}
	return c, nil
}

// load reads the files.
func (a Access) load() (*Cluster, error) {
	rules := a.rules()
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: a.Context})
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Config: config, Says: fmt.Sprintf("API server %s (%s)", config.Host, a), from: a}
	if c.Namespace, _, err = loader.Namespace(); err != nil {
		return nil, err
	}
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, err
	}
	if a.Kubeconfig == "" && len(raw.Contexts)+len(raw.Clusters) == 0 {
		return c, nil // the credentials of a pod: there is no context
	}
	paths := slices.Clone(rules.GetLoadingPrecedence())
	for i := range paths {
		if paths[i], err = filepath.Abs(paths[i]); err != nil {
			return nil, err
		}
	}
	c.from.Kubeconfig, c.from.Context = strings.Join(paths, string(filepath.ListSeparator)), cmp.Or(a.Context, raw.CurrentContext)
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
		return fmt.Errorf("%s: not allowed at %s: grant it (firedrill kinds --rbac SCENARIO --topology FILE prints the manifests): %w", attempt, c.Says, err)
	case errors.As(err, &dial):
		return fmt.Errorf("%s: no answer from %s: is it up, and reached from here? %w", attempt, c.Says, err)
	}
	return fmt.Errorf("%s: %s: %w", attempt, c.Says, err)
}
