package lab

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// gatewayFiles are what npm installs the gateway by, and what it is started with.
//
//go:embed gateway/package.json gateway/package-lock.json gateway/loopback.cjs
var gatewayFiles embed.FS

// gatewayFile returns one of them.
func gatewayFile(name string) string {
	b, err := gatewayFiles.ReadFile("gateway/" + name)
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(b)
}

// gatewayDir is where the gateway is installed; another set of versions is
// installed elsewhere.
func gatewayDir(cache string) string {
	return filepath.Join(cache, "gateway-"+digest(gatewayFile("package-lock.json")))
}

// FetchGateway makes sure that the gateway of the lab llm is in the cache: npm
// installs it from the registry that npm is set up with, and runs no script of it.
func FetchGateway(ctx context.Context, cache string) error {
	if _, err := os.Stat(gatewayDir(cache)); err == nil {
		return nil
	}
	versions, err := os.MkdirTemp("", "fd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(versions)
	for _, name := range []string{"package.json", "package-lock.json"} {
		if err := os.WriteFile(filepath.Join(versions, name), []byte(gatewayFile(name)), 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "sh", "-s", "--", "llm", gatewayDir(cache), versions)
	cmd.Stdin = strings.NewReader(installer)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch the gateway (lab/install.sh llm): %w: %s", err, lastLines(out))
	}
	return nil
}
