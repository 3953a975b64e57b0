package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/renameio/v2"

	"boothd/agent/contract"
	"boothd/cmd/boothhq/internal/authority"
)

// commandCmd are the verbs of the control desk.
type commandCmd struct {
	Keys commandKeysCmd `cmd:"" help:"List the keys that sign commands, make one, and write the file that booths trust."`
	Send commandSendCmd `cmd:"" help:"Sign a command for one booth, send it, and wait for what became of it."`
}

type commandKeysCmd struct {
	Dir string `arg:"" help:"Folder of the keys."`
	New string `help:"Make a key of this name." placeholder:"NAME"`
	Out string `help:"Write the public keys to this file: /etc/boothd/trust/command-keys.pem of a booth." placeholder:"FILE"`
	passphraseFlag
}

// signFlags say who signs what booths are told.
type signFlags struct {
	Keys string `required:"" help:"Folder of the keys that sign commands and notices." type:"existingdir" placeholder:"DIR"`
	Sign string `help:"Name of the key to sign with; may be left out if there is one." placeholder:"NAME"`
	passphraseFlag
}

// key opens the key to sign with.
func (c *signFlags) key() (*contract.SigningKey, error) {
	phrase, err := c.read()
	if err != nil {
		return nil, err
	}
	name := c.Sign
	if name == "" {
		names, err := authority.CommandKeys(c.Keys)
		if err != nil {
			return nil, err
		}
		if len(names) != 1 {
			return nil, &failure{fmt.Errorf("%d keys for commands in %s", len(names), c.Keys), "--sign names the one; boothhq command keys --new makes one", exitUsage}
		}
		name = names[0]
	}
	private, err := authority.CommandKey(c.Keys, name, phrase)
	if err != nil {
		return nil, err
	}
	return contract.NewSigningKey(private)
}

// commandKey is one line of what command keys prints.
type commandKey struct {
	Name   string `json:"name"`
	ID     string `json:"keyid"`
	Public string `json:"public"` // PEM
}

// Run makes and lists keys. Each is opened, because the public half in a file
// that lies about is nobody's word.
func (c *commandKeysCmd) Run(t *tool) error {
	phrase, err := c.read()
	if err != nil {
		return err
	}
	if c.New != "" {
		if _, err := authority.NewCommandKey(c.Dir, c.New, phrase); errors.Is(err, fs.ErrExist) {
			return &failure{err, "a key is made once; take another name, and remove the old one from the booths' file later", exitFailure}
		} else if err != nil {
			return err
		}
	}
	names, err := authority.CommandKeys(c.Dir)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return &failure{fmt.Errorf("no key for commands in %s", c.Dir), "--new NAME makes one", exitFailure}
	}
	var file bytes.Buffer
	var keys []commandKey
	for _, name := range names {
		private, err := authority.CommandKey(c.Dir, name, phrase)
		if err != nil {
			return err
		}
		k, err := publicOf(name, private)
		if err != nil {
			return err
		}
		keys = append(keys, k)
		fmt.Fprintf(&file, "%s %s\n%s", k.Name, k.ID, k.Public)
	}
	if _, err := contract.ParseKeys(file.Bytes()); err != nil { // as booths will read it
		return &failure{err, "move what is not in use out of the folder", exitFailure}
	}
	if c.Out != "" {
		if err := renameio.WriteFile(c.Out, file.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing the booths' file: %w", err)
		}
	}
	if t.json {
		return t.print(keys)
	}
	for _, k := range keys {
		fmt.Fprintf(t.stdout, "%-20s %s\n", k.Name, k.ID)
	}
	return nil
}

func publicOf(name string, private ed25519.PrivateKey) (commandKey, error) {
	k, err := contract.NewSigningKey(private)
	if err != nil {
		return commandKey{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return commandKey{}, fmt.Errorf("public key of %s: %w", name, err)
	}
	return commandKey{name, k.ID(), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, nil
}
