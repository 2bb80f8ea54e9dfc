package renderconfig

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/pooler/pgcat/config"
	"pgcat-failover/steps/pooler/pgcat/lint"
)

// Source is where the credentials come from: files, or a Secret of the cluster.
type Source struct {
	UsernameFile, PasswordFile, AdminPasswordFile string
	Secret                                        string
}

// Target is what comes out, and where to.
type Target struct {
	Manifest        bool   // the whole Secret, and not only its pgcat.toml
	Name, Namespace string // of the Secret
	File            string // "" is standard output
}

// Deps is the world around.
type Deps struct {
	Out, Err io.Writer
	Cluster  *kube.Cluster // nil unless Source.Secret
}

// Run renders, lints what it rendered, and writes it. What the linter warns of goes to deps.Err; what PgCat would
// refuse is not written.
func Run(ctx context.Context, cfg Config, from Source, to Target, deps Deps) error {
	secret, err := from.read(ctx, deps.Cluster)
	if err != nil {
		return err
	}
	toml, err := TOML(cfg, secret)
	if err != nil {
		return options.Usage(err)
	}
	if err := check(toml, deps.Err); err != nil {
		return options.Usage(err)
	}
	if to.Manifest {
		if toml, err = manifest(to, secret, toml); err != nil {
			return err
		}
	}
	if to.File == "" {
		_, err = io.WriteString(deps.Out, toml)
	} else {
		err = os.WriteFile(to.File, []byte(toml), 0o600) // it holds passwords
	}
	if err != nil {
		return fmt.Errorf("write the config: %w", err)
	}
	return nil
}

func check(toml string, out io.Writer) error {
	var refused []string
	for _, f := range lint.Lint([]byte(toml), lint.Options{}) {
		switch f.Severity {
		case lint.Error:
			refused = append(refused, fmt.Sprintf("%s (%s)", f.Message, f.Rule))
		case lint.Warning:
			fmt.Fprintf(out, "warning: %s [%s]; in a failover: %s mend: %s\n", f.Message, f.Rule, f.Failover, f.Mend)
		}
	}
	if refused != nil {
		return fmt.Errorf("PgCat would not take this config: %s", strings.Join(refused, "; "))
	}
	return nil
}

func (s Source) read(ctx context.Context, cluster *kube.Cluster) (Credentials, error) {
	var c Credentials
	var err error
	if s.Secret != "" {
		c, err = s.fromSecret(ctx, cluster)
	} else {
		c, err = s.fromFiles()
	}
	if err != nil {
		return c, err
	}
	if s.AdminPasswordFile != "" {
		if c.AdminPassword, err = secretFile(s.AdminPasswordFile); err != nil {
			return c, options.Usage(err)
		}
	}
	if c.AdminPassword == "" {
		c.AdminPassword = rand.Text()
	}
	return c, nil
}

func (s Source) fromFiles() (c Credentials, err error) {
	if c.Username, err = secretFile(s.UsernameFile); err != nil {
		return c, options.Usage(err)
	}
	c.Password, err = secretFile(s.PasswordFile)
	return c, options.Usage(err)
}

// secretFile is a file's only line. The errors name the file and never what is in it.
func secretFile(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read a credential: %w", err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case text == "":
		return "", fmt.Errorf("read a credential: %s is empty", path)
	case !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00"):
		return "", fmt.Errorf("read a credential: %s is not one line of UTF-8", path)
	}
	return text, nil
}

// fromSecret takes the keys username and password, and the admin's password from the pgcat.toml of before, so that
// rendering again changes nothing else.
func (s Source) fromSecret(ctx context.Context, cluster *kube.Cluster) (Credentials, error) {
	name := cluster.Namespace + "/" + s.Secret
	secret, err := cluster.Client.CoreV1().Secrets(cluster.Namespace).Get(ctx, s.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Credentials{}, options.Usage(fmt.Errorf("read Secret %s: it is not there", name))
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("read Secret %s: %w", name, err)
	}
	c := Credentials{Username: string(secret.Data["username"]), Password: string(secret.Data["password"])}
	if c.Username == "" || c.Password == "" {
		return c, options.Usage(fmt.Errorf("read Secret %s: want the keys username and password", name))
	}
	if old, err := config.Parse(secret.Data["pgcat.toml"]); err == nil {
		c.AdminPassword = old.General.AdminPassword
	}
	return c, nil
}

// manifest is the whole Secret. The config is a block of its own, so that its comments stay.
func manifest(to Target, secret Credentials, toml string) (string, error) {
	head, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{"name": to.Name, "namespace": to.Namespace,
			"labels": map[string]string{"app": "pgcat", "app.kubernetes.io/part-of": "pgcat-failover"}},
	})
	if err != nil {
		return "", fmt.Errorf("render the Secret: %w", err)
	}
	// A basic string of TOML is a double-quoted one of YAML too.
	keys := "  username: " + quote(secret.Username) + "\n  password: " + quote(secret.Password) + "\n"
	return string(head) + "# The keys are for the test Postgres, psql in the pod and the failover steps; PgCat reads pgcat.toml only.\nstringData:\n" +
		keys + "  pgcat.toml: |\n" + indent(toml, "    "), nil
}

func indent(text, by string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		if l != "\n" {
			b.WriteString(by)
		}
		b.WriteString(l)
	}
	return b.String()
}
