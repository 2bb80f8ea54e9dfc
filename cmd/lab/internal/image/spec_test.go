package image

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// imagesFolder is the real one: a description that cannot be read is found
// here, not on a user's machine.
const imagesFolder = "../../../../images"

func TestParse(t *testing.T) {
	for name, row := range map[string]struct{ yaml, complaint string }{
		"a whole description": {yaml: "name: a/b:1\nbinaries: [{path: /x, go: ./cmd/x}]\ndirectories: [{path: /tmp, mode: 0o1777}]"},
		"no name":             {yaml: "user: root", complaint: "name is empty"},
		"a typo":              {yaml: "name: a\nentrypiont: [x]", complaint: "entrypiont"},
		"two sources":         {yaml: "name: a\nbinaries: [{path: /x, go: ./x, pgcat: true}]", complaint: "2 sources"},
		"no source":           {yaml: "name: a\nbinaries: [{path: /x}]", complaint: "0 sources"},
		"a relative path":     {yaml: "name: a\nbinaries: [{path: x, go: ./x}]", complaint: "not absolute"},
		"base and debian":     {yaml: "name: a\nbase: b\ndebian: {packages: [x]}", complaint: "both set"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("some", []byte(row.yaml))
			if row.complaint == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.complaint)
			require.ErrorContains(t, err, "images/some/image.yaml")
		})
	}
}

func TestModesAreOctal(t *testing.T) {
	spec, err := Parse("some", []byte("name: a\ndirectories: [{path: /tmp, mode: 0o1777}]"))
	require.NoError(t, err)
	require.EqualValues(t, 0o1777, spec.Directories[0].Mode)
}

func TestLoadReadsTheProjectsImagesBasesFirst(t *testing.T) {
	specs, err := Load(imagesFolder)
	require.NoError(t, err)
	place := map[string]int{}
	for i, spec := range specs {
		place[spec.Folder] = i
	}
	require.Contains(t, place, "failover")
	require.Less(t, place["postgres"], place["pgcat"])
}

func TestLoadRefusesAnEmptyFolder(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, err, "find images")
}
