package injectors

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/topology/kube"
)

// emptyCluster is a cluster with nothing in it; it returns a kubeconfig for it.
func emptyCluster(t *testing.T, uid string) (path string) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/api/v1/namespaces/kube-system":
			fmt.Fprintf(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":%q}}`, uid)
		case r.Method == http.MethodGet && filepath.Base(r.URL.Path) == "pods":
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","items":[]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
		}
	}))
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "prod",
		"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{"server": s.URL, "certificate-authority-data": ca}}},
		"contexts": []any{map[string]any{"name": "prod", "context": map[string]any{"cluster": "c"}}},
	})
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// What a fault left is not gone because it is not in a cluster where it never was.
func TestFaultsAreNotGoneFromAnotherCluster(t *testing.T) {
	t.Parallel()
	path := emptyCluster(t, "uid-staging")
	for kind, what := range map[string]struct {
		with string
		undo func(kube.Access) any
	}{
		"pod-kill": {`{}`, func(a kube.Access) any {
			return podsUndo{Pods: []podRef{{Place: kube.Place{Access: a, Namespace: "shop", Pod: "api-1"}, UID: "u", Keeper: "deployment/api"}}}
		}},
		"network-policy-deny": {`{}`, func(a kube.Access) any {
			return denyUndo{ID: "x", Pods: []podRef{{Place: kube.Place{Access: a, Namespace: "shop", Pod: "api-1"}, UID: "u"}}}
		}},
		"node-cordon": {`{}`, func(a kube.Access) any {
			return nodesUndo{Mark: "m", Nodes: []nodeRef{{Place: kube.Place{Access: a, Node: "n"}, UID: "u"}}}
		}},
		"workload-scale": {`{"replicas":0}`, func(a kube.Access) any {
			return scaleUndo{Place: kube.Place{Access: a, Namespace: "shop", Workload: "deployment/api"}, UID: "u", Mark: "m"}
		}},
		"chaos-mesh": {`{"podFailure":{}}`, func(a kube.Access) any {
			return chaosUndo{Access: a, Kind: "PodChaos", Resource: "podchaos", Namespace: "shop", Name: "x", Spec: map[string]any{}}
		}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			revert := func(uid string) error {
				u, err := writeUndo("", what.undo(kube.Access{
					Kubeconfig: path, Context: "prod", Cluster: kube.ClusterID{UID: uid, Server: "https://prod"},
				}))
				require.NoError(t, err)
				return fault(t, kind, what.with).Revert(t.Context(), u)
			}
			err := revert("uid-prod")
			require.ErrorContains(t, err, "context prod leads to cluster uid-staging")
			require.ErrorContains(t, err, "see that this context leads to API server https://prod again, and run firedrill recover again")
			require.NotErrorIs(t, err, drills.ErrGone)
			if err := revert("uid-staging"); err != nil { // it did come from there, and is gone
				assert.ErrorIs(t, err, drills.ErrGone)
			}
		})
	}
}
