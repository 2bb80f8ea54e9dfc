// Package release names the two PgCat versions that the stand-in can behave as.
package release

import "fmt"

// Release is one version of PgCat.
type Release string

// The two versions held to: the last tagged one, and the head of the main branch, which calls
// itself 1.3.0 and was never tagged.
const (
	V120 Release = "v1.2.0"
	Head Release = "head"
)

// Parse reads the value of the --as flag.
func Parse(s string) (Release, error) {
	switch r := Release(s); r {
	case V120, Head:
		return r, nil
	}
	return "", fmt.Errorf("read --as: %q is no known PgCat version; use %q or %q", s, V120, Head)
}

// Number is the version as PgCat prints it.
func (r Release) Number() string {
	if r == Head {
		return "1.3.0"
	}
	return "1.2.0"
}

// Banner is what SHOW VERSION answers: the version, and that this is a test double.
func (r Release) Banner() string { return "PgCat " + r.Number() + " (pgcat-sim stand-in)" }
