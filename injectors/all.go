// Package injectors holds the kinds of faults, one file each.
package injectors

import (
	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/topology"
)

// All is the catalogue of faults. Undoing one in another process needs the
// catalogues that its members' controls are built from.
func All(k topology.Kinds) kind.Catalogue[drills.Injector] {
	return kind.Of("fault",
		kind.New("process-kill", "Kills a member's processes; undone by starting it again.", processKillDefaults, newProcessKill(k)),
		kind.New("process-pause", "Stops a member's processes where they are (SIGSTOP); undone by letting them go on.", ProcessPauseSpec{}, newProcessPause(k)),
		kind.New("process-stop", "Shuts a member down gracefully; undone by starting it again.", ProcessStopSpec{}, newProcessStop(k)),
		kind.New("systemd-stop", "Stops a unit of systemd; undone by starting it again.", SystemdStopSpec{}, newSystemdStop(k)),
		kind.New("network-partition", "Cuts a member off from its peers or from everybody (nftables); undone by removing the rules.", networkPartitionDefaults, newNetworkPartition),
		kind.New("mysql-read-only", "Makes a MySQL or MariaDB primary refuse writes; undone by letting it take them again.", MySQLReadOnlySpec{}, newMySQLReadOnly),
		kind.New("mysql-replication-stop", "Stops the receiver of MySQL or MariaDB replicas, so that they fall behind; undone by starting it again.", MySQLReplicationStopSpec{}, newMySQLReplicationStop),
		kind.New("llm-fault", "Makes vendors of models fail the way they do, at the fault point in front of them; undone by passing everything on again.", llmFaultDefaults, newLLMFault(k)),
		kind.New("http-fault", "Makes members that speak HTTP fail, at the fault point in front of them; undone by passing everything on again.", httpFaultDefaults, newHTTPFault(k)),
		kind.New("pod-kill", "Deletes pods; their workload replaces them.", podKillDefaults, newPodKill),
		kind.New("pod-evict", "Evicts pods, as far as disruption budgets allow; their workload replaces them.", PodEvictSpec{}, newPodEvict),
		kind.New("node-drain", "Cordons nodes of Kubernetes and evicts their pods; undone by uncordoning them.", nodeDrainDefaults, newNodeDrain),
		kind.New("node-cordon", "Makes nodes of Kubernetes take no new pods; undone by uncordoning them.", NodeCordonSpec{}, newNodeCordon),
		kind.New("node-taint", "Puts a taint on nodes of Kubernetes; undone by removing it.", nodeTaintDefaults, newNodeTaint),
		kind.New("workload-scale", "Gives a workload in Kubernetes another number of replicas; undone by scaling it back.", WorkloadScaleSpec{}, newWorkloadScale),
		kind.New("network-policy-deny", "Cuts pods off by a NetworkPolicy; undone by deleting it.", networkPolicyDenyDefaults, newNetworkPolicyDeny),
		kind.New("container-exec-kill", "Ends the main process of a container from inside; its kubelet starts it again.", containerExecKillDefaults, newContainerExecKill),
		kind.New("chaos-mesh", "Makes a fault through Chaos Mesh, by a kind with its spec or by a shorthand; undone by deleting the object.", chaosMeshDefaults, newChaosMesh),
		kind.New("exec", "Runs commands that make, undo and confirm a fault.", execDefaults, newExec),
	)
}
