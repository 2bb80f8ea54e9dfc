package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/urfave/cli/v2"

	"pgcat-failover/cmd/lab/internal/archive"
	"pgcat-failover/cmd/lab/internal/debian"
	"pgcat-failover/cmd/lab/internal/image"
	"pgcat-failover/cmd/lab/internal/node"
)

func imagesCommand() *cli.Command {
	return &cli.Command{
		Name:        "images",
		Usage:       "build the images that changed and bring them into the running lab",
		Description: "Example:\n  go run ./cmd/lab images",
		Action:      images,
	}
}

func images(c *cli.Context) error {
	s, err := inRepo(c.Context)
	if err != nil {
		return err
	}
	if err := needRoot(); err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := debian.Install(c.Context, s.say); err != nil {
		return err
	}
	set, built, err := s.build(c.Context)
	if err != nil {
		return err
	}
	if _, err := node.Find(s.lab); errors.Is(err, node.ErrNotRunning) {
		s.say.Say("the lab is not running: the images are in the cache only")
	} else if err := errors.Join(s.cluster(set).Import(c.Context, built), s.rememberPgCat(built)); err != nil {
		return err
	}
	return printImages(c.App.Writer, built)
}

func printImages(to io.Writer, built []image.Built) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tCOMPRESSED\tDIGEST")
	for _, img := range built {
		fmt.Fprintf(w, "%s\t%.1f MB\t%s\n", img.Name, float64(img.Size)/(1<<20), img.Digest)
	}
	return w.Flush()
}

func imageCommand() *cli.Command {
	return &cli.Command{
		Name:      "image",
		Usage:     "put one image into your own registry, or into a file for docker load",
		ArgsUsage: "NAME   (a folder of images/, such as failover)",
		Description: "Examples:\n  go run ./cmd/lab image --out failover.tar failover && docker load -i failover.tar\n" +
			"  go run ./cmd/lab image --push registry.example.com/team/failover:1.0 failover",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "push", Usage: "push to this `REFERENCE`, with the credentials of docker login"},
			&cli.StringFlag{Name: "out", Usage: "write to this `FILE`"},
		},
		Action: oneImage,
	}
}

func oneImage(c *cli.Context) error {
	if c.NArg() != 1 || (c.String("push") == "") == (c.String("out") == "") {
		return fmt.Errorf("%w: want one NAME and one of --push and --out, before it; see \"lab image --help\"", errUsage)
	}
	s, err := inRepo(c.Context)
	if err != nil {
		return err
	}
	built, err := s.buildOne(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	if file := c.String("out"); file != "" {
		return copyFile(file, built.Tar)
	}
	digest, err := s.push(c.Context, c.String("push"), built.Tar)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, digest)
	return nil
}

// push puts an image file into a registry and returns its name with its digest.
func (s session) push(ctx context.Context, to, file string) (string, error) {
	ref, err := name.ParseReference(to)
	if err != nil {
		return "", fmt.Errorf("push the image: %w", err)
	}
	img, err := archive.Open(file, s.lab.Scratch())
	if err != nil {
		return "", err
	}
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("push the image to %s: %w", ref, err)
	}
	err = remote.Write(ref, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return "", fmt.Errorf("push the image to %s: %w; does \"docker login\" know the registry?", ref, err)
	}
	return ref.Context().Digest(digest.String()).String(), nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("open the image: %w", err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("write the image to %s: %w", to, err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write the image to %s: %w", to, err)
	}
	return nil
}
