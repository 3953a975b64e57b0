package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"boothd/agent/contract"
	"boothd/agent/token"
	"boothd/agent/verdict"
	"boothd/configs"
)

func (k *check) tokenKey() {
	const name = "lists.key"
	path, b := k.open(name, k.cfg.Lists.Key, true)
	if b == nil {
		return
	}
	keys, err := token.ParseKeys(b, time.Now())
	if err != nil {
		k.fix(name, fmt.Sprintf("%s: %v", path, err), "get the port's key from the list office again")
		return
	}
	if keys.Former != nil {
		k.ok(name, fmt.Sprintf("%s: key %s, and %s until %s", path, keys.Current.ID(), keys.Former.ID(), keys.Until.Format(time.RFC3339)))
		return
	}
	k.ok(name, fmt.Sprintf("%s: key %s", path, keys.Current.ID()))
}

// signingKey looks at what signs checkpoints of the journal. A booth runs
// without it, and warns at headquarters.
func (k *check) signingKey() {
	const name, do = "booth.signing_key", "openssl genpkey -algorithm ed25519 -out booth-key.pem, then seal it: docs/commands.md"
	ref := k.cfg.Booth.SigningKey
	if path, _ := whereIs(ref); path == "" {
		k.warn(name, string(ref)+": not there, checkpoints of the journal are left out", do)
		return
	}
	path, b := k.open(name, ref, true)
	if b == nil {
		return
	}
	key, err := contract.ParseSigningKey(b)
	if err != nil {
		k.fix(name, fmt.Sprintf("%s: %v", path, err), do)
		return
	}
	k.ok(name, fmt.Sprintf("%s: key %s", path, key.ID()))
}

// commandKeys looks at the public keys of those whose commands are taken. A
// booth without the file takes none, which may be meant.
func (k *check) commandKeys() {
	const name = "commands.keys"
	path, allow := string(k.cfg.Commands.Keys), k.cfg.Commands.Allow
	if len(allow) == 0 {
		k.ok("commands.allow", "nothing: headquarters' commands are off")
		return
	}
	if there, _ := whereIs(configs.Ref(path)); there == "" {
		k.warn(name, path+": not there, no command of headquarters is taken",
			"copy command-keys.pem from headquarters there, or say so: commands.allow = []")
		return
	}
	b := k.readable(name, path, false)
	if b == nil {
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o022 != 0 {
		k.fix(name, fmt.Sprintf("%s: mode %04o lets others say who commands", path, info.Mode().Perm()), "chmod go-w "+path)
		return
	}
	keys, err := contract.ParseKeys(b)
	if err != nil {
		k.fix(name, fmt.Sprintf("%s: %v", path, err), "copy command-keys.pem from headquarters again: a booth takes no command by half a file")
		return
	}
	var names []string
	for _, n := range allow {
		names = append(names, string(n))
	}
	k.ok(name, fmt.Sprintf("%s: %s by %s", path, strings.Join(names, ", "), strings.Join(keys.IDs(), " ")))
}

// matcherKey looks at what a kiosk shares with its matcher of faces.
func (k *check) matcherKey() {
	const name = "kiosk.matcher_key"
	if k.cfg.Kiosk.Matcher == "" {
		return
	}
	path, b := k.open(name, k.cfg.Kiosk.MatcherKey, true)
	if b == nil {
		return
	}
	key, err := verdict.ParseKey(b)
	if err != nil {
		k.fix(name, fmt.Sprintf("%s: %v", path, err), "openssl rand -hex 32 makes one; the matcher needs the same")
		return
	}
	k.ok(name, fmt.Sprintf("%s: key %s", path, key.ID()))
}
