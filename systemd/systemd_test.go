// Package systemd holds what makes boothd a part of a Debian system: the unit
// with its two drop-ins, the user, the folders, the device rules. There is no
// code in it; these tests hold the files to the configuration's defaults and to
// systemd's own judgement, offline.
package systemd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"boothd/agent"
	"boothd/configs"
)

// directive is one line of a unit: Section.Key and value.
type directive struct{ key, value string }

func unit(t *testing.T, name string) []directive {
	t.Helper()
	var out []directive
	section := ""
	for i, line := range lines(t, name) {
		switch key, value, ok := strings.Cut(line, "="); {
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
		case !ok || section == "":
			t.Fatalf("%s: line %d of content: %q is no directive", name, i+1, line)
		default:
			out = append(out, directive{section + "." + key, value})
		}
	}
	return out
}

// lines gives a file's lines without comments and empty ones.
func lines(t *testing.T, name string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

func values(all []directive, key string) (out []string) {
	for _, d := range all {
		if d.key == key {
			out = append(out, d.value)
		}
	}
	return out
}

func TestUnitSaysWhatTheDaemonExpects(t *testing.T) {
	u := unit(t, "boothd.service")
	for key, want := range map[string][]string{
		"Unit.StartLimitIntervalSec":       {"0"},
		"Service.Type":                     {"notify", "notify-reload"}, // the last that is known counts
		"Service.WatchdogSec":              {"3"},                       // goal R5
		"Service.Restart":                  {"on-failure"},
		"Service.RestartPreventExitStatus": {"78"},
		"Service.User":                     {"boothd"},
		"Service.StateDirectory":           {"boothd"},
		"Service.StateDirectoryMode":       {"0700"},
		"Service.RuntimeDirectory":         {"boothd"},
		"Service.LimitCORE":                {"0"},
		"Service.CapabilityBoundingSet":    {""},
		"Service.IPAddressDeny":            {"any"},
		"Service.DeviceAllow":              {"char-ttyUSB rw", "char-ttyACM rw", "char-ttyS rw", "char-ttyAMA rw", "char-gpiochip rw"},
	} {
		if got := values(u, key); !slices.Equal(got, want) {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	for key, why := range map[string]string{
		"Service.ProtectClock":     "adjtimex is refused with it: every decision would be 202",
		"Service.ProcSubset":       "the boot id is in /proc/sys",
		"Service.PrivateDevices":   "there are no serial ports in it",
		"Service.ExecReload":       "systemd 253 sends SIGHUP itself; a second one restarts the lane twice",
		"Service.DynamicUser":      "the udev rules and the sealed store need a user that stays",
		"Service.WatchdogSignal":   "SIGABRT makes Go say where it hung",
		"Unit.Requires":            "the lane starts whatever else does not",
		"Service.EnvironmentFile":  "the configuration is one file",
		"Service.SetCredential":    "a secret is not written into a unit",
		"Service.RootDirectory":    "time zones and certificates of the system are used",
		"Service.NetworkNamespace": "brokers are on the site's network",
	} {
		if got := values(u, key); got != nil {
			t.Errorf("%s is set to %q: %s", key, got, why)
		}
	}
}

// The example and its defaults name folders and credentials that the unit must
// provide under the same names.
func TestUnitFitsTheConfiguration(t *testing.T) {
	cfg, err := agent.Drivers.Load("../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	u := unit(t, "boothd.service")
	if got, want := string(cfg.Store.Dir), "/var/lib/"+values(u, "Service.StateDirectory")[0]; got != want {
		t.Errorf("store.dir is %s, the unit provides %s", got, want)
	}
	if got, want := filepath.Dir(string(cfg.Socket)), "/run/"+values(u, "Service.RuntimeDirectory")[0]; got != want {
		t.Errorf("socket is in %s, the unit provides %s", got, want)
	}
	loaded := values(u, "Service.LoadCredentialEncrypted")
	for _, ref := range []configs.Ref{cfg.Lists.Key, cfg.MQTT.Key, cfg.Booth.SigningKey} {
		name, ok := ref.Credential()
		if !ok || !slices.Contains(loaded, name) {
			t.Errorf("%s is not among the unit's credentials %q", ref, loaded)
		}
	}
	dirs := strings.Join(lines(t, "boothd.tmpfiles"), "\n")
	for _, path := range []string{string(cfg.Lists.Root), string(cfg.MQTT.CA), string(cfg.MQTT.Cert)} {
		if !strings.Contains(dirs, "d "+filepath.Dir(path)+" ") {
			t.Errorf("nobody makes the folder of %s", path)
		}
	}
}

// TestExposure is goal S1: 1.5, and 1.6 with a site's net allowed.
func TestExposure(t *testing.T) {
	for _, tt := range []struct {
		name      string
		files     []string
		threshold string // tenths
	}{
		{"as shipped", []string{"boothd.service"}, "15"},
		{"with a site's net", []string{"boothd.service", "network.conf"}, "16"},
	} {
		out, err := analyze(t, tt.files, "security", "--offline=true", "--threshold="+tt.threshold)
		if err != nil {
			t.Errorf("%s, at most %s tenths: %v\n%s", tt.name, tt.threshold, err, out)
		}
	}
}

func TestVerify(t *testing.T) {
	out, _ := analyze(t, []string{"boothd.service", "before-253.conf", "network.conf", "keypad.conf", "kiosk.conf"}, "verify", "--man=no")
	for line := range strings.Lines(out) {
		// The one that systemd 252 is meant to ignore.
		if !strings.Contains(line, "Failed to parse service type, ignoring: notify-reload") {
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
}

// analyze runs systemd-analyze on the files as one unit, whose program is one
// that is there.
func analyze(t *testing.T, files []string, args ...string) (string, error) {
	t.Helper()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("no systemd-analyze: .ci/setup installs it")
	}
	var text []byte
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	path := filepath.Join(t.TempDir(), "boothd.service")
	text = bytes.Replace(text, []byte("/usr/bin/boothd "), []byte("/bin/true "), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, append(args, path)...).CombinedOutput()
	return string(out), err
}

func TestSysusersMakesUserInItsGroups(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\ndialout:x:20:\n"} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := filepath.Abs("boothd.sysusers")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-sysusers", "--root="+root, file).CombinedOutput(); err != nil {
		t.Fatalf("systemd-sysusers: %v\n%s", err, out)
	}
	groups := strings.Join(lines(t, filepath.Join(root, "etc/group")), "\n")
	for _, want := range []string{`(?m)^dialout:x:20:boothd$`, `(?m)^gpio:x:\d+:boothd$`, `(?m)^boothd:x:\d+:$`} {
		if !regexp.MustCompile(want).MatchString(groups) {
			t.Errorf("no group like %s in\n%s", want, groups)
		}
	}
	if users := lines(t, filepath.Join(root, "etc/passwd")); !strings.HasSuffix(users[len(users)-1], ":/var/lib/boothd:/usr/sbin/nologin") {
		t.Errorf("the user is %s", users[len(users)-1])
	}
}

// Rules with a slip are ignored by udev in silence on a running box.
func TestRules(t *testing.T) {
	term := regexp.MustCompile(`^([A-Z_]+)(\{[A-Za-z_/]+\})?(==|!=|=|\+=|:=)"[^"]*"$`)
	match := []string{"ACTION", "KERNEL", "SUBSYSTEM", "DRIVER", "KERNELS", "SUBSYSTEMS", "DRIVERS", "ENV"}
	assign := []string{"ATTR", "ENV", "SYMLINK", "GROUP", "MODE"}
	for _, line := range lines(t, "61-boothd.rules") {
		matches, assigns := 0, 0
		for _, part := range strings.Split(line, ", ") {
			m := term.FindStringSubmatch(part)
			switch {
			case m == nil:
				t.Errorf("%q is no term, in\n%s", part, line)
			case strings.HasSuffix(m[3], "=="), m[3] == "!=":
				matches++
				if !slices.Contains(match, m[1]) {
					t.Errorf("%s cannot be matched, in\n%s", m[1], line)
				}
			default:
				assigns++
				if !slices.Contains(assign, m[1]) {
					t.Errorf("%s cannot be set, in\n%s", m[1], line)
				}
			}
		}
		if matches == 0 || assigns == 0 {
			t.Errorf("a rule needs a match and an assignment:\n%s", line)
		}
	}
}

// docs/install.md has udev look again at what is plugged in: that is a change,
// not an addition, and a rule for additions alone would wait for a replug.
func TestRulesReachWhatIsPluggedIn(t *testing.T) {
	for _, line := range lines(t, "61-boothd.rules") {
		if strings.Contains(line, `ACTION=="add"`) {
			t.Errorf("for new adapters alone:\n%s", line)
		}
	}
}

// A file that the technician is not told of will not be installed.
func TestInstallNamesEveryFile(t *testing.T) {
	doc, err := os.ReadFile("../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".go" && !bytes.Contains(doc, []byte("systemd/"+f.Name())) {
			t.Errorf("docs/install.md does not name systemd/%s", f.Name())
		}
	}
}
