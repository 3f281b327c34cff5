package intake

import (
	"net/url"
	"path"
	"strings"
)

// IsURL reports whether a path names a place in object storage, and not a local file.
func IsURL(path string) bool {
	scheme, _, ok := strings.Cut(path, "://")
	return ok && scheme != "" && !strings.ContainsAny(scheme, "/\\.")
}

// LocalPath returns the directory that a file:// URL names.
func LocalPath(rawURL string) (string, bool) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "file" || u.Host != "" || !path.IsAbs(u.Path) {
		return "", false
	}
	return path.Clean(u.Path), true
}
