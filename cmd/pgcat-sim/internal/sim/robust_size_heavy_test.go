//go:build differential

package sim

const malformedPackets = 10_000
