package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
)

// missing is the error for a Debian package that is not installed.
func missing(packages ...string) error {
	return fmt.Errorf("missing programs: as root, apt-get install --no-install-recommends %s",
		strings.Join(packages, " "))
}

// lookSbin finds a program also where a user's PATH does not lead.
func lookSbin(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

// digest is a short name for a text.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}
