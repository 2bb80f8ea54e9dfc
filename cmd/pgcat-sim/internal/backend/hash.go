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
	hash  string
	r     io.Reader
	w     io.Writer
	first []byte // of what the server says: a challenge is the first of it
}

func (h *hashLogin) Read(b []byte) (int, error) {
	n, err := h.r.Read(b)
	if missing := len(md5Challenge) + saltLength - len(h.first); missing > 0 {
		h.first = append(h.first, b[:min(n, missing)]...)
	}
	return n, err
}

// salt is nil if the server asked for something else.
func (h *hashLogin) salt() []byte {
	salt, asked := bytes.CutPrefix(h.first, md5Challenge)
	if !asked || len(salt) < saltLength {
		return nil
	}
	return salt
}

func (h *hashLogin) Write(b []byte) (int, error) {
	salt := h.salt()
	if len(b) == 0 || b[0] != 'p' || salt == nil {
		return h.w.Write(b)
	}
	sum := md5.Sum(append([]byte(h.hash), salt...))
	answer, err := (&pgproto3.PasswordMessage{Password: "md5" + hex.EncodeToString(sum[:])}).Encode(nil)
	if err != nil {
		return 0, err
	}
	if _, err := h.w.Write(answer); err != nil {
		return 0, err
	}
	return len(b), nil
}
