package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"boothd/cmd/boothhq/internal/authority"
)

// progressEvery is how often a terminal is told how far work has come.
const progressEvery = 100 * time.Millisecond

// progress shows on a terminal how far a long work has come, and says how to
// clear that away. Elsewhere than on a terminal nothing is shown: a log wants
// lines.
func progress(w io.Writer) (tell authority.Progress, done func()) {
	f, ok := w.(*os.File)
	if !ok {
		return nil, func() {}
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil, func() {}
	}
	return overwrite(f)
}

// overwrite writes over one line of a terminal.
func overwrite(w io.Writer) (tell authority.Progress, done func()) {
	const clear = "\r\x1b[K"
	var last time.Time
	tell = func(file string, part float64) {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			fmt.Fprintf(w, "%s%s  %3.0f %%", clear, file, part*100)
		}
	}
	return tell, func() {
		if !last.IsZero() {
			fmt.Fprint(w, clear)
		}
	}
}
