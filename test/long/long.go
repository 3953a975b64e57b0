// Package long tells tests how much of their time they may take: nothing
// beside what must be seen, the full run ("make test-long"), or so many times
// that ("make soak").
package long

import (
	"os"
	"strconv"
)

// Times is how many full runs a test is worth; 0 stands for the quick one.
// BOOTHD_LONG says it, and what is no number there is one run.
func Times() int {
	n, err := strconv.Atoi(os.Getenv("BOOTHD_LONG"))
	if err != nil && os.Getenv("BOOTHD_LONG") != "" {
		return 1
	}
	return max(n, 0)
}
