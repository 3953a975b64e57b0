// Package programs builds our programs for tests that run them.
//
// They are in bin/test of the tree, the same for every package that asks: the go
// tool leaves alone what is as the sources are, so that the second package pays
// nothing for what the first has linked, and none ever meets an old program.
package programs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// Dir builds all of them, once in a process, and gives their folder.
var Dir = sync.OnceValues(func() (string, error) {
	top, err := top()
	if err != nil {
		return "", err
	}
	if err := look(top); err != nil {
		return "", err
	}
	dir := filepath.Join(top, "bin", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Packages are tested beside one another: one builds, the others wait for it.
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }() // which gives it back
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("%s: %w", lock.Name(), err)
	}
	cmd := exec.Command("go", "build", "-tags", "sqlite_omit_load_extension", "-o", dir+"/", "boothd/cmd/...", "boothd/docs/consumer")
	cmd.Dir = top
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return dir, nil
})

// top is the folder of go.mod, above that of the test.
func top() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above %s", dir)
		}
		dir = up
	}
}

// look looks at what the programs are built of: the go tool keeps the result of
// a test until something that the test has looked at changes, and programs that
// are built here would not count.
func look(top string) error {
	for _, name := range []string{"go.mod", "go.sum", "cmd", "agent", "devices", "buffer", "configs", filepath.Join("docs", "consumer")} {
		err := filepath.WalkDir(filepath.Join(top, name), func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			_, err = os.Stat(path)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
