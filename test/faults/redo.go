package faults

import (
	"os"
	"path/filepath"

	"boothd/buffer/journal"
)

// ask is what a rig makes of a call that Go makes.
func ask(c Call) Answer {
	disks.mu.Lock()
	defer disks.mu.Unlock()
	rig := disks.rigs[filepath.Dir(c.Path)]
	if c.Kind == OpenDir || c.Folder {
		rig = disks.rigs[c.Path]
	}
	if rig == nil {
		return Answer{}
	}
	return rig(c)
}

// OpenLog is the journal's own way to open its redo log, call by call past the rig.
func OpenLog(path string, size int64) (journal.Log, error) {
	fi, err := os.Lstat(path)
	missing := err != nil
	if a := ask(Call{Kind: Open, Path: path, Creates: true}); a.Err != 0 {
		return nil, a.Err
	}
	if missing {
		if err := os.WriteFile(path, nil, 0o600); err != nil { // as it is if the rest fails
			return nil, err
		}
	}
	if missing || fi.Size() < size {
		if a := ask(Call{Kind: Truncate, Path: path, N: size}); a.Err != 0 {
			return nil, a.Err
		}
	}
	dir := filepath.Dir(path)
	for _, c := range []Call{{Kind: Sync, Path: path}, {Kind: OpenDir, Path: dir}, {Kind: Sync, Path: dir, Folder: true}} {
		if a := ask(c); a.Err != 0 {
			return nil, a.Err
		}
	}
	f, err := journal.OpenLog(path, size)
	return log{f, path}, err
}

// log is a redo log below which the rig sits.
type log struct {
	journal.Log
	path string
}

func (l log) ReadAt(b []byte, off int64) (int, error) {
	return pieces(b, func(part []byte, done int) (int, error) {
		a := ask(Call{Kind: Read, Path: l.path, Off: off + int64(done), N: int64(len(part))})
		if a.Err != 0 {
			return 0, a.Err
		}
		return l.Log.ReadAt(a.part(part), off+int64(done))
	})
}

func (l log) WriteAt(b []byte, off int64) (int, error) {
	return pieces(b, func(part []byte, done int) (int, error) {
		a := ask(Call{Kind: Write, Path: l.path, Off: off + int64(done), N: int64(len(part)), Data: part})
		if a.Err != 0 {
			return 0, a.Err
		}
		return l.Log.WriteAt(a.part(part), off+int64(done))
	})
}

func (l log) Sync() error {
	if a := ask(Call{Kind: Sync, Path: l.path}); a.Err != 0 {
		return a.Err
	}
	return l.Log.Sync()
}

// part is what an answer lets through.
func (a Answer) part(b []byte) []byte {
	if a.Short > 0 && a.Short < int64(len(b)) {
		return b[:a.Short]
	}
	return b
}

// pieces goes on after a short transfer, as package os does.
func pieces(b []byte, move func(part []byte, done int) (int, error)) (done int, err error) {
	for done < len(b) {
		n, err := move(b[done:], done)
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}
