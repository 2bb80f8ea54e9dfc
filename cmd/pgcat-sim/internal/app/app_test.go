package app

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// As a program it fails where pgcat fails: 2 for its arguments, 78 for its file; and it says what to give instead.
func TestWrongArguments(t *testing.T) {
	for _, tc := range []struct {
		story string
		args  []string
		says  string
	}{
		{"a version that it does not know", []string{"--as", "v9"}, `use "v1.2.0" or "head"`},
		{"a level that does not exist", []string{"--log-level", "loud"}, "use error, warn, info or debug"},
		{"a flag that does not exist", []string{"--bogus"}, "-bogus"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			app := command(new(int))
			app.Writer, app.ErrWriter = io.Discard, io.Discard
			args := append([]string{"pgcat-sim"}, tc.args...)
			err := app.Run(args)
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.says)
			assert.Equal(t, 2, Main(args))
		})
	}
	assert.Equal(t, 78, Main([]string{"pgcat-sim", filepath.Join(t.TempDir(), "absent.toml")}))
}

func TestHelpHasAnExample(t *testing.T) {
	assert.Contains(t, command(new(int)).Description, "pgcat-sim --as head pgcat.toml")
}
