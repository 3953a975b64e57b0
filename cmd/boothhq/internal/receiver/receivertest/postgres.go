// Package receivertest starts the real servers that a fleet's headquarters
// stands on, for tests: PostgreSQL and nats-server, each in a folder of its own.
// A server ends with the test process, however that ends.
package receivertest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a running server. It listens on a socket in its folder and on
// nothing else, takes everybody at his word and syncs nothing: no test here cuts
// the power of it.
type Postgres struct {
	dir     string
	process *exec.Cmd
	n       int
}

// StartPostgres makes a server and starts it. PostgreSQL refuses to run as
// root; root lends it the name postgres.
func StartPostgres() (p *Postgres, err error) {
	p = new(Postgres)
	if p.dir, err = os.MkdirTemp("", "booth-pg-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(p.dir))
		}
	}()
	as, err := p.lend()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(p.dir, "data")
	initdb, err := command(as, "initdb", "-D", data, "-U", "boothhq", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	if err != nil {
		return nil, err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	p.process, err = command(as, "postgres", "-D", data, "-k", p.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=40", "-c", "shared_buffers=32MB")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.process.Stdout, p.process.Stderr = log, log
	if err := p.process.Start(); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return p, p.ready()
}

// lend gives the folder to whoever the server runs as.
func (p *Postgres) lend() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w; .ci/setup installs postgresql", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(p.dir, int(uid), int(gid))
}

// command finds a program of PostgreSQL; Debian keeps them off the path.
func command(as *syscall.Credential, name string, args ...string) (*exec.Cmd, error) {
	program, err := exec.LookPath(name)
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is good
		if len(found) == 0 {
			return nil, fmt.Errorf("%w; .ci/setup installs postgresql", err)
		}
		program = found[len(found)-1]
	}
	c := exec.Command(program, args...)
	c.Dir = "/"
	c.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT}
	return c, nil
}

// ready waits until the server answers.
func (p *Postgres) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, p.url("postgres"))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(p.dir, "log")) // what there is of it
			return errors.Join(fmt.Errorf("postgres does not answer: %w\n%s", err, log), p.Stop())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *Postgres) url(database string) string {
	return "postgres:///" + database + "?" + url.Values{"host": {p.dir}, "user": {"boothhq"}}.Encode()
}

// Database makes an empty database and gives its URL.
func (p *Postgres) Database(ctx context.Context) (string, error) {
	c, err := pgx.Connect(ctx, p.url("postgres"))
	if err != nil {
		return "", err
	}
	p.n++
	name := fmt.Sprintf("test%d", p.n)
	_, err = c.Exec(ctx, "CREATE DATABASE "+name)
	return p.url(name), errors.Join(err, c.Close(ctx))
}

// Copy makes a database as another is now, as a backup does, and gives its URL.
// Nobody may be connected to the other.
func (p *Postgres) Copy(ctx context.Context, database string) (string, error) {
	from, err := pgx.ParseConfig(database)
	if err != nil {
		return "", err
	}
	c, err := pgx.Connect(ctx, p.url("postgres"))
	if err != nil {
		return "", err
	}
	p.n++
	name := fmt.Sprintf("test%d", p.n)
	_, err = c.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+from.Database)
	return p.url(name), errors.Join(err, c.Close(ctx))
}

// Restart ends the server as a crash would and starts it again: every
// connection is gone, every commit is there.
func (p *Postgres) Restart() error {
	if err := p.process.Process.Signal(syscall.SIGQUIT); err != nil {
		return err
	}
	_ = p.process.Wait() // SIGQUIT is no success
	again := exec.Command(p.process.Path, p.process.Args[1:]...)
	again.Dir, again.Env, again.SysProcAttr = p.process.Dir, p.process.Env, p.process.SysProcAttr
	p.process = again
	if err := again.Start(); err != nil {
		return err
	}
	return p.ready()
}

// Stop ends the server and removes its folder.
func (p *Postgres) Stop() error {
	if err := p.process.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = p.process.Wait() // SIGQUIT is no success
	return os.RemoveAll(p.dir)
}
