package kube

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills/topology"
)

const leaseGroup = "coordination.k8s.io"

// Everywhere as the namespace of a privilege means all namespaces.
const Everywhere = "*"

// wide are the resources that have no namespace.
var wide = []string{
	"nodes", "namespaces", "persistentvolumes", "customresourcedefinitions", "storageclasses", "priorityclasses",
	"clusterroles", "clusterrolebindings", "apiservices", "csinodes", "csidrivers", "volumeattachments", "runtimeclasses",
	"ingressclasses", "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "remoteclusters",
}

// Wide tells whether objects of a resource have no namespace.
func Wide(resource string) bool {
	r, _, _ := strings.Cut(resource, "/")
	return slices.Contains(wide, r)
}

// Scope is the namespace that a privilege is about, "" for all of them or for what has
// none. One that names no namespace is about that of the component; for components of
// nodes that is "".
func Scope(p topology.Privilege, namespace string) string {
	switch {
	case p.Namespace == Everywhere, p.Namespace == "" && Wide(p.Resource):
		return ""
	}
	return cmp.Or(p.Namespace, namespace)
}

// Privileges implements drills.Privileged: what every drill of pods needs.
func (a *Pods) Privileges(*topology.Component) []topology.Privilege {
	ns, _ := a.namespace() // without one, what is missing is said when it is opened
	p := append(common(ns, PodsLease), a.members(ns)...)
	return append(p, foreignPrivileges()...)
}

// members is what discovers the pods and sees them come and go.
func (a *Pods) members(ns string) []topology.Privilege {
	const phases = "phases"
	look := []string{"list", "watch"}
	p := []topology.Privilege{
		{Resource: "pods", Verbs: look, Namespace: ns, For: "discovery, phases"},
		{Resource: "events", Verbs: look, Namespace: ns, For: phases},
		{Group: leaseGroup, Resource: "leases", Verbs: look, Names: []string{PodsLease}, Namespace: ns, For: phases},
		{Resource: "nodes", Verbs: []string{"list"}, For: "the zones of the pods"},
		{Group: "networking.k8s.io", Resource: "networkpolicies", Verbs: []string{"list"}, Namespace: ns, For: "what earlier drills left"},
	}
	if a.Spec.Service != "" {
		p = append(p, topology.Privilege{Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: look, Namespace: ns, For: phases})
	}
	if w, err := ParseWorkload(a.Spec.Workload); err == nil {
		p = append(p, topology.Privilege{
			Group: "apps", Resource: w.Resource(), Verbs: []string{"get"}, Names: []string{w.Name}, Namespace: ns, For: "discovery",
		})
	}
	return p
}

// Privileges implements drills.Privileged: what every drill of nodes needs.
func (a *Nodes) Privileges(*topology.Component) []topology.Privilege {
	ns, _ := a.namespace()
	p := append(common(ns, NodesLease), topology.Privilege{Resource: "nodes", Verbs: []string{"list"}, For: "discovery"})
	return append(p, foreignPrivileges()...)
}

// common is what looks at a namespace and locks it.
func common(ns, lease string) []topology.Privilege {
	leases := topology.Privilege{Group: leaseGroup, Resource: "leases", Namespace: ns, For: "drill lock"}
	make, use := leases, leases
	make.Verbs = []string{"create"}
	use.Verbs, use.Names = []string{"get", "update", "delete"}, []string{lease}
	return []topology.Privilege{
		{Resource: "namespaces", Verbs: []string{"get"}, Names: []string{ns}, Namespace: ns, For: "whether it may be drilled"}, make, use,
	}
}

// namespace is where the pods are, without credentials if the file says it.
func (a *Pods) namespace() (string, error) {
	if a.Spec.Namespace != "" {
		return a.Spec.Namespace, nil
	}
	_, ns, err := a.Open()
	return ns, err
}

// namespace is where the lock is, without credentials if the file says it.
func (a *Nodes) namespace() (string, error) {
	if a.Spec.Namespace != "" {
		return a.Spec.Namespace, nil
	}
	_, ns, err := a.open()
	return ns, err
}

