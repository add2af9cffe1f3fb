package kube

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reserved tells whether a namespace keeps the cluster itself going, or its chaos tools.
func Reserved(namespace string) bool { return slices.Contains(reserved, namespace) }

// ReservedNames lists the namespaces that are Reserved, for people.
func ReservedNames() string { return strings.Join(reserved, ", ") }

// Protected says by which mark somebody keeps drills away from a namespace, "" if nobody
// does.
func (c *Cluster) Protected(ctx context.Context, namespace string) (mark string, err error) {
	ns, err := c.Client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return "", c.Explain("look at namespace "+namespace+", for whether it may be drilled", err)
	}
	if ns.Labels[protectedKey] == "true" || ns.Annotations[protectedKey] == "true" {
		return protectedKey + "=true", nil
	}
	return "", nil
}

// Majority is how many of the pods of a StatefulSet must be left for it to decide
// anything, 0 if it is too small for its pods to be taken to vote.
func Majority(pods int) int {
	if pods < quorate {
		return 0
	}
	return pods/2 + 1
}
