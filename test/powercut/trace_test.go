package powercut

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// op is one thing that a program asked of the kernel and got, in the order in
// which the kernel said so.
type op struct {
	kind string // create, write, truncate, sync, syncdir, rename, unlink, mkdir, say
	path string // below the traced folder
	to   string // of a rename
	at   int64  // of a write; the length of a truncate
	data []byte // of a write, or what was said
}

func (o op) String() string {
	switch o.kind {
	case "write":
		return fmt.Sprintf("write %s %d+%d", o.path, o.at, len(o.data))
	case "rename":
		return fmt.Sprintf("rename %s %s", o.path, o.to)
	case "say":
		return fmt.Sprintf("say %s", o.data)
	}
	return o.kind + " " + o.path
}

// calls are what changes a disk, or tells where the next write goes.
const calls = "openat,write,pwrite64,writev,pwritev,lseek,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,mkdirat,mkdir,close,copy_file_range,link,linkat,dup,dup3,fcntl"

// trace runs a part of this test (see parts) in a folder and gives what it did there.
func trace(t *testing.T, part, dir string) []op {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-y", "-xx", "-s", "4194304", "-e", "trace="+calls, "-e", "signal=none", "-o", log, self)
	cmd.Env = append(os.Environ(), partEnv+"="+part, dirEnv+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", part, err, out)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := &reader{t: t, dir: dir, half: map[string]string{}, at: map[string]int64{}, appending: map[string]bool{}, size: map[string]int64{}}
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, 1<<20), 64<<20)
	for in.Scan() {
		r.line(in.Text())
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return r.ops
}

// reader makes operations of what strace says. A call that another one
// interrupts in the log counts where it ends: what is not known to be done by
// then is not done.
type reader struct {
	t         *testing.T
	dir       string
	ops       []op
	half      map[string]string // begun, by thread
	at        map[string]int64  // where the next write goes, by descriptor
	appending map[string]bool   // by descriptor
	size      map[string]int64  // of files written by descriptor, for appending
}

func (r *reader) line(s string) {
	pid, call, ok := strings.Cut(s, " ")
	if !ok {
		return
	}
	call = strings.TrimLeft(call, " ")
	if begun, unfinished := strings.CutSuffix(call, " <unfinished ...>"); unfinished {
		r.half[pid] = begun
		return
	}
	if rest, resumed := strings.CutPrefix(call, "<... "); resumed {
		_, rest, _ = strings.Cut(rest, " resumed>")
		call = r.half[pid] + rest
		delete(r.half, pid)
	}
	name, rest, ok := strings.Cut(call, "(")
	i := strings.LastIndex(rest, " = ") // strace fills up with blanks before it
	if !ok || i < 0 {
		return // an exit
	}
	inner, closed := strings.CutSuffix(strings.TrimRight(rest[:i], " "), ")")
	if !closed {
		r.t.Fatalf("strace says what the rig does not understand: %.200s", call)
	}
	args, result := split(inner), strings.TrimSpace(rest[i+3:])
	if strings.HasPrefix(result, "-1 ") || strings.HasPrefix(result, "?") {
		return // nothing was done
	}
	r.call(name, args, result)
}

// split cuts arguments at commas outside of strings and names of descriptors.
func split(s string) (args []string) {
	depth, quoted, start := 0, false, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			quoted = !quoted
		case '<', '{', '[':
			if !quoted {
				depth++
			}
		case '>', '}', ']':
			if !quoted {
				depth--
			}
		case ',':
			if !quoted && depth == 0 {
				args = append(args, strings.TrimSpace(s[start:i]))
				start = i + 1
			}
		}
	}
	return append(args, strings.TrimSpace(s[start:]))
}

// fd takes 7</a/b> apart. The path is below the folder; in tells whether it is.
func (r *reader) fd(s string) (number, path string, in bool) {
	number, rest, _ := strings.Cut(s, "<")
	path = unescape(strings.TrimSuffix(rest, ">")) // "/a/b (deleted)" is no file that has a name
	rel, ok := strings.CutPrefix(path, r.dir)
	return number, strings.TrimPrefix(rel, "/"), ok
}

// text reads a string as strace -xx writes it.
func text(s string) []byte {
	s = strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	out := make([]byte, 0, len(s)/4)
	for i := 0; i+4 <= len(s); i += 4 {
		b, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
		if err != nil {
			return nil
		}
		out = append(out, byte(b))
	}
	return out
}

