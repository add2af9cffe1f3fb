package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"firedrill/drills/topology/llm"
)

// The models that every vendor of a lab serves.
const (
	chatModel      = "lab-chat"
	embeddingModel = "lab-embedding"
	rerankModel    = "lab-rerank"
)

// inPriority are three vendors in order of priority: two that serve the same model,
// and one of one's own whose embeddings are those of another.
func inPriority(failover string, g gatewayMake) modelMake {
	return modelMake{
		strategy: "priority", failover: failover, gateway: g, secure: true,
		vendors: []vendorMake{
			{name: "vendor-a", dimension: 256, seed: 1, price: llm.Price{In: 2.5, Out: 10}},
			{name: "vendor-b", dimension: 256, seed: 1, price: llm.Price{In: 3, Out: 12}},
			{name: "selfhosted-c", dimension: 384, seed: 2, price: llm.Price{In: 0.4, Out: 0.4}},
		},
	}
}

// balanced are three instances of one's own that are the same.
func balanced() modelMake {
	m := modelMake{strategy: "balance", failover: "automatic", gateway: haproxy{inTurn}}
	for n := 1; n <= 3; n++ {
		m.vendors = append(m.vendors, vendorMake{
			name: fmt.Sprintf("selfhosted-%d", n), dimension: 384, seed: 2, price: llm.Price{In: 0.4, Out: 0.4},
		})
	}
	return m
}

// vendorHeader is the header of every answer that names the vendor.
const vendorHeader = "x-vendor"

// keyFile is the application's key in a vendor's own directory.
const keyFile = "key"

func (l *models) vendorProcess(i int) process {
	v := l.modelMake.vendors[i]
	p := l.place(v.name, l.address(1+i, vendorPort), 1+i)
	p.argv = []string{
		l.program(), "lab", "vendor", "--name", v.name, "--listen", p.address, "--admin", l.socket(v.name),
		"--models", strings.Join([]string{chatModel, embeddingModel, rerankModel}, ","),
		"--key-file", filepath.Join(p.dir, keyFile), "--log", filepath.Join(p.dir, "requests.log"),
		"--dimension", strconv.Itoa(v.dimension), "--seed", strconv.Itoa(v.seed),
	}
	return p
}

// startVendor starts a vendor unless it runs, and waits until it lists its models.
func (l *models) startVendor(ctx context.Context, i int) error {
	key, err := l.secret(keySecret).Resolve()
	if err != nil {
		return err
	}
	p := l.vendors[i]
	if err := p.write(map[string]string{keyFile: key + "\n"}); err != nil {
		return err
	}
	return p.start(ctx, func() error { return l.lists(ctx, "http://"+p.address) })
}
