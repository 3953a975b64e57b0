package authority

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStatusTellsWhatIsPublished(t *testing.T) {
	dir, built := newOffice(t)
	before, err := Status(dir)
	if err != nil || before.Root.Version != 1 || before.Timestamp != (Signed{}) || len(before.Lists) != 0 {
		t.Errorf("of a new authority: %+v, %v", before, err)
	}
	if !before.Timestamp.Expired(time.Now()) || before.Root.Expired(time.Now()) {
		t.Errorf("expired: timestamp %v, root %v", before.Timestamp, before.Root)
	}
	now := time.Now()
	want, err := at(dir, now).Publish(built, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].Changed = false // it is old by now
	}
	got, err := Status(dir)
	if diff := cmp.Diff(want, got.Lists); err != nil || diff != "" {
		t.Errorf("Status differs from what Publish gave: %v\n%s", err, diff)
	}
	if got.Timestamp.Version != 1 || !got.Timestamp.Expires.Equal(now.Add(time.Hour).UTC().Truncate(time.Second)) {
		t.Errorf("timestamp %+v", got.Timestamp)
	}
	if _, err := Status(t.TempDir()); err == nil {
		t.Error("an empty folder is an authority")
	}
}

// The mirror is what a stick or a web server holds.
func TestMirrorIsAsGoodAsTheRepository(t *testing.T) {
	dir, built := newOffice(t)
	to := filepath.Join(t.TempDir(), "stick")
	b := newBooth(t, dir)
	member, car := goodCSV["members.csv"], goodCSV["vehicles.csv"]
	for n := range 3 {
		if n > 0 { // another generation of members and vehicles
			member += string(rune('A'+n)) + "80000017,ACTIVE,NEXUS,,\n"
			car += "980000017,NEW" + string(rune('1'+n)) + ",ON\n"
			in := put(t, filepath.Join(t.TempDir(), "csv"), map[string]string{"members.csv": member, "vehicles.csv": car})
			built = filepath.Join(t.TempDir(), "built")
			mustBuild(t, in, built, dir)
		}
		mustPublish(t, dir, built)
		if err := at(dir, time.Now()).Mirror(to); err != nil {
			t.Fatal(err)
		}
		res, err := b.Take(t.Context(), os.DirFS(to), time.Now())
		if err != nil || len(res.States) != 4 || len(res.Applied) == 0 {
			t.Fatalf("Take %d = %+v, %v", n, res, err)
		}
	}
	if _, err := os.Stat(filepath.Join(to, "targets/members-1.list")); !os.IsNotExist(err) {
		t.Errorf("members-1.list is still on the stick: %v", err)
	}
	if _, err := os.Stat(filepath.Join(to, "targets/members-2.list")); err != nil {
		t.Errorf("members-2.list, the former one, is gone: %v", err)
	}
}

// What fails before the first signature changes nothing.
func TestAFailedPublicationLeavesTheFormerOne(t *testing.T) {
	dir, built := newOffice(t)
	mustPublish(t, dir, built)
	before := repository(t, dir)
	for name, edit := range map[string]func(*Office){
		"wrong passphrase": func(o *Office) { o.Phrase = []byte("another phrase altogether") },
		"long timestamp":   func(o *Office) { o.Timestamp = 25 * time.Hour },
		"no validity":      func(o *Office) { o.Valid = 0 },
		"no such folder":   func(o *Office) { o.Dir += "2" },
	} {
		o := at(dir, time.Now())
		edit(o)
		if now, err := o.Publish(built, nil); err == nil {
			t.Errorf("%s: published %v", name, now)
		}
	}
	if after := repository(t, dir); after != before {
		t.Errorf("the repository changed:\n%s\n%s", before, after)
	}
}

// A power cut between targets and timestamp: booths refuse for a while, and
// the next publication mends it.
func TestAPublicationCutShortIsMendedByTheNext(t *testing.T) {
	dir, built := newOffice(t)
	mustPublish(t, dir, built)
	b := newBooth(t, dir)
	repo := os.DirFS(filepath.Join(dir, "repository"))
	if _, err := b.Take(t.Context(), repo, time.Now()); err != nil {
		t.Fatal(err)
	}
	was := map[string][]byte{}
	for _, name := range []string{"timestamp.json", "snapshot.json"} {
		text, err := os.ReadFile(filepath.Join(dir, "repository", name))
		if err != nil {
			t.Fatal(err)
		}
		was[name] = text
	}
	mustPublish(t, dir, built)
	for name, text := range was {
		put(t, filepath.Join(dir, "repository"), map[string]string{name: string(text)})
	}
	if _, err := b.Take(t.Context(), repo, time.Now()); err != nil {
		t.Errorf("a booth with the former publication: %v", err)
	}
	if s, err := Status(dir); err != nil || !s.Torn {
		t.Errorf("Status = %+v, %v, want it to say that the publication is torn", s, err)
	}
	if _, err := at(dir, time.Now()).Heartbeat(); err != nil { // of the former one: booths that have it go on
		t.Error(err)
	}
	if s, err := Status(dir); err != nil || !s.Torn {
		t.Errorf("after a heartbeat Status = %+v, %v, want it to say so still", s, err)
	}
	mustPublish(t, dir, built)
	if s, err := Status(dir); err != nil || s.Torn {
		t.Errorf("after the next publication Status = %+v, %v", s, err)
	}
	if res, err := b.Take(t.Context(), repo, time.Now()); err != nil || !res.Fresh {
		t.Errorf("after the next publication: %+v, %v", res, err)
	}
}

// A list in force whose file was lost at the office, or spoilt there, keeps no
// newer one from booths: they take it whole.
func TestALostListKeepsNoNewerOneBack(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"lost":   os.Remove,
		"spoilt": func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "office")
			began := time.Now()
			if err := Init(dir, []byte(phrase), began.AddDate(1, 0, 0)); err != nil {
				t.Fatal(err)
			}
			o := at(dir, began)
			issue(t, o, 2000, 0)
			issue(t, o, 2000, 1)
			b := newBooth(t, dir)
			repo := os.DirFS(filepath.Join(dir, "repository"))
			if _, err := b.Take(t.Context(), repo, time.Now()); err != nil {
				t.Fatal(err)
			}
			if err := harm(filepath.Join(dir, "repository", "targets", "cards-2.list")); err != nil {
				t.Fatal(err)
			}
			issue(t, o, 2000, 2)
			if res, err := b.Take(t.Context(), repo, time.Now()); err != nil || len(res.Applied) != 1 || res.Applied[0].Generation != 3 {
				t.Errorf("Take = %+v, %v, want cards of generation 3", res, err)
			}
		})
	}
}

// A list in force that was lost at the office stays where it was copied to: booths
// take it from there, and the office may have it back.
func TestALostListStaysInItsCopy(t *testing.T) {
	dir, built := newOffice(t)
	mustPublish(t, dir, built)
	web := filepath.Join(t.TempDir(), "web")
	for range 2 {
		if err := at(dir, time.Now()).Mirror(web); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(web, "targets", "cards-1.list")); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "repository", "targets", "cards-1.list")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}
