package uplink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/renameio/v2"
)

// ConnFile counts CONNECTs in a file. The number is on disk before it is
// used, so that headquarters never sees one twice, power cut or not. A file
// that cannot be read as a number is an error and is left as it is: starting
// again at 1 would let an old will hide the booth.
func ConnFile(path string) func() (uint64, error) {
	return func() (uint64, error) {
		n, err := readCount(path)
		if err != nil {
			return 0, fmt.Errorf("reading connection counter %s: %w", path, err)
		}
		n++
		err = renameio.WriteFile(path, strconv.AppendUint(nil, n, 10), 0o600)
		if err == nil {
			err = syncFolder(filepath.Dir(path)) // else the old number may be back after a cut
		}
		if err != nil {
			return 0, fmt.Errorf("writing connection counter %s: %w", path, err)
		}
		return n, nil
	}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readCount(path string) (uint64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 63)
}
