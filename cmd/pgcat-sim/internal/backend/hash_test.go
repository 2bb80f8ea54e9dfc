package backend

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"io"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// TestHashLogin: the answer is made of the hash, though the challenge comes a byte at a time; what
// is no answer to a challenge is left alone.
func TestHashLogin(t *testing.T) {
	anything, err := (&pgproto3.PasswordMessage{Password: "anything"}).Encode(nil)
	require.NoError(t, err)
	right, err := (&pgproto3.PasswordMessage{Password: "md5" + hexMD5(hexMD5("secretme")+"salt")}).Encode(nil)
	require.NoError(t, err)
	for _, c := range []struct {
		says   string
		expect []byte
	}{
		{string(md5Challenge) + "salt", right},
		{"R\x00\x00\x00\x08\x00\x00\x00\x00 and more", anything},
	} {
		var out bytes.Buffer
		h := &hashLogin{hash: hexMD5("secretme"), r: iotest.OneByteReader(bytes.NewReader([]byte(c.says))), w: &out}
		_, err := io.ReadAll(h)
		require.NoError(t, err)
		n, err := h.Write(anything)
		require.NoError(t, err)
		require.Equal(t, len(anything), n)
		require.Equal(t, c.expect, out.Bytes())
	}
}
