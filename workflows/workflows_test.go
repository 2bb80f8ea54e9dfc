package workflows_test

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
	"sigs.k8s.io/yaml"

	"pgcat-failover/steps"
	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/workflows"
)

func read[T any](t *testing.T, file string) *T {
	t.Helper()
	data, err := fs.ReadFile(workflows.Files(), file)
	require.NoError(t, err)
	out := new(T)
	require.NoError(t, yaml.UnmarshalStrict(data, out))
	return out
}

func templates(t *testing.T) map[string]*wfv1.WorkflowTemplate {
	return map[string]*wfv1.WorkflowTemplate{
		"pgcat-failover":       read[wfv1.WorkflowTemplate](t, "pgcat-failover.yaml"),
		"pgcat-failover-suite": read[wfv1.WorkflowTemplate](t, "pgcat-failover-suite.yaml"),
	}
}

func scenarios(t *testing.T) []string {
	names, err := scenario.Names(workflows.Scenarios())
	require.NoError(t, err)
	return names
}

func TestEveryWorkflowRestoresAndEnds(t *testing.T) {
	for name, wt := range templates(t) {
		t.Run(name, func(t *testing.T) {
			s := wt.Spec
			assert.Equal(t, name, wt.Name)
			require.NotNil(t, s.ActiveDeadlineSeconds, "a node that is lost must not hold the endpoints broken for ever")
			require.NotNil(t, s.Synchronization)
			assert.Equal(t, "pgcat-failover", s.Synchronization.Mutexes[0].Name, "all share one lock: they break the same endpoints")
			handler := wt.GetTemplateByName(s.OnExit)
			require.NotNil(t, handler)
			require.NotEmpty(t, handler.Steps, "a dag as exit handler dies on stop before Argo 3.7.17")
			step := handler.Steps[0].Steps[0]
			target := step.Template
			if step.TemplateRef != nil {
				target = step.TemplateRef.Template
			}
			assert.Equal(t, "restore", target)
		})
	}
}

func TestEveryContainerNamesItsCommandAndHasNoRightsToSpare(t *testing.T) {
	for name, wt := range templates(t) {
		for _, tmpl := range wt.Spec.Templates {
			c := tmpl.Container
			if c == nil {
				continue
			}
			at := name + "/" + tmpl.Name
			assert.NotEmpty(t, c.Command, "%s: without a command the controller asks a registry for the image's", at)
			require.NotNil(t, c.SecurityContext, at)
			assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation, at)
			assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, at)
			assert.False(t, strings.HasSuffix(c.Image, ":latest"), at)
		}
		assert.True(t, *wt.Spec.SecurityContext.RunAsNonRoot, name)
	}
}

func TestEveryArgumentIsAFlagOfItsStep(t *testing.T) {
	commands := map[string]*cli.Command{}
	for _, c := range steps.Commands() {
		commands[c.Name] = c
	}
	for name, wt := range templates(t) {
		for _, tmpl := range wt.Spec.Templates {
			if tmpl.Container == nil {
				continue
			}
			args := tmpl.Container.Args
			cmd := commands[args[0]]
			require.NotNil(t, cmd, "%s/%s: failover has no command %q", name, tmpl.Name, args[0])
			for _, a := range args[1:] {
				flag, _, ok := strings.Cut(strings.TrimPrefix(a, "--"), "=")
				require.True(t, ok, "%s/%s: %s: write --flag=value, so that an empty parameter stays an empty value", name, tmpl.Name, a)
				assert.True(t, slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag) }),
					"%s/%s: %s has no flag --%s", name, tmpl.Name, args[0], flag)
			}
		}
	}
}

func TestEveryParameterIsDescribedAndDefined(t *testing.T) {
	all := templates(t)
	for name, wt := range all {
		for _, p := range wt.Spec.Arguments.Parameters {
			assert.NotNil(t, p.Description, "%s: %s: the Argo UI shows it in its form", name, p.Name)
			require.NotNil(t, p.Value, "%s: %s: one click must do", name, p.Name)
		}
	}
	// The templates of pgcat-failover run in the suite too, and read its parameters.
	body, err := fs.ReadFile(workflows.Files(), "pgcat-failover.yaml")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`workflow\.parameters\.([a-z-]+)`).FindAllStringSubmatch(string(body), -1) {
		for name, wt := range all {
			if m[1] == "scenario" && name == "pgcat-failover-suite" {
				continue
			}
			assert.NotNil(t, wt.Spec.Arguments.GetParameterByName(m[1]), "%s reads %s, which it does not define", name, m[1])
		}
	}
}

func TestTheMenuIsTheScenarios(t *testing.T) {
	one := templates(t)["pgcat-failover"]
	assert.Equal(t, scenarios(t), enum(one, "scenario"), "a scenario is a file, and an entry of the menu by the same word")
	var faults []string
	for _, f := range fault.All {
		faults = append(faults, f.Name())
	}
	assert.Equal(t, faults, enum(one, "fault"))
}

func enum(wt *wfv1.WorkflowTemplate, parameter string) []string {
	var out []string
	for _, v := range wt.Spec.Arguments.GetParameterByName(parameter).Enum {
		out = append(out, v.String())
	}
	return out
}

func TestTheSuiteRunsEveryScenarioOnce(t *testing.T) {
	suite := templates(t)["pgcat-failover-suite"]
	var ran []string
	var records, wanted string
	for _, group := range suite.GetTemplateByName("main").Steps {
		for _, s := range group.Steps {
			switch s.TemplateRef.Template {
			case "deploy":
				records = s.Arguments.GetParameterByName("records").Value.String()
			case "experiment":
				ran = append(ran, s.Name)
				assert.Equal(t, s.Name, s.Arguments.GetParameterByName("scenario").Value.String())
				assert.Contains(t, strings.Split(records, ","), s.Arguments.GetParameterByName("record").Value.String())
				assert.NotNil(t, s.ContinueOn, "%s: a scenario that fails must not keep the next from running", s.Name)
			case "summary":
				wanted = s.Arguments.GetParameterByName("scenarios").Value.String()
			}
		}
	}
	assert.Equal(t, scenarios(t), ran)
	assert.Equal(t, strings.Join(scenarios(t), ","), wanted)
}

func TestTheNightNeverTerminatesARun(t *testing.T) {
	cron := read[wfv1.CronWorkflow](t, "pgcat-failover-nightly.yaml")
	assert.Equal(t, wfv1.ForbidConcurrent, cron.Spec.ConcurrencyPolicy, "Replace terminates, and Argo then skips the restore")
	assert.Equal(t, "pgcat-failover-suite", cron.Spec.WorkflowSpec.WorkflowTemplateRef.Name)
	assert.NotEmpty(t, cron.Spec.Schedules)
}
