package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// rbacFlags are the flags of kinds --rbac.
type rbacFlags struct {
	runFlags
	wanted                    bool
	serviceAccount, namespace string
}

func (f *rbacFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.BoolVar(&f.wanted, "rbac", false, "print the Kubernetes manifests with the least privileges that these scenarios need")
	fl.StringVar(&f.topology, "topology", "", "with --rbac: topology file")
	fl.StringVar(&f.lab, "lab", "", "with --rbac: lab topology; it is started if it is not up")
	fl.StringToStringVar(&f.vars, "var", nil, "with --rbac: set a variable of the scenarios: name=value")
	fl.StringVar(&f.serviceAccount, "service-account", "firedrill", "with --rbac: the ServiceAccount that gets the privileges")
	fl.StringVar(&f.namespace, "namespace", "", "with --rbac: the ServiceAccount's namespace (default: that of the first component)")
	c.MarkFlagsMutuallyExclusive("topology", "lab")
	c.MarkFlagsMutuallyExclusive("rbac", "output")
}

// idle refuses flags that mean nothing without --rbac.
func (f *rbacFlags) idle(c *cobra.Command) error {
	for _, name := range []string{"topology", "lab", "var", "service-account", "namespace"} {
		if c.Flags().Changed(name) {
			return fmt.Errorf("--%s: only with --rbac", name)
		}
	}
	return nil
}

// print writes the manifests for scenarios on one topology.
func (f *rbacFlags) print(cmd *cobra.Command, scenarios []string) error {
	path, err := f.topologyPath(cmd)
	if err != nil {
		return err
	}
	var all []*drills.Drill
	for _, s := range scenarios {
		d, err := compile(s, path, f.vars)
		if err != nil {
			return err
		}
		all = append(all, d)
	}
	m, err := f.manifests(all)
	if err != nil {
		return err
	}
	return m.write(cmd.OutOrStdout())
}

// manifests collects what the drills need.
func (f *rbacFlags) manifests(all []*drills.Drill) (rbacManifests, error) {
	m := rbacManifests{account: f.serviceAccount, namespace: f.namespace}
	var need kube.Require
	var where kube.Access
	var first string
	for _, d := range all {
		m.scenarios = append(m.scenarios, d.Plan.Scenario)
		m.topology = d.Plan.Topology
		for _, c := range d.Topology.Components {
			privileges := d.Privileges(c)
			if len(privileges) == 0 || !touches(d, c) {
				continue
			}
			if access, ok := accessOf(c); ok && first == "" {
				first, where = c.Name(), access
			} else if ok && access != where {
				return m, fmt.Errorf("components %s (%s) and %s (%s) are reached differently: manifests are for one cluster, so give a topology for each",
					first, where, c.Name(), access)
			}
			ns, err := kube.NamespaceOf(c)
			if err != nil {
				return m, fmt.Errorf("component %s: namespace: %w", c.Name(), err)
			}
			m.namespace = cmp.Or(m.namespace, ns)
			need.Add(ns, privileges)
		}
	}
	if m.grants = need.Grants(); len(m.grants) == 0 {
		return m, fmt.Errorf("%s on topology %s: no component is in Kubernetes, and no privileges are needed there",
			strings.Join(m.scenarios, ", "), m.topology)
	}
	if m.namespace == "" {
		return m, errors.New("say where the ServiceAccount is to be: --namespace")
	}
	return m, nil
}

// touches tells whether a drill has to do with a component.
func touches(d *drills.Drill, c *topology.Component) bool {
	return slices.Contains(d.Components(), c) ||
		slices.ContainsFunc(d.Remedies, func(r drills.RemedyStep) bool { return r.Target.Component == c })
}

// accessOf is how a component's cluster is reached.
func accessOf(c *topology.Component) (kube.Access, bool) {
	switch a := c.Adapter.(type) {
	case *kube.Pods:
		return a.Spec.Access, true
	case *kube.Nodes:
		return a.Spec.Access, true
	}
	for _, m := range c.Members {
		if p, err := kube.PlaceOf(m.Spec); err == nil {
			return p.Access, true
		}
	}
	return kube.Access{}, false
}

// rbacManifests is what is granted to whom.
type rbacManifests struct {
	scenarios          []string
	topology           string
	account, namespace string
	grants             kube.Grants
}

// head says what the manifests are for and how they are used.
func (m rbacManifests) head(w io.Writer) error {
	_, err := fmt.Fprintf(w, `# What these scenarios on topology %s need to be allowed to do, and no more:
#   %s
# An administrator applies it (kubectl apply -f FILE). Then a pod that runs firedrill
# uses the ServiceAccount, or a kubeconfig has the token that
#   kubectl -n %s create token %s --duration 8h
# prints. Print it anew when the scenarios or the topology change.
`, m.topology, strings.Join(m.scenarios, ", "), m.namespace, m.account)
	return err
}
