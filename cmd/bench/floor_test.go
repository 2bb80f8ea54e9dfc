package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheFloorHasTheShapeOfTheRealOneAndOnlySleeps(t *testing.T) {
	list, err := floorTemplates()
	require.NoError(t, err)
	require.Len(t, list, 2)
	for _, wt := range list {
		assert.Contains(t, wt.Name, "-floor")
		for _, tmpl := range wt.Spec.Templates {
			if tmpl.Container != nil {
				assert.Equal(t, "sleep", tmpl.Container.Args[0], tmpl.Name)
			}
			for _, group := range tmpl.Steps {
				for _, s := range group.Steps {
					if s.TemplateRef != nil {
						assert.Contains(t, s.TemplateRef.Name, "-floor", s.Name)
					}
				}
			}
		}
	}
	probe := list[0].GetTemplateByName("probe")
	assert.Equal(t, []string{"sleep", "25s"}, probe.Container.Args)
}

func TestMedian(t *testing.T) {
	assert.Equal(t, 2*time.Second, median([]time.Duration{3 * time.Second, time.Second, 2 * time.Second}))
	assert.Equal(t, 1500*time.Millisecond, median([]time.Duration{2 * time.Second, time.Second}))
}
