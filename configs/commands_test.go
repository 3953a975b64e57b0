package configs

import (
	"slices"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	plain := string(example(t, "nexus.toml"))
	for _, tt := range []struct {
		name, text string
		want       []CommandName
	}{
		{"by default", plain, []CommandName{CommandListRefresh, CommandOutboxResend, CommandIdentify}},
		{"none", strings.Replace(plain, "[commands]\n", "[commands]\nallow = []\n", 1), nil},
		{"one", strings.Replace(plain, "[commands]\n", "[commands]\nallow = [\"outbox.resend\"]\n", 1), []CommandName{CommandOutboxResend}},
		{"an archive, where its place is named", strings.Replace(plain, "[commands]\n", "[commands]\nallow = [\"bundle.upload\"]\nupload = \"https://hq-a/bundles\"\n", 1), []CommandName{CommandBundleUpload}},
		{"the lane's type, where it may become slower", strings.Replace(strings.Replace(plain, "[commands]\n", "[commands]\nallow = [\"lane.mode\"]\n", 1),
			"[policy]\n", "others = [\"fast\", \"general\"]\n[policy]\n", 1), []CommandName{CommandLaneMode}},
	} {
		cfg, err := drivers.Parse("x.toml", []byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if !slices.Equal(cfg.Commands.Allow, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, cfg.Commands.Allow, tt.want)
		}
		again(t, cfg)
	}
}

func TestRedactedHidesWhereTheSigningKeyIs(t *testing.T) {
	cfg, err := drivers.Parse("x.toml", []byte(strings.Replace(string(example(t, "nexus.toml")), "[lane]\n", "signing_key = \"/root/booth.pem\"\n[lane]\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Booth.SigningKey != "/root/booth.pem" || cfg.Redacted().Booth.SigningKey != redactedRef {
		t.Errorf("signing key at %q, redacted %q", cfg.Booth.SigningKey, cfg.Redacted().Booth.SigningKey)
	}
}
