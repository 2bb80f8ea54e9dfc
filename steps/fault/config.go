package fault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pgcat-failover/steps/kube"
)

// ConfigSecret holds pgcat.toml and the credentials.
const ConfigSecret = "argo-pgcat-config"

// ConfigKey is pgcat.toml's key in it.
const ConfigKey = "pgcat.toml"

const (
	// configUndo holds the file as it was. It is a key of the same Secret, not an annotation: the file has passwords.
	configUndo = "pgcat.toml.before-edit"
	// configEdited tells which file the edit wrote, so that what somebody else wrote since is theirs and stays.
	configEdited = "pgcat-failover/edited-sha256"
)

// Config is pgcat.toml changed in its Secret under a running PgCat. What the change is, is the business of package
// edit; this writes it, with its undo in the same patch, and takes it back.
type Config struct{}

// Name implements Held.
func (Config) Name() string { return "config" }

// Broken implements Held.
func (Config) Broken(ctx context.Context, c *kube.Cluster) ([]string, error) {
	s, err := configSecret(ctx, c)
	if apierrors.IsNotFound(err) || err == nil && s.Data[configUndo] == nil {
		return nil, nil
	}
	return []string{ConfigKey}, err
}

// Write puts the edited file in the place of the one that was read. Where another one stands there by now nothing is
// written.
func (Config) Write(ctx context.Context, c *kube.Cluster, read, edited []byte) error {
	s, err := configSecret(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case s.Data[configUndo] != nil:
		return fmt.Errorf("edit Secret %s: an earlier edit is still in it; run `failover restore` first", ConfigSecret)
	case !bytes.Equal(s.Data[ConfigKey], read):
		return fmt.Errorf("edit Secret %s: somebody changed it meanwhile; run again", ConfigSecret)
	}
	return patchConfig(ctx, c, s, map[string]any{ConfigKey: edited, configUndo: read}, Sum(edited))
}

// Revert implements Held. A file that somebody else wrote since the edit is left as it is.
func (Config) Revert(ctx context.Context, c *kube.Cluster) ([]string, error) {
	s, err := configSecret(ctx, c)
	switch {
	case apierrors.IsNotFound(err) || err == nil && s.Data[configUndo] == nil:
		return nil, nil
	case err != nil:
		return nil, err
	}
	set := map[string]any{configUndo: nil}
	what := fmt.Sprintf("Secret %s: %s as it was", ConfigSecret, ConfigKey)
	if s.Annotations[configEdited] == Sum(s.Data[ConfigKey]) {
		set[ConfigKey] = s.Data[configUndo]
	} else {
		what = fmt.Sprintf("Secret %s: somebody else changed %s since, that stays; the copy of the file before the edit is removed", ConfigSecret, ConfigKey)
	}
	return []string{what}, patchConfig(ctx, c, s, set, nil)
}

// Sum is how a file is named where its content must not be shown.
func Sum(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

func configSecret(ctx context.Context, c *kube.Cluster) (*corev1.Secret, error) {
	s, err := c.Client.CoreV1().Secrets(c.Namespace).Get(ctx, ConfigSecret, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Secret %s in %s: %w", ConfigSecret, c.Namespace, err)
	}
	return s, nil
}

// patchConfig writes only if the Secret is still the one that was read.
func patchConfig(ctx context.Context, c *kube.Cluster, s *corev1.Secret, data map[string]any, edited any) error {
	body, err := json.Marshal(map[string]any{"data": data, "metadata": map[string]any{
		"resourceVersion": s.ResourceVersion, "annotations": map[string]any{configEdited: edited}}})
	if err != nil {
		return fmt.Errorf("edit Secret %s: %w", ConfigSecret, err)
	}
	_, err = c.Client.CoreV1().Secrets(c.Namespace).Patch(ctx, ConfigSecret, types.MergePatchType, body, metav1.PatchOptions{FieldManager: kube.Manager})
	if err != nil {
		return fmt.Errorf("edit Secret %s in %s: %w", ConfigSecret, c.Namespace, err)
	}
	return nil
}
