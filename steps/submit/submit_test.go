package submit

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

// parameters are those of the workflow that a command line makes.
func parameters(t *testing.T, args ...string) (map[string]string, error) {
	t.Helper()
	out := map[string]string{}
	cmd := Command()
	cmd.Action = func(c *cli.Context) error {
		wf, err := build(c.String("scenario"), c.StringSlice("parameter"))
		if err != nil {
			return err
		}
		for _, p := range wf.Spec.Arguments.Parameters {
			out[p.Name] = p.Value.String()
		}
		return nil
	}
	err := (&cli.App{Commands: []*cli.Command{cmd}}).RunContext(t.Context(), append([]string{"failover", "submit"}, args...))
	return out, err
}

func TestParametersReachTheWorkflowAsTheyWereTyped(t *testing.T) {
	for _, tc := range []struct {
		story string
		args  []string
		want  map[string]string
	}{
		{"none: the suite", nil, map[string]string{}},
		{"a list of rules, as a deploy that stops suggests it", []string{"-p", "allow=failover-key-imagined,shard-gap"}, map[string]string{"allow": "failover-key-imagined,shard-gap"}},
		{"among others", []string{"-s", "primary", "-p", "hold=20s", "-p", "allow=trust,shard-gap,placeholder", "-p", "rate=5"},
			map[string]string{"scenario": "primary", "hold": "20s", "allow": "trust,shard-gap,placeholder", "rate": "5"}},
		{"an empty value is the template's own", []string{"-p", "allow="}, map[string]string{"allow": ""}},
	} {
		t.Run(tc.story, func(t *testing.T) {
			got, err := parameters(t, tc.args...)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
	_, err := parameters(t, "-p", "novalue")
	require.ErrorContains(t, err, `--parameter "novalue": want name=value`)
}
