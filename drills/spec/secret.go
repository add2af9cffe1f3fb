package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Secret is a reference to a secret: "env:NAME" or "file:PATH". Files, records
// and undo instructions carry the reference, never the value.
type Secret string

// Resolve returns the secret's value. A file's trailing newline is dropped. The
// zero Secret resolves to "". An error names the reference, never a value.
func (s Secret) Resolve() (string, error) {
	switch scheme, rest, _ := strings.Cut(string(s), ":"); {
	case s == "":
		return "", nil
	case scheme == "env" && rest != "":
		v, ok := os.LookupEnv(rest)
		if !ok {
			return "", fmt.Errorf("secret %s: the environment variable %s is not set", s, rest)
		}
		return v, nil
	case scheme == "file" && rest != "":
		b, err := os.ReadFile(rest)
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err // the reference names the path
		}
		if err != nil {
			return "", fmt.Errorf("secret %s: %w", s, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	// The text may be a secret that somebody pasted: it is not repeated.
	return "", errors.New("secret: want a reference, env:NAME or file:PATH, not a value")
}
