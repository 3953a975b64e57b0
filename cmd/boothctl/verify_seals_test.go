package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boothd/agent/contract"
	"boothd/buffer/journal"
)

// signingKey is a booth's key that is the same in every run.
func signingKey(t testing.TB, seed byte) *contract.SigningKey {
	t.Helper()
	k, err := contract.NewSigningKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// publicFile writes the public key as a technician has it.
func publicFile(t testing.TB, k *contract.SigningKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	path := filepath.Join(t.TempDir(), "booth.pub")
	if err == nil {
		err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// signedJournal writes n ordinary events with a checkpoint after every many.
func signedJournal(t testing.TB, n, many int, key *contract.SigningKey, edit func(*contract.CheckpointBody)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal.db")
	j, _, err := journal.Open(t.Context(), journal.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{j: j, at: morning}
	for i := 1; i <= n; i++ {
		r.put(contract.Stopped{Reason: "signal"})
		if many > 0 && i%many == 0 {
			r.put(checkpointOf(t, j, j.Last(), key, edit))
		}
	}
	r.keep(j.Close())
	if r.err != nil {
		t.Fatal(r.err)
	}
	return path
}

func checkpointOf(t testing.TB, j *journal.Journal, seq uint64, key *contract.SigningKey, edit func(*contract.CheckpointBody)) contract.Checkpoint {
	t.Helper()
	body := contract.CheckpointBody{Booth: "pac-hwy-nexus-03", Epoch: j.Epoch(), Seq: seq, At: morning}
	for row, err := range j.Range(t.Context(), seq, seq) {
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(row.Body)
		body.Head = hex.EncodeToString(sum[:])
	}
	if edit != nil {
		edit(&body)
	}
	payload, err := contract.EncodeCheckpoint(body)
	if err != nil {
		t.Fatal(err)
	}
	e, err := key.Seal(contract.PayloadCheckpoint, payload)
	if err != nil {
		t.Fatal(err)
	}
	return contract.Checkpoint{Seq: body.Seq, Head: body.Head, Seal: e}
}

// forge changes one event on the disk, and then everything behind it that needs
// no key: the chain, and what checkpoints say in the clear.
func forge(t testing.TB, path string, seq int, old, fresh string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	type row struct {
		seq        int
		prev, body []byte
	}
	var rows []row
	found, err := db.QueryContext(t.Context(), "SELECT seq, prev, body FROM event ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	for found.Next() {
		var r row
		if err := found.Scan(&r.seq, &r.prev, &r.body); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	tx, err := db.BeginTx(t.Context(), nil) // one sync for all of it
	if err != nil {
		t.Fatal(err)
	}
	was, is := make(map[int]string), make(map[int]string) // hashes
	for i, r := range rows {
		was[r.seq] = hash(r.body)
		body := string(r.body)
		if i > 0 {
			sum := sha256.Sum256(rows[i-1].body)
			body = strings.Replace(body, `"boothprev":"`+base64.RawURLEncoding.EncodeToString(r.prev), `"boothprev":"`+base64.RawURLEncoding.EncodeToString(sum[:16]), 1)
			rows[i].prev = sum[:16]
		}
		for n, h := range was {
			if !strings.Contains(body, `"head":"`) {
				break // no checkpoint
			}
			body = strings.ReplaceAll(body, `"head":"`+h, `"head":"`+is[n])
		}
		if r.seq == seq {
			if !strings.Contains(body, old) {
				t.Fatalf("no %q in event %d: %s", old, seq, body)
			}
			body = strings.Replace(body, old, fresh, 1)
		}
		rows[i].body = []byte(body)
		is[r.seq] = hash(rows[i].body)
		if _, err := tx.ExecContext(t.Context(), "UPDATE event SET prev = ?, body = ? WHERE seq = ?", rows[i].prev, rows[i].body, r.seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// copied is a journal that may be forged without another's harm.
func copied(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// check runs verify and gives its finding and what it said.
func verifyOf(t testing.TB, args ...string) (v verified, code int, said string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(append([]string{"verify", "--json"}, args...), &out, &errs)
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatalf("verify %v: %v: %s%s", args, err, &out, &errs)
	}
	return v, code, errs.String()
}

// A journal as it was written: what stands on checkpoints is counted.
func TestVerifyCountsWhatIsSigned(t *testing.T) {
	key := signingKey(t, 1)
	path := signedJournal(t, 700, 256, key, nil)
	v, code, said := verifyOf(t, "--journal", path, "--key", publicFile(t, key))
	if code != 0 || !v.OK || v.Rows != 702 || v.Checkpoints != 2 || v.Signed != 513 || v.SignedUpto != 513 || len(v.Keys) != 1 {
		t.Errorf("exit %d, %+v\n%s", code, v, said)
	}
	v, code, _ = verifyOf(t, "--journal", path)
	if code != 0 || !v.OK || v.Checkpoints != 2 || v.Signed != 0 || len(v.Keys) != 0 {
		t.Errorf("without a key: exit %d, %+v", code, v)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"verify", "--journal", path}, &out, &errs); code != 0 || !strings.Contains(out.String(), "signatures of 2 checkpoints were not checked") {
		t.Errorf("exit %d, %s%s", code, &out, &errs)
	}
	out.Reset()
	if code := run([]string{"verify", "--journal", path, "--key", publicFile(t, key)}, &out, &errs); code != 0 || !strings.Contains(out.String(), "✓ 513 of them stand on 2 checkpoints that the booth has signed, up to event 513") {
		t.Errorf("exit %d, %s%s", code, &out, &errs)
	}
	// A part of it, whose end is no end.
	v, code, said = verifyOf(t, "--journal", path, "--key", publicFile(t, key), "300", "600")
	if code != 0 || v.Checkpoints != 1 || v.Signed != 513-300+1 {
		t.Errorf("300 to 600: exit %d, %+v\n%s", code, v, said)
	}
}

// Who has the disk and not the key can mend the chain, but not the signature:
// the change is told, with where it must be.
func TestVerifyTellsAForgedEvent(t *testing.T) {
	key := signingKey(t, 1)
	pub := publicFile(t, key)
	whole := signedJournal(t, 600, 256, key, nil)
	for _, tt := range []struct {
		seq  int
		want string
	}{
		{1, "among events 1 to 256 one was changed after the checkpoint in event 257"},
		{256, "among events 1 to 256 one was changed after the checkpoint in event 257"},
		{400, "among events 257 to 513 one was changed after the checkpoint in event 514"},
		{513, "among events 257 to 513 one was changed after the checkpoint in event 514"},
	} {
		path := copied(t, whole)
		forge(t, path, tt.seq, `"signal"`, `"reload"`)
		if v, code, said := verifyOf(t, "--journal", path); code != 0 {
			t.Errorf("event %d: the forger did not mend the chain: exit %d, %+v %s", tt.seq, code, v, said)
		}
		v, code, said := verifyOf(t, "--journal", path, "--key", pub)
		if code == 0 || v.OK || !strings.Contains(v.Fault, tt.want) {
			t.Errorf("event %d: exit %d, %q, want %q\n%s", tt.seq, code, v.Fault, tt.want, said)
		}
	}
	// Behind the last checkpoint nothing can be told yet.
	path := copied(t, whole)
	forge(t, path, 600, `"signal"`, `"reload"`)
	if v, code, _ := verifyOf(t, "--journal", path, "--key", pub); code != 0 || v.SignedUpto != 513 {
		t.Errorf("exit %d, %+v", code, v)
	}
}

func TestVerifyRefusesWhatIsNotTheBooths(t *testing.T) {
	key := signingKey(t, 1)
	pub := publicFile(t, key)
	for _, tt := range []struct {
		name string
		path string
		want string
	}{
		{"another key", signedJournal(t, 10, 5, signingKey(t, 2), nil), "the checkpoint in event 6 is not signed by a trusted key"},
		{"no checkpoint", signedJournal(t, 10, 0, key, nil), "no event is signed"},
		{"another booth", signedJournal(t, 10, 5, key, func(c *contract.CheckpointBody) { c.Booth = "pac-hwy-nexus-04" }), "of booth pac-hwy-nexus-04"},
		{"another journal", signedJournal(t, 10, 5, key, func(c *contract.CheckpointBody) { c.Epoch = "01931e00-0000-7000-8000-000000000001" }), "is of journal 01931e00-"},
		{"of an event to come", signedJournal(t, 10, 5, key, func(c *contract.CheckpointBody) { c.Seq += 5 }), "the checkpoint in event 6 is of event 10"},
		{"nothing signed for long", signedJournal(t, 600, 50, key, nil), ""},
	} {
		v, code, said := verifyOf(t, "--journal", tt.path, "--key", pub)
		if (code == 0) != (tt.want == "") || !strings.Contains(v.Fault, tt.want) {
			t.Errorf("%s: exit %d, %q, want %q\n%s", tt.name, code, v.Fault, tt.want, said)
		}
	}
	// The booth lost its key after five events.
	path := signedJournal(t, 5, 5, key, nil)
	j, _, err := journal.Open(t.Context(), journal.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{j: j, at: morning}
	for range unsignedMost + 1 {
		r.put(contract.Stopped{Reason: "signal"})
	}
	r.keep(j.Close())
	if r.err != nil {
		t.Fatal(r.err)
	}
	if v, code, _ := verifyOf(t, "--journal", path, "--key", pub); code == 0 || !strings.Contains(v.Fault, "events 6 to 519 are not signed") {
		t.Errorf("exit %d, %q", code, v.Fault)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"verify", "--journal", path, "--key", path}, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "openssl pkey") {
		t.Errorf("a key file that is none: exit %d, %s", code, &errs)
	}
}

// A checkpoint vouches through the chain, and the chain ends at a gap.
func TestSealsStopAtAGap(t *testing.T) {
	s := newSeals(nil, nil, "", journal.Verified{Rows: 70, First: 11, Last: 100, Gaps: [][2]uint64{{21, 30}, {51, 60}}})
	for _, tt := range []struct{ seq, since, signed uint64 }{{15, 11, 5}, {45, 31, 5 + 15}, {50, 46, 5 + 20}, {25, 25, 5 + 20}, {100, 61, 5 + 20 + 40}, {101, 101, 65}} {
		if got := s.since(tt.seq); got != tt.since {
			t.Errorf("since(%d) = %d, want %d", tt.seq, got, tt.since)
		}
		if i := s.run(tt.seq); i >= 0 {
			s.upto[i] = max(s.upto[i], tt.seq)
		}
		s.good = tt.seq
		if got := s.signed(); got != tt.signed {
			t.Errorf("after %d: %d signed, want %d", tt.seq, got, tt.signed)
		}
	}
}
