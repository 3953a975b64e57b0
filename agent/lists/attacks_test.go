package lists_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/agent/lists"
)

// A booth under attack has cards-1 with 20 rows and members-1 with 5, from the
// publication before; both are what good gives again, one generation on.
const (
	cardsHad   = 20
	membersHad = 5
)

func (o *office) good() source {
	return o.publish(cardList(o.t, 2, cardsHad), memberList(o.t, 2, membersHad))
}

// A panic that is contained, in the verifier's library too, is a refusal
// ("internal"): headquarters' own keys sign what leads there.

// attack is one way to have a booth take what it must not.
type attack struct {
	row   string // of the reliability reference, section 3, "List distribution"
	name  string
	craft func(o *office, old source) source
	why   lists.Why // as the journal tells it
	kind  string    // "" if the metadata itself is refused
}

func attacks() []attack {
	cards := contract.ListCards
	return []attack{
		{"rollback", "the publication before last", func(o *office, _ source) source {
			o.version = 0
			return o.publish(cardList(o.t, 1, cardsHad), memberList(o.t, 1, membersHad))
		}, lists.Rollback, ""},
		{"rollback", "an older generation signed anew", func(o *office, _ source) source {
			return o.publish(fullCopy(o.t, cards, 1, cardRows(o.t, 9, cardsHad)), memberList(o.t, 1, membersHad))
		}, lists.Mixed, cards},
		{"rollback", "an old snapshot under a new timestamp", func(o *office, _ source) source {
			return o.publishAs(func(d *drafts) { d.snapshot.Signed.Version = 1 }, cardList(o.t, 2, cardsHad))
		}, lists.Rollback, ""},
		{"rollback", "an older root", func(o *office, _ source) source {
			src := o.good()
			return src.with("root/2.root.json", o.rootBytes())
		}, lists.Rollback, ""},
		{"rollback", "a field rollback:true", func(o *office, old source) source {
			return old.with("timestamp.json", bytes.Replace(old["timestamp.json"], []byte(`"version":`), []byte(`"rollback":true,"version":`), 1))
		}, lists.Unsigned, ""},
		{"freeze", "a timestamp past its time", func(o *office, _ source) source {
			o.expires = time.Now().Add(-time.Minute)
			return o.good()
		}, lists.Expired, ""},
		{"freeze", "a snapshot past its time", func(o *office, _ source) source {
			return o.publishAs(func(d *drafts) { d.snapshot.Signed.Expires = time.Now().Add(-time.Minute) }, cardList(o.t, 2, cardsHad))
		}, lists.Expired, ""},
		{"freeze", "targets past their time", func(o *office, _ source) source {
			return o.publishAs(func(d *drafts) { d.targets.Signed.Expires = time.Now().Add(-time.Minute) }, cardList(o.t, 2, cardsHad))
		}, lists.Expired, ""},
		{"mix and match", "a new timestamp, an old snapshot", func(o *office, old source) source {
			return o.good().with("snapshot.json", old["snapshot.json"])
		}, lists.Mixed, ""},
		{"mix and match", "a new snapshot, old targets", func(o *office, old source) source {
			return o.good().with("targets.json", old["targets.json"])
		}, lists.Mixed, ""},
		{"mix and match", "new cards, the file of the old ones", func(o *office, old source) source {
			return o.good().with("targets/cards-2.list", old["targets/cards-1.list"])
		}, lists.Relabelled, cards},
		{"fast-forward", "a generation that leaps", func(o *office, _ source) source {
			return o.publish(cardList(o.t, 1<<40, cardsHad), memberList(o.t, 2, membersHad))
		}, lists.Rollback, cards},
		{"fast-forward", "a generation beyond all numbers", func(o *office, _ source) source {
			c := cardList(o.t, 2, cardsHad)
			c.name, c.custom.Generation = "cards-2.list", math.MaxInt64
			return o.publish(c, memberList(o.t, 2, membersHad))
		}, lists.Malformed, ""},
		{"fast-forward", "a root that leaps", func(o *office, _ source) source {
			o.root.Signed.Version++
			return o.good().with("root/2.root.json", o.nextRoot())
		}, lists.Rollback, ""},
		{"endless data", "a timestamp of 17 KiB", func(o *office, _ source) source { return o.good().padded("timestamp.json", 17<<10) }, lists.Oversize, ""},
		{"endless data", "targets of 257 KiB", func(o *office, _ source) source { return o.good().padded("targets.json", 257<<10) }, lists.Oversize, ""},
		{"endless data", "a root of 65 KiB", func(o *office, _ source) source {
			return o.good().with("root/2.root.json", o.nextRoot()).padded("root/2.root.json", 65<<10)
		}, lists.Oversize, ""},
		{"endless data", "a list longer than signed", func(o *office, _ source) source { return o.good().padded("targets/cards-2.list", 1<<20) }, lists.Oversize, cards},
		{"endless data", "more rows than any booth takes", func(o *office, _ source) source {
			c := cardList(o.t, 2, cardsHad)
			c.custom.Rows = contract.MaxListRows + 1
			return o.publish(c, memberList(o.t, 2, membersHad))
		}, lists.Oversize, cards},
		{"endless data", "a list of 2 GiB as signed", func(o *office, _ source) source {
			c := cardList(o.t, 2, cardsHad)
			c.length = 2 << 30
			return o.publish(c, memberList(o.t, 2, membersHad))
		}, lists.Oversize, cards},
		{"zip bomb", "a signed file that unpacks to 256 MiB", func(o *office, _ source) source {
			return o.publish(bomb(o.t, cardList(o.t, 2, cardsHad)), memberList(o.t, 2, membersHad))
		}, lists.Tampered, cards},
		{"zip bomb", "a delta that unpacks to 256 MiB", func(o *office, old source) source {
			to := cardList(o.t, 2, cardsHad)
			to.length = 1 << 20 // longer than its delta, or that would not be looked at
			d := deltaOf(o.t, cardList(o.t, 1, cardsHad), to)
			d.file = unpacksTo256MiB(o.t, d.file[:len(d.file)-len(zstdPart(o.t, d.file))])
			src := o.publish(memberList(o.t, 2, membersHad), d, to)
			delete(src, "targets/cards-2.list")
			return src
		}, lists.Tampered, cards},
		{"key compromise", "no signature", func(o *office, _ source) source {
			o.keys[metadata.TIMESTAMP] = nil
			return o.good()
		}, lists.Unsigned, ""},
		{"key compromise", "the office of another port", func(o *office, _ source) source {
			other := newOffice(o.t, 200)
			other.version = 5
			return other.good()
		}, lists.Unsigned, ""},
		{"key compromise", "the timestamp key alone, for targets", func(o *office, _ source) source {
			o.keys[metadata.TARGETS] = o.keys[metadata.TIMESTAMP]
			return o.good()
		}, lists.Unsigned, ""},
		{"key compromise", "one root key of two", func(o *office, _ source) source {
			o.keys[metadata.ROOT] = o.keys[metadata.ROOT][:1]
			return o.good().with("root/2.root.json", o.nextRoot(metadata.TARGETS))
		}, lists.Unsigned, ""},
		{"key compromise", "one root key that signs twice", func(o *office, _ source) source {
			k := o.keys[metadata.ROOT][0]
			o.keys[metadata.ROOT] = append(o.keys[metadata.ROOT][:0:0], k, k)
			return o.good().with("root/2.root.json", o.nextRoot())
		}, lists.Malformed, ""},
		{"key compromise", "new root keys that the old ones did not sign", func(o *office, _ source) source {
			return o.good().with("root/2.root.json", o.nextRoot(metadata.ROOT))
		}, lists.Unsigned, ""},
		{"key compromise", "targets of the key before rotation", func(o *office, _ source) source {
			stolen := o.keys[metadata.TARGETS]
			root := o.nextRoot(metadata.TARGETS)
			o.keys[metadata.TARGETS] = stolen
			return o.good().with("root/2.root.json", root)
		}, lists.Unsigned, ""},
		{"sign exact bytes", "a key twice", inTimestamp(`"version":9,"version":`), lists.Malformed, ""},
		{"sign exact bytes", "a key in another case", inTimestamp(`"Version":9,"version":`), lists.Malformed, ""},
		{"sign exact bytes", "a number over 63 bits", inTimestamp(`"version":9223372036854775807`), lists.Malformed, ""},
		{"sign exact bytes", "text behind the metadata", func(o *office, _ source) source {
			src := o.good()
			return src.with("timestamp.json", append(bytes.Clone(src["timestamp.json"]), "{}"...))
		}, lists.Malformed, ""},
		{"wrong list or type", "members' file as cards", func(o *office, _ source) source {
			c, m := cardList(o.t, 2, cardsHad), memberList(o.t, 2, cardsHad)
			c.file = m.file
			return o.publish(c, m)
		}, lists.Relabelled, cards},
		{"wrong list or type", "members' rows in a file of cards", func(o *office, _ source) source {
			rows := cardRows(o.t, 2, cardsHad)
			rows[7].Value = []byte{1, 77}
			return o.publish(fullCopy(o.t, cards, 2, rows), memberList(o.t, 2, membersHad))
		}, lists.Tampered, cards},
		{"wrong list or type", "another name than it says", func(o *office, _ source) source {
			c := cardList(o.t, 2, cardsHad)
			c.name = "cards-3.list"
			return o.publish(c, memberList(o.t, 2, membersHad))
		}, lists.Relabelled, cards},
		{"wrong list or type", "a snapshot in place of a timestamp", func(o *office, _ source) source {
			src := o.good()
			return src.with("timestamp.json", src["snapshot.json"])
		}, lists.Malformed, ""},
		{"wrong list or type", "a path out of the folder as its name", func(o *office, _ source) source {
			c := cardList(o.t, 2, cardsHad)
			c.name = "../../cards-2.list"
			src := o.publish(c, memberList(o.t, 2, membersHad))
			delete(src, "targets/../../cards-2.list")
			return src
		}, lists.Relabelled, cards},
		{"wrong list or type", "delegated to somebody else", func(o *office, _ source) source {
			return o.publishAs(func(d *drafts) { d.targets.Signed.Delegations = &metadata.Delegations{} }, cardList(o.t, 2, cardsHad))
		}, lists.Malformed, ""},
		{"panic on bad metadata", "null", func(o *office, _ source) source { return o.good().with("timestamp.json", []byte("null")) }, lists.Malformed, ""},
		{"panic on bad metadata", "nothing signed", func(o *office, _ source) source {
			return o.good().with("timestamp.json", []byte(`{"signatures":[{}],"signed":null}`))
		}, lists.Malformed, ""},
		{"panic on bad metadata", "signed, and names no snapshot", func(o *office, _ source) source {
			stamp := metadata.Timestamp(o.expires)
			stamp.Signed.Version, stamp.Signed.Meta = 9, map[string]*metadata.MetaFiles{}
			return o.good().with("timestamp.json", signed(o, stamp, o.keys[metadata.TIMESTAMP]))
		}, lists.Internal, ""},
		{"panic on bad metadata", "signed, and names null", func(o *office, _ source) source {
			stamp := metadata.Timestamp(o.expires)
			stamp.Signed.Version, stamp.Signed.Meta = 9, map[string]*metadata.MetaFiles{"snapshot.json": nil}
			return o.good().with("timestamp.json", signed(o, stamp, o.keys[metadata.TIMESTAMP]))
		}, lists.Internal, ""},
		{"panic on bad metadata", "targets of null", func(o *office, _ source) source {
			return o.publishAs(func(d *drafts) { d.targets.Signed.Targets["cards-2.list"] = nil }, cardList(o.t, 2, cardsHad))
		}, lists.Internal, ""},
		{"panic on bad metadata", "targets without custom fields", func(o *office, _ source) source {
			return o.publishAs(func(d *drafts) { d.targets.Signed.Targets["cards-2.list"].Custom = nil }, cardList(o.t, 2, cardsHad))
		}, lists.Malformed, ""},
		{"panic on bad metadata", "a delta without custom fields", func(o *office, _ source) source {
			return o.publishAs(func(d *drafts) { d.targets.Signed.Targets["cards-1-2.delta"] = &metadata.TargetFiles{Length: 1} }, cardList(o.t, 2, cardsHad))
		}, lists.Malformed, ""},
		{"panic on bad metadata", "nested without end", func(o *office, _ source) source {
			return o.good().with("timestamp.json", []byte(strings.Repeat("[", 8<<10)))
		}, lists.Malformed, ""},
		{"shrunk", "15 % fewer", func(o *office, _ source) source {
			return o.publish(cardList(o.t, 2, 17), memberList(o.t, 2, membersHad))
		}, lists.Shrunk, cards},
		{"shrunk", "empty", func(o *office, _ source) source {
			return o.publish(cardList(o.t, 2, 0), memberList(o.t, 2, membersHad))
		}, lists.Shrunk, cards},
		{"shrunk", "a list named no more", func(o *office, _ source) source { return o.publish(memberList(o.t, 2, membersHad)) }, lists.Missing, cards},
		{"partial apply", "a file cut short", func(o *office, _ source) source {
			src := o.good()
			return src.with("targets/cards-2.list", src["targets/cards-2.list"][:90])
		}, lists.Tampered, cards},
		{"partial apply", "one bit of one list of two", func(o *office, _ source) source {
			src := o.good()
			b := bytes.Clone(src["targets/members-2.list"])
			b[len(b)-9] ^= 4
			return src.with("targets/members-2.list", b)
		}, lists.Tampered, contract.ListMembers},
	}
}