// NamespaceOf says in which namespace a component is drilled: that of its pods, or of
// its lock if it is nodes; "" if it is not in Kubernetes.
func NamespaceOf(c *topology.Component) (string, error) {
	switch a := c.Adapter.(type) {
	case *Pods:
		return a.namespace()
	case *Nodes:
		return a.namespace()
	}
	for _, m := range c.Members {
		p, err := PlaceOf(m.Spec)
		if err != nil {
			continue
		}
		if p.Namespace != "" {
			return p.Namespace, nil
		}
		k, err := p.Open()
		if err != nil {
			return "", err
		}
		return k.Namespace, nil
	}
	return "", nil
}

// right is one thing that somebody must be allowed to do.
type right struct{ group, resource, verb, namespace, name string }

// attributes is the right as the API server is asked about it.
func (r right) attributes() *authorizationv1.ResourceAttributes {
	resource, sub, _ := strings.Cut(r.resource, "/")
	return &authorizationv1.ResourceAttributes{
		Group: r.group, Resource: resource, Subresource: sub, Verb: r.verb, Namespace: r.namespace, Name: r.name,
	}
}

// on says what the right is about, without its verb.
func (r right) on() string {
	s := r.resource
	if r.group != "" {
		s += "." + r.group
	}
	if r.name != "" {
		s += " " + r.name
	}
	if r.namespace != "" {
		s += " in namespace " + r.namespace
	} else if !Wide(r.resource) {
		s += " in all namespaces"
	}
	return s
}

// rights are the single rights of privileges, each with what needs it. What reading
// foreign chaos needs is left out: it is not needed where its kinds are not installed,
// and is found out by reading.
func rights(needs []topology.Privilege, namespace string) map[right][]string {
	all := map[right][]string{}
	for _, p := range needs {
		if isForeign(p) {
			continue
		}
		names := p.Names
		if len(names) == 0 {
			names = []string{""}
		}
		for _, verb := range p.Verbs {
			for _, name := range names {
				r := right{p.Group, p.Resource, verb, Scope(p, namespace), name}
				if !slices.Contains(all[r], p.For) {
					all[r] = append(all[r], p.For)
				}
			}
		}
	}
	return all
}

// questionsAtOnce bounds how many questions an API server is asked at the same time.
const questionsAtOnce = 8

// missing asks which of the privileges the credentials lack, and says so in one line;
// "" if they lack none.
func (c *Cluster) missing(ctx context.Context, needs []topology.Privilege, namespace string) (string, error) {
	all := rights(needs, namespace)
	asked := slices.SortedFunc(maps.Keys(all), func(x, y right) int {
		return strings.Compare(fmt.Sprint(x), fmt.Sprint(y))
	})
	denied := make([]bool, len(asked))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(questionsAtOnce)
	for i, r := range asked {
		group.Go(func() error {
			answer, err := c.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(within, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: r.attributes()},
			}, metav1.CreateOptions{})
			if err == nil {
				denied[i] = !answer.Status.Allowed
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", c.Explain("ask what the credentials are allowed to do", err)
	}
	verbs, why := map[string][]string{}, map[string][]string{}
	for i, r := range asked {
		if denied[i] {
			verbs[r.on()] = append(verbs[r.on()], r.verb)
			why[r.on()] = append(why[r.on()], all[r]...)
		}
	}
	if len(verbs) == 0 {
		return "", nil
	}
	var words []string
	for _, on := range slices.Sorted(maps.Keys(verbs)) {
		slices.Sort(why[on])
		words = append(words, fmt.Sprintf("%s %s (for %s)", strings.Join(verbs[on], ", "), on, strings.Join(slices.Compact(why[on]), ", ")))
	}
	return fmt.Sprintf("%s is not allowed to %s: have an administrator apply what firedrill kinds --rbac SCENARIO --topology FILE prints",
		c.whoami(ctx), strings.Join(words, "; ")), nil
}

// whoami names the user that the credentials are of.
func (c *Cluster) whoami(ctx context.Context) string {
	r, err := c.Client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || r.Status.UserInfo.Username == "" {
		return "the user of these credentials"
	}
	return r.Status.UserInfo.Username
}
