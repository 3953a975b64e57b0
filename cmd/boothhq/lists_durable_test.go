package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the office is told to have done outlives a power cut: whatever is written
// is synced before it gets its name, and the name is synced after (lesson 81). A
// key that was replaced and not kept would stop the office.
func TestI6_TheOfficeForgetsNothing(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: run .ci/setup")
	}
	self, err := os.Executable() // which is boothhq by that name, see TestMain
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := filepath.Join(t.TempDir(), "boothhq"), t.TempDir()
	if err := os.Symlink(self, bin); err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("phrase", "correct horse battery staple\n")
	for _, sub := range []string{"csv", "web"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put("csv/members.csv", "member,status,programs,valid_from,valid_until\n980000017,ACTIVE,NEXUS,,2099-06-30\n")
	const phrase = " --passphrase-file phrase"
	for i, line := range []string{
		"lists init office" + phrase,
		"lists build --in csv --out built --token-key office/token.key",
		"lists publish office --lists built --to web" + phrase,
		"lists heartbeat office" + phrase,
		"lists rotate-key office timestamp --root-key office/keys/root-1.key --root-key office/keys/root-2.key" + phrase,
		"lists rotate-token-key office",
		"command keys desk --new duty-1" + phrase,
	} {
		trace := filepath.Join(dir, fmt.Sprintf("trace-%d", i))
		cmd := exec.Command(strace, append([]string{"-f", "-qq", "-y", "-s", "0", "-o", trace, "-e", "trace=openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2", bin}, strings.Fields(line)...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		calls, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		written := 0
		for name, what := range lost(string(calls), dir) {
			written++
			if what != "" {
				t.Errorf("%s: %s: %s", line, name, what)
			}
		}
		if written == 0 {
			t.Errorf("%s: nothing was written", line)
		}
	}
}

var (
	wrote   = regexp.MustCompile(`(?:write|pwrite64)\(\d+<([^>]+)>`)
	synced  = regexp.MustCompile(`(?:fsync|fdatasync)\(\d+<([^>]+)>`)
	renamed = regexp.MustCompile(`rename(?:at2?)?\((?:AT_FDCWD(?:<[^>]*>)?, )?"([^"]+)", (?:AT_FDCWD(?:<[^>]*>)?, )?"([^"]+)"`)
	made    = regexp.MustCompile(`openat\([^"]*"[^"]+", [A-Z_|]*O_CREAT[^=]*= \d+<([^>]+)>`)
)

// lost tells of each file or folder under dir what a power cut could take of it
// after these calls; "" if nothing.
func lost(calls, dir string) map[string]string {
	out := map[string]string{}
	abs := func(name string) string {
		if filepath.IsAbs(name) {
			return filepath.Clean(name)
		}
		return filepath.Join(dir, name)
	}
	for line := range strings.Lines(calls) {
		if m := made.FindStringSubmatch(line); m != nil && strings.HasPrefix(m[1], dir) {
			out[m[1]] = "its name is not synced"
		}
		if m := wrote.FindStringSubmatch(line); m != nil && strings.HasPrefix(m[1], dir) {
			out[m[1]] = "its bytes are not synced"
		}
		if m := synced.FindStringSubmatch(line); m != nil {
			for name, what := range out {
				switch {
				case name == m[1] && what == "its bytes are not synced":
					out[name] = "its name is not synced"
				case filepath.Dir(name) == m[1] && what == "its name is not synced":
					out[name] = ""
				}
			}
		}
		if m := renamed.FindStringSubmatch(line); m != nil {
			from, to := abs(m[1]), abs(m[2])
			what := out[from]
			if what == "" {
				what = "its name is not synced"
			}
			delete(out, from)
			for name, was := range out { // of a folder
				if rest, in := strings.CutPrefix(name, from+"/"); in {
					delete(out, name)
					out[filepath.Join(to, rest)] = was
				}
			}
			out[to] = what
		}
	}
	return out
}