// inTimestamp spoils the version of a good timestamp.
func inTimestamp(version string) func(*office, source) source {
	return func(o *office, _ source) source {
		src := o.good()
		return src.with("timestamp.json", bytes.Replace(src["timestamp.json"], []byte(`"version":`), []byte(version), 1))
	}
}

// padded makes a file of a source so long.
func (s source) padded(name string, length int) source {
	return s.with(name, append(bytes.Clone(s[name]), bytes.Repeat([]byte(" "), length-len(s[name]))...))
}

// bomb is a list whose rows are followed by zeros without end.
func bomb(t testing.TB, c copyOf) copyOf {
	t.Helper()
	c.file = unpacksTo256MiB(t, c.file[:len(c.file)-len(zstdPart(t, c.file))])
	return c
}

// zstdPart is what follows the header of a list or a delta.
func zstdPart(t testing.TB, file []byte) []byte {
	t.Helper()
	at := bytes.Index(file, []byte{0x28, 0xb5, 0x2f, 0xfd})
	if at < 0 {
		t.Fatal("no zstd frame")
	}
	return file[at:]
}

func unpacksTo256MiB(t testing.TB, head []byte) []byte {
	t.Helper()
	b := bytes.NewBuffer(bytes.Clone(head))
	z, err := zstd.NewWriter(b, zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 256 {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Every attack of the table, brought to a running booth: it is refused by its
// name, the journal tells it once each time, and the list in force stays.
func TestI6_ARunningBoothRefusesAndTells(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.row+"/"+a.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, 1)
			r := runBooth(t, o)
			o.version = 2
			old := o.publish(cardList(t, 1, cardsHad), memberList(t, 1, membersHad))
			if answer, spoken := r.bring(pack(t, old.stream())); len(answer.Applied) != 2 || spoken != "" {
				t.Fatalf("the first lists: %+v %s", answer, spoken)
			}
			_, applied, at := r.audit(0)
			if len(applied) != 2 {
				t.Fatalf("the journal tells %+v of the first lists", applied)
			}
			evil := pack(t, a.craft(o, old).stream())
			for range 2 {
				answer, spoken := r.bring(evil)
				if len(answer.Applied) != 0 || len(answer.Refused) == 0 || spoken != "" {
					t.Fatalf("the booth answers %+v %s", answer, spoken)
				}
				var failed []contract.ListFailed
				failed, applied, at = r.audit(at)
				if len(failed) != 1 || failed[0].Reason != string(a.why) || failed[0].Kind != a.kind || len(applied) != 0 {
					t.Fatalf("the journal tells %+v and %+v; want one %s of %q; answer %q", failed, applied, a.why, a.kind, answer.Refused)
				}
			}
			r.stop()
			r.answers(1, cardsHad)
		})
	}
}

