package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// chaosWebhooks is the name that Chaos Mesh's own manifests give its webhooks.
const chaosWebhooks = "chaos-mesh-mutation"

// ChaosHome is the namespace that Chaos Mesh is in, as its webhooks say; "" if there are
// none, or they may not be read.
func (c *Cluster) ChaosHome(ctx context.Context) string {
	w, err := c.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, chaosWebhooks, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	for _, h := range w.Webhooks {
		if s := h.ClientConfig.Service; s != nil {
			return s.Namespace
		}
	}
	return ""
}
