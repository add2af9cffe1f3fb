package kube

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// ClusterID tells a cluster from all others, whatever a context is called that leads
// there.
type ClusterID struct {
	// UID is that of the namespace kube-system, which every cluster has one of. Where it
	// may not be read, the address and the certificates of the API server have to do.
	UID string `json:"uid,omitempty"`
	// Server is the address of the API server.
	Server string `json:"server,omitempty"`
	// CA is the SHA-256 of the certificates that the API server is known by; empty where
	// they are those that the system trusts.
	CA string `json:"ca,omitempty"`
}

// String names the cluster for people.
func (i ClusterID) String() string {
	return fmt.Sprintf("cluster %s (API server %s)", cmp.Or(i.UID, "of unknown UID"), cmp.Or(i.Server, "unknown"))
}

// errElsewhere is in the error of an access that leads to another cluster than it must.
var errElsewhere = errors.New("it leads to another cluster")

const (
	// verifyWithin bounds the question which cluster it is that an access leads to.
	verifyWithin = 5 * time.Second
	// pinWithin bounds the same at the begin of a drill.
	pinWithin = 30 * time.Second
)

// addressOf is what files say about a cluster.
func addressOf(config *rest.Config) ClusterID {
	id := ClusterID{Server: config.Host}
	if u, err := url.Parse(config.Host); err == nil && u.User != nil {
		u.User = nil
		id.Server = u.String()
	}
	ca := config.CAData
	if len(ca) == 0 && config.CAFile != "" {
		ca, _ = os.ReadFile(config.CAFile) // without it there is no connection either
	}
	if len(ca) > 0 {
		sum := sha256.Sum256(ca)
		id.CA = hex.EncodeToString(sum[:])
	}
	return id
}

// uid is that of the namespace kube-system, "" if that may not be read.
func (c *Cluster) uid(ctx context.Context) (string, error) {
	ns, err := c.Client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if apierrors.IsForbidden(err) || gone(err) {
		return "", nil
	}
	if err != nil {
		return "", c.Explain("ask which cluster it is", err)
	}
	return string(ns.UID), nil
}

// verify returns nil if c is that cluster.
func (i ClusterID) verify(c *Cluster) error {
	if i == (ClusterID{}) {
		return nil
	}
	now := addressOf(c.Config)
	alike := i.Server == now.Server && (i.CA == "" || i.CA == now.CA)
	var err error
	if i.UID != "" {
		ctx, cancel := context.WithTimeoutCause(context.Background(), verifyWithin, fmt.Errorf("no answer within %s", verifyWithin))
		defer cancel()
		now.UID, err = c.uid(ctx)
	}
	switch {
	case now.UID != "" && now.UID == i.UID, now.UID == "" && alike:
		return nil
	case err != nil:
		return fmt.Errorf("whether %s is %s is not known: %w", c.from, i, err)
	}
	return fmt.Errorf("%w: %s leads to %s now, and must lead to %s, where the drill began%s", errElsewhere, c.from, now, i, i.advice())
}

// advice says what to do where the cluster is not reached as it was before.
func (i ClusterID) advice() string {
	if i == (ClusterID{}) {
		return ""
	}
	return fmt.Sprintf(": see that this context leads to API server %s again, and run firedrill recover again", cmp.Or(i.Server, i.UID))
}

// Pin returns the access so that it leads, now and in any other process, to the very
// cluster that it leads to now, or nowhere: with the absolute path of its files, the
// name of its context, and what tells the cluster from others.
func (a Access) Pin(ctx context.Context) (Access, error) {
	p, _, err := a.pin(ctx)
	return p, err
}

func (a Access) pin(ctx context.Context) (Access, *Cluster, error) {
	c, err := a.Open()
	if err != nil || a.inUse().given {
		return a, c, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pinWithin, fmt.Errorf("no answer within %s", pinWithin))
	defer cancel()
	p := c.from
	p.Cluster = addressOf(c.Config)
	if p.Cluster.UID, err = c.uid(ctx); err != nil {
		return a, nil, err
	}
	p.use(c, p.stamp())
	return p, c, nil
}

// pinned pins an access and writes it, and the namespace that it stands for, into the
// parameters that it was read from.
func (a Access) pinned(ctx context.Context, with json.RawMessage, namespace string) (Access, string, json.RawMessage, error) {
	p, c, err := a.pin(ctx)
	if err != nil {
		return a, namespace, with, err
	}
	namespace = cmp.Or(namespace, c.Namespace)
	all := map[string]any{}
	if len(with) > 0 {
		if err := json.Unmarshal(with, &all); err != nil {
			return a, namespace, with, fmt.Errorf("with: %w", err)
		}
	}
	all["kubeconfig"], all["context"], all["cluster"], all["namespace"] = p.Kubeconfig, p.Context, p.Cluster, namespace
	with, err = json.Marshal(all)
	return p, namespace, with, err
}

// Pin implements topology.Pinning.
func (a *Pods) Pin(ctx context.Context, with json.RawMessage) (_ json.RawMessage, err error) {
	a.Spec.Access, a.Spec.Namespace, with, err = a.Spec.pinned(ctx, with, a.Spec.Namespace)
	return with, err
}

// Pin implements topology.Pinning.
func (a *Nodes) Pin(ctx context.Context, with json.RawMessage) (_ json.RawMessage, err error) {
	a.Spec.Access, a.Spec.Namespace, with, err = a.Spec.pinned(ctx, with, a.Spec.Namespace)
	return with, err
}

// Pin implements topology.Pinning.
func (c *control) Pin(ctx context.Context, with json.RawMessage) (_ json.RawMessage, err error) {
	c.Access, c.Namespace, with, err = c.pinned(ctx, with, c.Namespace)
	return with, err
}