// What was true once is no news: repeated, it makes no list younger, and once
// something newer is known it is a rollback. A timestamp key that spent every
// number is answered by a new root, and then everything before is a rollback
// still.
func TestI6_ReplaysAreNoNews(t *testing.T) {
	o := newOffice(t, 1)
	r := runBooth(t, o)
	first := o.publish(cardList(t, 1, cardsHad), memberList(t, 1, membersHad))
	second := o.good()
	spent := o.publishAs(func(d *drafts) { d.timestamp.Signed.Version = math.MaxInt64 }, cardList(t, 2, cardsHad), memberList(t, 2, membersHad))
	root := o.nextRoot(metadata.TIMESTAMP)
	third := o.publish(cardList(t, 3, cardsHad), memberList(t, 3, membersHad)).with("root/2.root.json", root)
	at := uint64(0)
	for _, step := range []struct {
		name    string
		src     source
		applied int
		fresh   bool
		why     lists.Why // "": not refused
	}{
		{"the first publication", first, 2, true, ""},
		{"the same again", first, 0, false, ""},
		{"the second", second, 2, true, ""},
		{"the first again", first, 0, false, lists.Rollback},
		{"every number spent", spent, 0, true, ""},
		{"the second again", second, 0, false, lists.Rollback},
		{"the third, under a new root", third, 2, true, ""},
		{"every number spent, again", spent, 0, false, lists.Unsigned},
		{"the second, again", second, 0, false, lists.Unsigned},
		{"the third again", third, 0, false, ""},
	} {
		answer, spoken := r.bring(pack(t, step.src.stream()))
		failed, applied, last := r.audit(at)
		at = last
		why := lists.Why("")
		if len(failed) > 0 {
			why = lists.Why(failed[0].Reason)
		}
		if len(answer.Applied) != step.applied || len(applied) != step.applied || answer.Heartbeat != step.fresh || why != step.why || len(failed) > 1 {
			t.Errorf("%s: answer %+v %s; the journal tells %+v, %+v; want %+v", step.name, answer, spoken, applied, failed, step)
		}
	}
	r.stop()
	r.answers(3, cardsHad)
}
