package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"firedrill/drills/topology/kube"
)

// The parts of manifests, in the order in which people write them.
type (
	manifest struct {
		APIVersion string        `yaml:"apiVersion"`
		Kind       string        `yaml:"kind"`
		Metadata   manifestMeta  `yaml:"metadata"`
		Rules      []rbacRule    `yaml:"rules,omitempty"`
		RoleRef    *rbacRoleRef  `yaml:"roleRef,omitempty"`
		Subjects   []rbacSubject `yaml:"subjects,omitempty"`
	}
	manifestMeta struct {
		Name      string            `yaml:"name"`
		Namespace string            `yaml:"namespace,omitempty"`
		Labels    map[string]string `yaml:"labels"`
	}
	rbacRule struct {
		APIGroups     []string `yaml:"apiGroups,flow"`
		Resources     []string `yaml:"resources,flow"`
		ResourceNames []string `yaml:"resourceNames,flow,omitempty"`
		Verbs         []string `yaml:"verbs,flow"`
	}
	rbacRoleRef struct {
		APIGroup string `yaml:"apiGroup"`
		Kind     string `yaml:"kind"`
		Name     string `yaml:"name"`
	}
	rbacSubject struct {
		Kind      string `yaml:"kind"`
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace"`
	}
)

const rbacGroup = "rbac.authorization.k8s.io"

// role is the name of the roles: several accounts may each have theirs.
func (m rbacManifests) role() string { return m.account + "-" + m.namespace }

// write prints one document for each object, always in the same order.
func (m rbacManifests) write(w io.Writer) error {
	if err := m.head(w); err != nil {
		return err
	}
	account := manifest{APIVersion: "v1", Kind: "ServiceAccount", Metadata: m.meta(m.account, m.namespace)}
	if err := document(w, account, nil); err != nil {
		return err
	}
	for _, ns := range slices.Sorted(maps.Keys(m.grants)) {
		if err := m.grant(w, ns, m.grants[ns]); err != nil {
			return err
		}
	}
	return nil
}

func (rbacManifests) meta(name, namespace string) manifestMeta {
	return manifestMeta{Name: name, Namespace: namespace, Labels: map[string]string{"app.kubernetes.io/managed-by": "firedrill"}}
}

// grant prints a role and its binding; without a namespace they are of the cluster.
func (m rbacManifests) grant(w io.Writer, namespace string, rules []kube.Rule) error {
	prefix := ""
	if namespace == "" {
		prefix = "Cluster"
	}
	role := manifest{APIVersion: rbacGroup + "/v1", Kind: prefix + "Role", Metadata: m.meta(m.role(), namespace)}
	binding := role
	binding.Kind = prefix + "RoleBinding"
	binding.RoleRef = &rbacRoleRef{APIGroup: rbacGroup, Kind: role.Kind, Name: m.role()}
	binding.Subjects = []rbacSubject{{Kind: "ServiceAccount", Name: m.account, Namespace: m.namespace}}
	why := yaml.CommentMap{}
	for i, r := range rules {
		role.Rules = append(role.Rules, rbacRule{
			APIGroups: []string{r.Group}, Resources: []string{r.Resource}, ResourceNames: r.Names, Verbs: r.Verbs,
		})
		if len(r.For) > 0 {
			why[fmt.Sprintf("$.rules[%d]", i)] = []*yaml.Comment{yaml.HeadComment(" " + strings.Join(r.For, ", "))}
		}
	}
	if err := document(w, role, why); err != nil {
		return err
	}
	return document(w, binding, nil)
}

func document(w io.Writer, m manifest, comments yaml.CommentMap) error {
	text, err := yaml.MarshalWithOptions(m, yaml.WithComment(comments))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "---\n%s", text)
	return err
}
