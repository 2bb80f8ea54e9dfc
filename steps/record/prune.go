package record

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// oldest names the n oldest ConfigMaps.
func oldest(items []corev1.ConfigMap, n int) []string {
	if n <= 0 {
		return nil
	}
	slices.SortFunc(items, func(a, b corev1.ConfigMap) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	names := make([]string, 0, n)
	for _, cm := range items[:min(n, len(items))] {
		names = append(names, cm.Name)
	}
	return names
}