// unescape reads a path, of which strace writes some bytes as \x..
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var out []byte
	for i := 0; i < len(s); {
		if strings.HasPrefix(s[i:], `\x`) && i+4 <= len(s) {
			if b, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				out = append(out, byte(b))
				i += 4
				continue
			}
		}
		out = append(out, s[i])
		i++
	}
	return string(out)
}

// named is a path argument, relative to a folder's descriptor or not.
func (r *reader) named(folder, name string) (string, bool) {
	p := string(text(name))
	if !filepath.IsAbs(p) {
		_, base, _ := r.fd(folder)
		p = filepath.Join(r.dir, base, p)
	}
	rel, ok := strings.CutPrefix(p, r.dir)
	return strings.TrimPrefix(rel, "/"), ok
}

func number(s string) int64 {
	if i := strings.IndexAny(s, " <"); i >= 0 {
		s = s[:i]
	}
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func (r *reader) add(o op) {
	if strings.HasSuffix(o.path, "-shm") {
		return // shared memory: rebuilt at every opening
	}
	r.ops = append(r.ops, o)
}

func (r *reader) call(name string, args []string, result string) {
	switch name {
	case "openat":
		n, path, in := r.fd(result)
		if !in {
			return
		}
		r.at[n], r.appending[n] = 0, strings.Contains(args[2], "O_APPEND")
		if strings.Contains(args[2], "O_CREAT") {
			r.add(op{kind: "create", path: path})
		}
		if strings.Contains(args[2], "O_TRUNC") {
			r.add(op{kind: "truncate", path: path})
		}
	case "write":
		n, path, in := r.fd(args[0])
		data := text(args[1])
		if n == "1" {
			r.add(op{kind: "say", data: bytes.TrimSpace(data)})
		}
		if !in {
			return
		}
		done := number(result)
		at := r.at[n]
		if r.appending[n] {
			at = r.size[path]
		}
		r.write(path, at, data[:done])
		r.at[n] = at + done
	case "pwrite64":
		if _, path, in := r.fd(args[0]); in {
			r.write(path, number(args[3]), text(args[1])[:number(result)])
		}
	case "lseek":
		if n, _, in := r.fd(args[0]); in {
			r.at[n] = number(result)
		}
	case "ftruncate":
		if _, path, in := r.fd(args[0]); in {
			r.size[path] = number(args[1])
			r.add(op{kind: "truncate", path: path, at: number(args[1])})
		}
	case "fallocate": // as if a truncation made the file longer: what is added reads as zeros
		if _, path, in := r.fd(args[0]); in {
			if size := number(args[2]) + number(args[3]); size > r.size[path] {
				r.size[path] = size
				r.add(op{kind: "truncate", path: path, at: size})
			}
		}
	case "fsync", "fdatasync":
		if _, path, in := r.fd(args[0]); in {
			if info, err := os.Stat(filepath.Join(r.dir, path)); path == "" || err == nil && info.IsDir() {
				r.add(op{kind: "syncdir", path: path})
			} else {
				r.add(op{kind: "sync", path: path})
			}
		}
	case "rename":
		r.rename("", args[0], "", args[1])
	case "renameat", "renameat2":
		r.rename(args[0], args[1], args[2], args[3])
	case "unlink":
		if path, in := r.named("", args[0]); in {
			r.add(op{kind: "unlink", path: path})
		}
	case "unlinkat":
		if path, in := r.named(args[0], args[1]); in {
			r.add(op{kind: "unlink", path: path})
		}
	case "mkdirat":
		if path, in := r.named(args[0], args[1]); in {
			r.add(op{kind: "mkdir", path: path})
		}
	case "writev", "pwritev", "truncate", "copy_file_range", "link", "linkat", "mkdir", "sync_file_range":
		for _, a := range args {
			if strings.Contains(unescape(a), r.dir) {
				r.t.Fatalf("the rig does not know %s(%.200s)", name, strings.Join(args, ", "))
			}
		}
	}
}

func (r *reader) write(path string, at int64, data []byte) {
	r.size[path] = max(r.size[path], at+int64(len(data)))
	r.add(op{kind: "write", path: path, at: at, data: data})
}

func (r *reader) rename(fromDir, from, toDir, to string) {
	a, in := r.named(fromDir, from)
	b, into := r.named(toDir, to)
	if in && into {
		r.size[b] = r.size[a]
		r.add(op{kind: "rename", path: a, to: b})
	}
}
