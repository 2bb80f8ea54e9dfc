//go:build !differential

package sim

const malformedPackets = 1_000
