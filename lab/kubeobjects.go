package lab

import (
	"context"
	"embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// The namespaces of the workloads and of Chaos Mesh.
const (
	ShopNamespace  = "shop"
	ChaosNamespace = "chaos-mesh"
)

//go:embed kubernetes/shop.yaml kubernetes/chaosmesh.yaml
var kubernetesManifests embed.FS

// workload is a Deployment of the lab.
type workload struct {
	Name string
	// Replicas are wanted, Available must be left by evictions.
	Replicas, Available int
	// ClusterIP is the address of its Service.
	ClusterIP string
	// Args are those of the program shop, with commas.
	Args string
	// Readiness is how often a pod is asked whether it is ready (0: never), Delay how
	// long not even once, PreStop how long it goes on before it is told to end, all in
	// seconds.
	Readiness, Delay, PreStop int
}

// service is where clients of the workload connect to.
func (w workload) service() string { return fmt.Sprintf("%s:%d", w.ClusterIP, servicePort) }

// workloads differ in how they come and go. bare is sent requests before it listens,
// as Kubernetes takes a pod that is never asked to be ready as soon as it runs.
func workloads() []workload {
	return []workload{
		{Name: "api", ClusterIP: kubeShop, Replicas: 3, Available: 2, Args: "-ready-after=500ms", Readiness: 1, PreStop: 2},
		{Name: "worker", ClusterIP: kubeWorker, Replicas: 2, Available: 1, Args: "-ready-after=3s, -drain=2s", Readiness: 1},
		{Name: "web", ClusterIP: kubeWeb, Replicas: 2, Available: 1, Args: "-abrupt", Readiness: 5, Delay: 3},
		{Name: "bare", ClusterIP: kubeBare, Replicas: 2, Available: 1, Args: "-abrupt, -listen-after=2s"},
	}
}

// chaosKinds are the kinds that Chaos Mesh checks when they are made.
func chaosKinds() []string {
	return strings.Fields("podchaos iochaos timechaos networkchaos kernelchaos stresschaos awschaos azurechaos gcpchaos" +
		" dnschaos jvmchaos schedule workflow httpchaos blockchaos physicalmachinechaos physicalmachine statuscheck remotecluster")
}

// chaosPlural is what the API server calls objects of a kind.
func chaosPlural(kind string) string {
	if strings.HasSuffix(kind, "chaos") {
		return kind
	}
	return kind + "s"
}

// served is where the pods write down what they answer; what a pod wrote outlives
// it.
func (k *kubernetes) served() string { return filepath.Join(k.places.servers, "served") }

// podUser is the user that the workloads run as.
const podUser = 9

// installShop makes the workloads what they are to be.
func (k *kubernetes) installShop(ctx context.Context) error {
	if err := os.MkdirAll(k.served(), 0o755); err != nil {
		return err
	}
	if err := os.Chown(k.served(), UserOf(podUser), UserOf(podUser)); err != nil {
		return err
	}
	shop, err := k.shopManifest()
	if err != nil {
		return err
	}
	return k.apply(ctx, shop)
}

// installChaos makes the kinds of Chaos Mesh and its webhooks.
func (k *kubernetes) installChaos(ctx context.Context) error {
	crds, err := os.ReadFile(filepath.Join(partDir(k.cache, chaosPart), "crd.yaml"))
	if err != nil {
		return err
	}
	chaos, err := k.chaosManifest()
	if err != nil {
		return err
	}
	return concurrently(
		func() error { return k.apply(ctx, string(crds)) },
		func() error { return k.apply(ctx, chaos) },
	)
}

func (k *kubernetes) shopManifest() (string, error) {
	return fill("shop.yaml", map[string]any{
		"Workloads": workloads(), "Image": shopImage, "User": UserOf(podUser), "Served": k.served(),
		"ServicePort": servicePort, "PodPort": podPort,
	})
}

func (k *kubernetes) chaosManifest() (string, error) {
	ca, err := os.ReadFile(filepath.Join(k.state, authorityFile))
	if err != nil {
		return "", err
	}
	var kinds, nodes []map[string]string
	for _, kind := range chaosKinds() {
		kinds = append(kinds, map[string]string{"Kind": kind, "Plural": chaosPlural(kind)})
	}
	for _, n := range k.nodes {
		nodes = append(nodes, map[string]string{"Name": n.name, "IP": n.ip})
	}
	return fill("chaosmesh.yaml", map[string]any{
		"Kinds": kinds, "Nodes": nodes, "DaemonPort": daemonPort,
		"Webhook": fmt.Sprintf("https://%s:%d", kubeHost, webhookPort), "CA": base64.StdEncoding.EncodeToString(ca),
	})
}

func fill(name string, with any) (string, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(kubernetesManifests, "kubernetes/"+name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, with)
	return b.String(), err
}
