package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boothd/configs"
)

// On a box where boothd has never run the unit has not yet made its folder:
// that is nothing to fix. Any other store that is missing is.
func TestStoreThatIsNotThere(t *testing.T) {
	for _, dir := range []string{"/var/lib/boothd", filepath.Join(t.TempDir(), "store")} {
		_, err := os.Stat(dir)
		missing := errors.Is(err, fs.ErrNotExist)
		k := check{cfg: &configs.Config{}, who: daemonUser()}
		k.cfg.Store.Dir = configs.Path(dir)
		k.store()
		made := missing && dir == "/var/lib/boothd"
		if f := k.found[0]; made != strings.Contains(f.Msg, "boothd.service makes it") || missing && (f.State == good) != made {
			t.Errorf("%s, missing %t, is %+v", dir, missing, f)
		}
	}
}
