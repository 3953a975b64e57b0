package uplink_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"boothd/agent/uplink"
)

// connEnv has this test be the booth that counts in a file.
const connEnv = "BOOTHD_TEST_CONN"

// A number that was used is not given again after a power cut: the file and then
// its name are synced before it is told.
func TestI4_ConnectionsAreCountedOverAPowerCut(t *testing.T) {
	if path := os.Getenv(connEnv); path != "" {
		if n, err := uplink.ConnFile(path)(); err != nil || n != 8 {
			t.Errorf("%d, %v", n, err)
		}
		return
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path, trace := filepath.Join(dir, "conn"), filepath.Join(t.TempDir(), "trace")
	if err := os.WriteFile(path, []byte("7"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-qq", "-y", "-o", trace, "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), connEnv+"="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for line := range strings.Lines(string(calls)) {
		for what, call := range map[string]string{"file": `sync\(\d+<[^>]*/\.conn\d+>`, "name": `rename\w*\(.*"` + path + `"`, "folder": `sync\(\d+<` + dir + `>`} {
			if regexp.MustCompile(call).MatchString(line) {
				order = append(order, what)
			}
		}
	}
	if got := strings.Join(order, " "); got != "file name folder" {
		t.Errorf("synced and named were %q\n%s", got, calls)
	}
}
