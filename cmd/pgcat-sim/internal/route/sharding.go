package route

import (
	"crypto/sha1"
	"encoding/binary"
	"math/bits"
	"strconv"
)

// partitionSeed is Postgres' HASH_PARTITION_SEED.
const partitionSeed = 0x7A5B22367996DCFD

// ShardOf is the shard of a sharding key (rule 17). pg_bigint_hash is how Postgres itself finds
// the partition of a row under PARTITION BY HASH (a bigint); sha1 is PgCat's own.
func ShardOf(function string, key int64, shards int) int {
	if function == "sha1" {
		sum := sha1.Sum([]byte(strconv.FormatInt(key, 10)))
		return int(binary.BigEndian.Uint32(sum[len(sum)-4:])) % shards
	}
	return int(combine(0, hashInt8(key)) % uint64(shards))
}

// hashInt8 is hashint8extended: small positive and negative keys hash like their int4.
func hashInt8(key int64) uint64 {
	low, high := uint32(key), uint32(key>>32)
	if key < 0 {
		high = ^high
	}
	return hashUint32(low ^ high)
}

// hashUint32 is hash_bytes_uint32_extended, Bob Jenkins' lookup3 for one word.
func hashUint32(k uint32) uint64 {
	const seed = uint64(partitionSeed)
	var init uint32 = 0x9e3779b9
	init += 4 + 3923095
	a, b, c := mix(init+uint32(seed>>32), init+uint32(seed&0xffffffff), init)
	return final(a+k, b, c)
}

func mix(a, b, c uint32) (uint32, uint32, uint32) {
	turn := func(x, y, z uint32, n int) (uint32, uint32) {
		return (x - z) ^ bits.RotateLeft32(z, n), z + y
	}
	a, c = turn(a, b, c, 4)
	b, a = turn(b, c, a, 6)
	c, b = turn(c, a, b, 8)
	a, c = turn(a, b, c, 16)
	b, a = turn(b, c, a, 19)
	c, b = turn(c, a, b, 4)
	return a, b, c
}

func final(a, b, c uint32) uint64 {
	fold := func(x, y uint32, n int) uint32 { return (x ^ y) - bits.RotateLeft32(y, n) }
	c = fold(c, b, 14)
	a = fold(a, c, 11)
	b = fold(b, a, 25)
	c = fold(c, b, 16)
	a = fold(a, c, 4)
	b = fold(b, a, 14)
	c = fold(c, b, 24)
	return uint64(b)<<32 | uint64(c)
}

// combine is hash_combine64.
func combine(a, b uint64) uint64 {
	return a ^ (b + 0x49a0f4dd15e5a8e3 + a<<54 + a>>7)
}
