package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boothd/configs"
)

func TestAKioskNeedsItsMatchersKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "matcher-key")
	look := func(content string) []finding {
		t.Helper()
		if content != "" {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k := check{cfg: &configs.Config{Kiosk: configs.Kiosk{Matcher: "127.0.0.1:7090", MatcherKey: configs.Ref(path)}}, who: daemonUser()}
		k.matcherKey()
		return k.found
	}
	for _, tt := range []struct {
		content string
		state   state
		msg     string
	}{
		{"", broken, "no such file"},
		{"deadbeef", broken, "matcher key: 8 characters"},
		{strings.Repeat("ab", 32) + "\n", good, ": key "},
	} {
		if f := look(tt.content); len(f) != 1 || f[0].State != tt.state || !strings.Contains(f[0].Msg, tt.msg) || strings.Contains(f[0].Msg, "deadbeef") {
			t.Errorf("a matcher key %q is %+v, want %s: %s", tt.content, f, tt.state, tt.msg)
		}
	}
	k := check{cfg: &configs.Config{}}
	if k.matcherKey(); len(k.found) > 0 {
		t.Errorf("a booth without a matcher: %+v", k.found)
	}
}
