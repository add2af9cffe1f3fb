package lab

import (
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed install.sh
var installer string

// FetchMySQL makes sure that there is a real MySQL server to run: it downloads
// Debian's packages into the cache unless the system has one or the cache does.
func FetchMySQL(ctx context.Context, cache string) error {
	if _, err := (mysqld{}).program(cache); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "sh", "-s", "--", "mysql8", filepath.Join(cache, "mysql"))
	cmd.Stdin = strings.NewReader(installer)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch a MySQL server (lab/install.sh mysql8): %w: %s", err, lastLines(out))
	}
	return nil
}
