package backend

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"io"

	"github.com/jackc/pgx/v5/pgproto3"
)

// md5Challenge is how Postgres asks for an MD5 password; four bytes of salt follow.
var md5Challenge = []byte{'R', 0, 0, 0, 12, 0, 0, 0, 5}

const saltLength = 4

// hashLogin answers an MD5 challenge with a hash where pgconn would need the password, which in
// auth_query nobody has: it notes the salt on its way in and replaces the answer on its way out.
type hashLogin struct {
	hash string
	r    io.Reader
	w    io.Writer
	salt []byte
}

func (h *hashLogin) Read(b []byte) (int, error) {
	n, err := h.r.Read(b)
	if at := bytes.Index(b[:n], md5Challenge); at >= 0 && h.salt == nil {
		if salt := b[at+len(md5Challenge) : n]; len(salt) >= saltLength {
			h.salt = bytes.Clone(salt[:saltLength])
		}
	}
	return n, err
}

func (h *hashLogin) Write(b []byte) (int, error) {
	if len(b) == 0 || b[0] != 'p' || h.salt == nil {
		return h.w.Write(b)
	}
	sum := md5.Sum(append([]byte(h.hash), h.salt...))
	answer, err := (&pgproto3.PasswordMessage{Password: "md5" + hex.EncodeToString(sum[:])}).Encode(nil)
	if err != nil {
		return 0, err
	}
	if _, err := h.w.Write(answer); err != nil {
		return 0, err
	}
	return len(b), nil
}
