package authority

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/agent/passage"
	"boothd/agent/token"
	"boothd/buffer/eligibility"
)

const phrase = "correct horse battery staple"

// at is the office at a time, with what the verbs default to.
func at(dir string, now time.Time) *Office {
	return &Office{Dir: dir, Phrase: []byte(phrase), Now: now, Valid: 30 * 24 * time.Hour, Timestamp: time.Hour}
}

func mustPublish(t *testing.T, dir, built string, force ...string) string {
	t.Helper()
	now, err := at(dir, time.Now()).Publish(built, force)
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	return fmt.Sprint(now)
}

func mustBuild(t *testing.T, in, out, dir string) {
	t.Helper()
	if _, err := Build(in, out, filepath.Join(dir, "token.key"), nil); err != nil {
		t.Fatalf("Build: %v", err)
	}
}

func put(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, s := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var goodCSV = map[string]string{
	"members.csv": "member,status,programs,valid_from,valid_until\n" +
		"980000017,ACTIVE,NEXUS,2022-01-01,2099-06-30\n" +
		"980000018,REVOKED,NEXUS SENTRI,,\n",
	"cards.csv": "epc,status,member,card_until,extended,tid\n" +
		"E28011700000020AB7F0D581,ISSUED,980000017,2027-06-30,yes,E280117020001234\n" +
		"E28011700000020AB7F0D582,LOST,980000018,,,\n",
	"vehicles.csv": "member,plate,jurisdiction\n980000017,ABC 123,ON\n980000017,XYZ-987,NY\n",
	"lookouts.csv": "id,version,subject_type,subject,jurisdiction,action,reason_code,caveat,agency,region,officer_safety,valid_from,valid_until\n" +
		"L-1,1,PLATE,BOB 0150,BC,OBSERVE,VEHICLE,,CBSA,Pacific,no,2026-07-01,2026-08-01\n" +
		"L-2,1,PLATE,BOB 0150,,STOP,VEHICLE,,RCMP,Pacific,yes,2026-07-01,2026-08-01\n" +
		"L-3,4,CARD,E28011700000020AB7F0D582,,REFER,DOCUMENT,,CBSA,,no,2026-07-01,2026-08-01\n",
}

// newOffice makes an authority and built lists.
func newOffice(t *testing.T) (dir, built string) {
	t.Helper()
	top := t.TempDir()
	dir, built = filepath.Join(top, "hq"), filepath.Join(top, "built")
	if err := Init(dir, []byte(phrase), time.Now().AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	mustBuild(t, put(t, filepath.Join(top, "csv"), goodCSV), built, dir)
	return dir, built
}

type booth struct {
	*lists.Trust
	store *eligibility.Store
	key   *token.Key
	has   []string // ids of token keys; nil: not asked
}

func (b *booth) only(ids ...string) { b.has = ids }

func newBooth(t *testing.T, dir string) *booth {
	t.Helper()
	root, err := os.ReadFile(filepath.Join(dir, "root.json"))
	if err != nil {
		t.Fatal(err)
	}
	credential, err := os.ReadFile(filepath.Join(dir, "token.key"))
	if err != nil {
		t.Fatal(err)
	}
	b := &booth{}
	if b.key, err = token.ParseKey(credential); err != nil {
		t.Fatal(err)
	}
	if b.store, err = eligibility.Open(context.Background(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.store.Close() })
	b.Trust, err = lists.Open(lists.Config{Dir: t.TempDir(), Root: root, Kinds: contract.ListKinds(), Store: b.store,
		TokenKeys: func() []string { return b.has }})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *booth) value(t *testing.T, kind string, tok passage.Token) []byte {
	t.Helper()
	key, err := contract.TokenBytes(tok)
	if err != nil {
		t.Fatal(err)
	}
	v, ok, err := b.store.Lookup(kind, key)
	if err != nil || !ok {
		t.Fatalf("Lookup in %s: %v, %v", kind, ok, err)
	}
	return v
}

func TestListsFromCSVToALookUpInTheBooth(t *testing.T) {
	dir, built := newOffice(t)
	if out := mustPublish(t, dir, built); !strings.Contains(out, "{cards 1 2 ") || strings.Count(out, "true") != 4 {
		t.Errorf("published %s", out)
	}
	b := newBooth(t, dir)
	repo := os.DirFS(filepath.Join(dir, "repository"))
	if res, err := b.Take(t.Context(), repo, time.Now()); err != nil || len(res.Applied) != 4 {
		t.Fatalf("Take = %+v, %v", res, err)
	}

	card, err := contract.ParseCardRow(b.value(t, contract.ListCards, b.key.Card("e28011700000020ab7f0d581")))
	want := contract.CardRow{Status: passage.Issued, Member: b.key.Membership("980000017"), Extended: true,
		CardUntil: time.Date(2027, 6, 30, 23, 59, 59, 0, time.UTC), TID: b.key.TID("E280117020001234")}
	if err != nil || card != want {
		t.Errorf("card = %+v, %v, want %+v", card, err, want)
	}
	member, err := contract.ParseMemberRow(b.value(t, contract.ListMembers, b.key.Membership("98-0000018")))
	if err != nil || member.Status != passage.Revoked || fmt.Sprint(member.Programs) != "[NEXUS SENTRI]" || !member.ValidUntil.IsZero() {
		t.Errorf("member = %+v, %v", member, err)
	}
	cars, err := contract.ParseVehicleRow(b.value(t, contract.ListVehicles, card.Member))
	on, qc := b.key.Plate("abc123", "ON", 1), b.key.Plate("abc123", "QC", 1)
	if err != nil || !cars.Linked(on.Full, on.Bare) || cars.Linked(qc.Full, qc.Bare) {
		t.Errorf("vehicles = %+v, %v", cars, err)
	}

	plate := b.key.Plate("BOB0150", "BC", 1)
	for _, tt := range []struct {
		name string
		tok  passage.Token
		want string
	}{
		{"with jurisdiction", plate.Full, "L-1 exact"},
		{"without", plate.Bare, "L-1 possible, L-2 exact"},
		{"misread as 8OB O15O", b.key.Plate("8OBO15O", "", 1).Fold, "L-1 possible, L-2 possible"},
		{"card", b.key.Card("E28011700000020AB7F0D582"), "L-3 exact"},
	} {
		row, err := contract.ParseLookoutRow(b.value(t, contract.ListLookouts, tt.tok))
		var got []string
		for _, l := range row.Lookouts {
			got = append(got, l.ID+map[bool]string{false: " exact", true: " possible"}[l.Hit().Possible])
		}
		if err != nil || strings.Join(got, ", ") != tt.want {
			t.Errorf("lookouts %s: %v, %v, want %s", tt.name, got, err, tt.want)
		}
	}

	// A heartbeat is new; publishing the same again changes no generation.
	if n, err := at(dir, time.Now()).Heartbeat(); err != nil || n != 2 {
		t.Errorf("Heartbeat = %d, %v, want timestamp 2", n, err)
	}
	if res, err := b.Take(t.Context(), repo, time.Now()); err != nil || !res.Fresh || len(res.Applied) > 0 || len(res.Verified) != 4 {
		t.Errorf("heartbeat: %+v, %v", res, err)
	}
	if out := mustPublish(t, dir, built); !strings.Contains(out, "{cards 1 2 ") || strings.Contains(out, "true") {
		t.Errorf("published again %s", out)
	}
	if _, err := b.Take(t.Context(), repo, time.Now()); err != nil {
		t.Error(err)
	}
}

// I7: the numbers of the CSV are nowhere in what is published or kept.
func TestI7_NoIdentifierLeavesTheOffice(t *testing.T) {
	dir, built := newOffice(t)
	mustPublish(t, dir, built)
	for _, top := range []string{built, dir} {
		err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			for _, raw := range []string{"E28011700000020AB7F0D58", "980000017", "ABC123", "ABC 123", "BOB0150", "BOB 0150", "E280117020001234"} {
				if bytes.Contains(bytes.ToUpper(b), []byte(raw)) {
					t.Errorf("%s holds %s", path, raw)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestBuildTellsEveryBadRowAndBuildsNothing(t *testing.T) {
	top := t.TempDir()
	in := put(t, filepath.Join(top, "csv"), map[string]string{
		"members.csv": "member,status,programs,valid_from,valid_until\n980000017,ACTIVE,NEXUS,,\n980000017,ACTIVE,NEXUS,,\n,ACTIVE,NEXUS,,\n" +
			"980000019,active,NEXSU,2026-13-01,soon\n980000020,ACTIVE,,,\n",
		"cards.csv": "epc,status,member,card_until,extended,tid\nE28011700000020AB7F0D581,ISSUED,980000017,,maybe,\n" +
			"E2801170000002ZZ,ISSUED,980000017,,,\nE28,LOST,980000017,,,\nE28011700000020AB7F0D583,LOST,123456789,,,\nE280,LOST\n" +
			"E28011700000020AB7F0D584,LOST,980000017,,,not hex\n",
		"vehicles.csv": "member,plate,jurisdiction\n980000017,ABC123,\n980000017,---,ON\n",
		"lookouts.csv": "id,version,subject_type,subject,jurisdiction,action,reason_code,caveat,agency,region,officer_safety,valid_from,valid_until\n" +
			"L-1,0,PLATE,ABC123,ontario,WAVE,X,,CBSA,,no,2026-07-01,2026-08-01\n" +
			"L-2,1,PLATE,ABC123,ON,STOP,X,,CBSA,,no,2026-07-01,2027-08-01\n",
	})
	key := filepath.Join(put(t, top, map[string]string{"key": strings.Repeat("a1", 32)}), "key")
	out := filepath.Join(top, "built")
	_, err := Build(in, out, key, nil)
	if err == nil {
		t.Fatal("bad rows were built")
	}
	want := `members.csv:3: member is in row 2 too
members.csv:4: member is missing or not an identifier of its kind
members.csv:5: status is none of ACTIVE, PENDING, REVOKED, SUSPENDED
members.csv:5: programs has one that is none of NEXUS, FAST, CDRP, SENTRI, GLOBAL_ENTRY
members.csv:5: valid_from is no date such as 2027-06-30 and no time such as 2027-06-30T04:00:00Z
members.csv:5: valid_until is no date such as 2027-06-30 and no time such as 2027-06-30T04:00:00Z
members.csv:6: programs is missing
cards.csv:2: extended is neither yes nor no
cards.csv:3: epc is missing or not an identifier of its kind
cards.csv:4: epc is missing or not an identifier of its kind
cards.csv:5: member is not in members.csv
cards.csv:6: wrong number of fields
cards.csv:7: tid is missing or not an identifier of its kind
vehicles.csv:2: jurisdiction is missing
vehicles.csv:3: plate is no plate: letters and digits are wanted
lookouts.csv:2: version is no number from 1
lookouts.csv:2: action is none of OBSERVE, REFER, STOP
lookouts.csv:2: jurisdiction is not a code such as ON or NY
lookouts.csv:3: list row breaks the format: validity is not within 90 days`
	if got := strings.ReplaceAll(err.Error(), in, "CSV"); got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
	left, _ := filepath.Glob(filepath.Join(top, "*"))
	hidden, _ := filepath.Glob(filepath.Join(top, ".*"))
	if len(left) != 2 || len(hidden) != 0 {
		t.Errorf("left behind: %v %v", left, hidden)
	}
}

func TestBuildRefusesFilesThatAreNotTables(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"empty folder":   {},
		"no heading":     {"cards.csv": ""},
		"other heading":  {"cards.csv": "epc,status\n"},
		"column twice":   {"vehicles.csv": "member,plate,plate\n"},
		"unclosed quote": {"members.csv": "member,status,programs,valid_from,valid_until\n\"98\n"},
	} {
		top := t.TempDir()
		in := put(t, filepath.Join(top, "csv"), files)
		key := filepath.Join(put(t, top, map[string]string{"key": strings.Repeat("a1", 32)}), "key")
		if heads, err := Build(in, filepath.Join(top, "o"), key, nil); err == nil {
			t.Errorf("%s: built %v", name, heads)
		}
	}
}

func TestPublishRefusesWhatBoothsWould(t *testing.T) {
	dir, built := newOffice(t)
	mustPublish(t, dir, built)
	away := newBooth(t, dir)
	if _, err := away.Take(t.Context(), os.DirFS(filepath.Join(dir, "repository")), time.Now()); err != nil {
		t.Fatal(err)
	}
	before := repository(t, dir)

	in := put(t, filepath.Join(t.TempDir(), "csv"), map[string]string{"members.csv": goodCSV["members.csv"], "cards.csv": "epc,status,member,card_until,extended,tid\n"})
	small := filepath.Join(t.TempDir(), "small")
	mustBuild(t, in, small, dir)
	if _, err := at(dir, time.Now()).Publish(small, nil); !errors.Is(err, ErrShrunk) {
		t.Errorf("a shrunk list: %v, want ErrShrunk", err)
	}
	b, err := os.ReadFile(filepath.Join(built, "cards.list"))
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-6] ^= 1
	broken := put(t, filepath.Join(t.TempDir(), "broken"), map[string]string{"cards.list": string(b), builtKey: "00000000"})
	if _, err := at(dir, time.Now()).Publish(broken, nil); !errors.Is(err, contract.ErrListFile) {
		t.Errorf("a damaged list: %v, want ErrListFile", err)
	}
	if _, err := at(dir, time.Now()).Publish(t.TempDir(), nil); err == nil {
		t.Error("nothing was published")
	}
	if after := repository(t, dir); after != before {
		t.Errorf("the repository changed:\n%s\n%s", before, after)
	}

	mustPublish(t, dir, small, "cards")
	booth := newBooth(t, dir)
	if res, err := booth.Take(t.Context(), os.DirFS(filepath.Join(dir, "repository")), time.Now()); err != nil || len(res.Applied) != 4 {
		t.Errorf("forced: %+v, %v", res, err)
	}

	// The next generation needs no force, nor does a booth that was away.
	members := strings.Replace(goodCSV["members.csv"], "ACTIVE", "SUSPENDED", 1)
	in = put(t, filepath.Join(t.TempDir(), "csv"), map[string]string{"members.csv": members, "cards.csv": "epc,status,member,card_until,extended,tid\n" +
		"E28011700000020AB7F0D599,ISSUED,980000017,,no,\n"})
	next := filepath.Join(t.TempDir(), "next")
	mustBuild(t, in, next, dir)
	mustPublish(t, dir, next)
	if res, err := away.Take(t.Context(), os.DirFS(filepath.Join(dir, "repository")), time.Now()); err != nil || len(res.Applied) != 2 {
		t.Errorf("a booth that was away when it was forced: %+v, %v", res, err)
	}
}

func repository(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	for _, name := range []string{"timestamp.json", "snapshot.json", "targets.json"} {
		b, err := os.ReadFile(filepath.Join(dir, "repository", name))
		if err != nil {
			t.Fatal(err)
		}
		s.Write(b)
	}
	return s.String()
}

func TestKeysAreSealedAtRest(t *testing.T) {
	dir, _ := newOffice(t)
	if _, err := openKey(dir, "targets", []byte("another phrase altogether")); err == nil {
		t.Error("a key opened under another passphrase")
	}
	b, err := os.ReadFile(keyPath(dir, "targets"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyPath(dir, "snapshot"), bytes.Replace(b, []byte(`"targets"`), []byte(`"snapshot"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openKey(dir, "snapshot", []byte(phrase)); err == nil {
		t.Error("a key opened under another role's name")
	}
	key, err := openKey(dir, "targets", []byte(phrase))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(fmt.Sprintf("%x", key.Seed()))) {
		t.Error("the seed is in the file")
	}
	fi, err := os.Stat(keyPath(dir, "targets"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", fi.Mode(), err)
	}
	if err := Init(dir, []byte(phrase), time.Now()); err == nil {
		t.Error("an authority was made over another")
	}
}

func TestReadPassphrase(t *testing.T) {
	for in, ok := range map[string]bool{phrase + "\n": true, "short\n": false, "": false, strings.Repeat("x", 1025): false} {
		if got, err := ReadPassphrase(strings.NewReader(in)); ok != (err == nil) || ok && string(got) != phrase {
			t.Errorf("ReadPassphrase of %d bytes = %d bytes, %v, want ok %v", len(in), len(got), err, ok)
		}
	}
}

func TestHeartbeatNeedsAPublicationInForce(t *testing.T) {
	dir, built := newOffice(t)
	if _, err := at(dir, time.Now()).Heartbeat(); err == nil {
		t.Error("a heartbeat of nothing")
	}
	mustPublish(t, dir, built)
	long := at(dir, time.Now())
	long.Timestamp = 25 * time.Hour
	if _, err := long.Heartbeat(); err == nil {
		t.Error("a heartbeat of more than a day")
	}
	if _, err := at(dir, time.Now().AddDate(0, 2, 0)).Heartbeat(); err == nil {
		t.Error("a heartbeat of an expired publication")
	}
}

// Every bad row is told, however many there are, and nothing of what is in it.
func TestBuildTellsEveryBadRow(t *testing.T) {
	top := t.TempDir()
	key := filepath.Join(put(t, top, map[string]string{"token.key": strings.Repeat("1f", 32)}), "token.key")
	const bad = 5000
	rows := "member,status,programs,valid_from,valid_until\n" + strings.Repeat("980000017,LOST,NEXUS,,\n", bad)
	out := filepath.Join(top, "built")
	_, err := Build(put(t, filepath.Join(top, "csv"), map[string]string{"members.csv": rows}), out, key, nil)
	if err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf("and %d more; every one is in %s.faults", bad-maxFaults, out)) {
		t.Fatalf("told %.3000v", err)
	}
	b, err := os.ReadFile(out + ".faults")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if want := fmt.Sprintf("members.csv:%d: status is none of ACTIVE, PENDING, REVOKED, SUSPENDED", i+2); line != want {
			t.Fatalf("line %d is %q, want %q", i+1, line, want)
		}
		if i == bad-1 {
			return
		}
	}
	t.Errorf("the file has %d bytes, not %d rows", len(b), bad)
}
