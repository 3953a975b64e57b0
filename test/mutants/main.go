// Command mutants breaks the rules of the decision in many small ways, one at a
// time, and tells which of them the tests notice. It fails if they notice fewer
// than 95 of 100.
//
// rules.txt lists the mutants: a line "file: why", below it a line "- " with
// words that stand in that file of agent/passage once, and a line "+ " with
// what they become. No source is touched: the compiler sees the mutant by
// -overlay.
//
//	go run ./test/mutants       from the root of the repository
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

const (
	list = "test/mutants/rules.txt"
	room = "agent/passage"
	// least is how many of a hundred must be killed.
	least = 95
)

type mutant struct {
	line             int
	file, why        string
	original, change string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	mutants, err := read(list)
	if err != nil {
		return err
	}
	// The tests must pass on what is not mutated, or every mutant would die.
	if out, err := test(ctx, "", ""); err != nil {
		return fmt.Errorf("tests fail without a mutant: %w\n%s", err, out)
	}
	survived := make([]string, len(mutants))
	errs := make([]error, len(mutants))
	next := make(chan int)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := range next {
				survived[i], errs[i] = try(ctx, mutants[i])
			}
		})
	}
	for i := range mutants {
		next <- i
	}
	close(next)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	killed := 0
	for _, s := range survived {
		if s == "" {
			killed++
			continue
		}
		fmt.Println("survived:", s)
	}
	fmt.Printf("%d of %d mutants killed, %.1f %%\n", killed, len(mutants), 100*float64(killed)/float64(len(mutants)))
	if 100*killed < least*len(mutants) {
		return fmt.Errorf("fewer than %d %% killed", least)
	}
	return nil
}

// read takes the list; an error names the line.
func read(name string) (all []mutant, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(text), "\n") {
		var last *mutant
		if len(all) > 0 {
			last = &all[len(all)-1]
		}
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "- ") && last != nil:
			last.original = line[2:]
		case strings.HasPrefix(line, "+ ") && last != nil:
			last.change = line[2:]
		default:
			file, why, ok := strings.Cut(line, ": ")
			if !ok {
				return nil, fmt.Errorf("%s:%d: want \"file: why\"", name, i+1)
			}
			all = append(all, mutant{line: i + 1, file: file, why: why})
		}
	}
	for _, m := range all {
		if m.original == "" || m.change == "" || m.original == m.change {
			return nil, fmt.Errorf("%s:%d: no change", name, m.line)
		}
	}
	return all, nil
}

// try tells how the mutant is called if it survives, "" if it does not.
func try(ctx context.Context, m mutant) (survived string, err error) {
	path := filepath.Join(room, m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s:%d: %w", list, m.line, err)
	}
	if n := bytes.Count(source, []byte(m.original)); n != 1 {
		return "", fmt.Errorf("%s:%d: %q stands %d times in %s", list, m.line, m.original, n, m.file)
	}
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	changed := filepath.Join(dir, m.file)
	if err := os.WriteFile(changed, bytes.Replace(source, []byte(m.original), []byte(m.change), 1), 0o600); err != nil {
		return "", err
	}
	out, err := test(ctx, path, changed)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil:
		return fmt.Sprintf("%s: %s (%s:%d)", m.file, m.why, list, m.line), nil
	case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
		return "", fmt.Errorf("%s:%d: it does not compile:\n%s", list, m.line, out)
	}
	return "", nil
}

// test runs the package's tests with one file seen as another. The hundred
// thousand passages are left out: they kill the same mutants, later.
func test(ctx context.Context, path, changed string) ([]byte, error) {
	args := []string{"test", "-vet=off", "-failfast", "-skip", "AHundredThousand"}
	if path != "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		overlay, err := json.Marshal(map[string]map[string]string{"Replace": {abs: changed}})
		if err != nil {
			return nil, err
		}
		file := filepath.Join(filepath.Dir(changed), "overlay.json")
		if err := os.WriteFile(file, overlay, 0o600); err != nil {
			return nil, err
		}
		args = append(args, "-overlay", file)
	}
	return exec.CommandContext(ctx, "go", append(args, "./"+room)...).CombinedOutput()
}
