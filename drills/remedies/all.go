// Package remedies holds the kinds of remediation: what the runner does when the
// topology has not healed itself.
package remedies

import (
	"time"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// All is the catalogue of remedies. Those whose undo opens a route anew, in another
// process maybe, do so with k.
func All(k topology.Kinds) kind.Catalogue[drills.Remedy] {
	return kind.Of("remedy",
		kind.New("mysql-failover", "Fences the primary of a mysql component and promotes its most advanced replica.",
			MySQLFailoverSpec{
				Fence:        []string{FenceReadOnly, FenceStop, FenceRoute},
				FenceTimeout: spec.Duration(10 * time.Second), DrainTimeout: spec.Duration(time.Minute),
			}, newMySQLFailover),
		kind.New("route-switch", "Leads the routes that serve a component's primary to its present primary.",
			RouteSwitchSpec{}, newRouteSwitch),
		kind.New("exec", "Runs a command that heals, and one that undoes it.",
			ExecSpec{Timeout: spec.Duration(time.Minute)}, newExec),
		kind.New("http", "Calls an admin API that heals, and calls it again to undo that.", httpDefaults, newHTTP),
		kind.New("config-file", "Replaces a configuration file on the runner's own host and has it reloaded; undone by putting the old one back.",
			ConfigFileSpec{Timeout: spec.Duration(30 * time.Second)}, newConfigFile),
		kind.New("llm-failover", "Leads the routes of an llm component to the first member in order that answers a real request whole.",
			llmFailoverDefaults, newLLMFailover(k)),
		kind.New("workload-scale-up", "Gives a workload in Kubernetes more pods; undone by giving it as many as before.",
			WorkloadScaleUpSpec{Timeout: spec.Duration(2 * time.Minute)}, newWorkloadScaleUp),
		kind.New("pod-delete-stuck", "Deletes pods that are stuck: past their grace period, on a lost node, or in a crash loop.",
			PodDeleteStuckSpec{After: spec.Duration(time.Minute), Timeout: spec.Duration(time.Minute)}, newPodDeleteStuck),
		kind.New("node-uncordon", "Has cordoned nodes of a Kubernetes cluster take pods again.",
			NodeUncordonSpec{Timeout: spec.Duration(30 * time.Second)}, newNodeUncordon),
		kind.New("rollout-restart", "Has a workload in Kubernetes replace all its pods, as kubectl rollout restart does; not undone.",
			RolloutRestartSpec{Timeout: spec.Duration(5 * time.Minute)}, newRolloutRestart),
		kind.New("service-select", "Leads a Service in Kubernetes to other pods by its selector; undone by the old selector.",
			ServiceSelectSpec{Timeout: spec.Duration(time.Minute)}, newServiceSelect),
		kind.New("endpoints-set", "Leads a Service in Kubernetes that has no selector to other addresses; undone by the old ones.",
			EndpointsSetSpec{}, newEndpointsSet),
		kind.New("kube-annotate", "Annotates an object in Kubernetes, for an operator that acts upon it; undone by the old annotations.",
			KubeAnnotateSpec{}, newKubeAnnotate),
	)
}
